"""Copies of exceptions: equal in everything, and independent of the original."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aiocache_pe.runtime.error_copies import copy_error


class StatusError(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code, self.details = code, ["first"]


class FileStatusError(OSError):
    def __init__(self, path: str, code: int) -> None:
        super().__init__(2, "not found", path)
        self.code = code


def catch(function: Callable[[], object]) -> Exception:
    with pytest.raises((ValueError, SyntaxError)) as raised:
        function()
    return raised.value


ERRORS: list[Exception] = [
    StatusError(5),
    FileStatusError("path", 5),
    FileNotFoundError(2, "not found", "path"),
    KeyError("key"),
    StopIteration(3),
    ImportError("text", name="module", path="path"),
    catch(lambda: "é".encode("ascii")),
    catch(lambda: json.loads("{")),
    catch(lambda: compile("a b", "file", "exec")),
    ExceptionGroup("group", [StatusError(1), ExceptionGroup("inner", [KeyError(2)])]),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_copy_equals_the_original_and_does_not_share_its_state(error: Exception) -> None:
    copied = copy_error(error)
    assert copied is not error
    assert type(copied) is type(error)
    assert (repr(copied), str(copied), copied.args) == (repr(error), str(error), error.args)
    assert copied.__traceback__ is error.__traceback__
    for name, value in vars(error).items():
        assert getattr(copied, name) == value
    copied.add_note("of the copy")
    assert not hasattr(error, "__notes__")


def test_fields_in_c_are_copied() -> None:
    copied = copy_error(FileStatusError("path", 5))
    assert (copied.errno, copied.strerror, copied.filename) == (2, "not found", "path")
    copied_group = copy_error(ERRORS[-1])
    assert isinstance(copied_group, ExceptionGroup)
    assert copied_group.exceptions[0] is not ERRORS[-1].exceptions[0]  # type: ignore[attr-defined]  # a group


def test_cause_and_context_are_copied_once_also_in_a_circle() -> None:
    error, cause = StatusError(1), StatusError(2)
    error.__cause__ = error.__context__ = cause
    cause.__context__ = error
    copied = copy_error(error)
    assert isinstance(copied.__cause__, StatusError)
    assert copied.__cause__ is copied.__context__ is not cause
    assert copied.__cause__.__context__ is copied
    copied.__cause__.details.append("of the copy")
    assert cause.details == ["first"]


def test_a_chain_of_thousands_of_causes_does_no_harm() -> None:
    error = first = StatusError(0)
    for code in range(1, 5000):
        error.__cause__ = StatusError(code)
        error = error.__cause__
    assert repr(copy_error(first)) == repr(first)
