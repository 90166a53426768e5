"""Short keys: a readable label, and a digest."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

_LABEL_LENGTH = 40


def make_short_key(identity: str, values: Iterable[Any] = ()) -> str:
    """Return a short key of a canonical text: a label and 32 hex digits of BLAKE2b (RFC 7693).

    The first printable text among the values becomes the label. Without one there is no label.
    """
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    for value in values:
        if type(value) is str and (label := make_label(value)):
            return f"{label}:{digest}"
    return digest


def make_sample_key(key: str, sample: int) -> str:
    """Return the key of a sample of a call; sample 0 has the key of the call itself.

    No other key ends with this digest, whatever keys users choose.

    Example:
        >>> make_sample_key("greeting", 3)
        'greeting#3:09be12743ab3781751da02ddbf73b564'
    """
    if sample == 0:
        return key
    text = f"{sample}:{key}".encode("utf-8", "surrogatepass")
    return f"{key}#{sample}:{blake2b(text, digest_size=16).hexdigest()}"


def make_label(text: str) -> str:
    """Return the readable part of a key: the printable beginning of a text, on one line."""
    if len(text) <= _LABEL_LENGTH and text.isascii() and text.isprintable() and " " not in text:
        return text
    return make_printable(" ".join(text[: 4 * _LABEL_LENGTH].split())[:_LABEL_LENGTH])


def make_printable(text: str) -> str:
    r"""Return a text without the characters that a terminal could not show or would obey.

    The result is the same on every version of Python, so it does not depend on the version of
    Unicode: of the characters that are newer than Unicode 3.2, only emoji are kept.

    Example:
        >>> make_printable("red \x1b[31m, \u202e, \ud800, caf\xe9")
        'red [31m, , , café'
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(filter(_is_printable, text))


@lru_cache(maxsize=4096)
def _is_printable(character: str) -> bool:
    if character in " \xad":  # the soft hyphen is invisible
        return character == " "
    is_known = unicodedata.ucd_3_2_0.category(character)[0] not in "CZ"
    return is_known or "\U0001f300" <= character <= "\U0001f64f"
