"""Removal of secrets from recordings, which are committed: passwords, keys, tokens.

Arguments are recorded for readers, so secrets in them are replaced. An answer must be replayed
unchanged, so an answer that contains a secret is not recorded.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

from aiocache_pe.codecs.plain_json import to_json

HIDDEN = "<hidden>"
_SECRET_NAME = re.compile(
    r"(?:^|[_-])(?:(?:access|account|api|encryption|private|secret|signing|subscription)[_-]?key"
    r"|password|passwd|passphrase|secret|authorization|cookie|credentials?"
    r"|(?:access|api|auth|bearer|id|refresh|session)[_-]?token)$|^token$",
    re.IGNORECASE,
)
_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
_KEY_PATTERN = re.compile(rb"\bsk-[A-Za-z0-9_-]{16,}|\b[Bb]earer [A-Za-z0-9._~+/=-]{16,}")
_MIN_SECRET_LENGTH = 8
"""Length of an environment variable's value from which it may be a secret; others are words."""


def redact_fields(arguments: Any) -> Any:
    """Return plain data in which values under the name of a secret are replaced.

    Example:
        >>> redact_fields({"prompt": "Hi", "max_tokens": 5, "auth": {"api_key": "k"}})
        {'prompt': 'Hi', 'max_tokens': 5, 'auth': {'api_key': '<hidden>'}}
    """
    if isinstance(arguments, Mapping):
        return {
            name: HIDDEN
            if isinstance(name, str) and _SECRET_NAME.search(_WORD_BOUNDARY.sub("_", name))
            else redact_fields(value)
            for name, value in arguments.items()
        }
    if type(arguments) is list:
        return [redact_fields(value) for value in arguments]
    return arguments


def redact_text(text: bytes) -> bytes:
    """Return JSON without the secrets of the environment, and without texts of a key's form."""
    for name, secret in _list_secrets():
        text = text.replace(secret, f"<{name}>".encode())
    return _KEY_PATTERN.sub(HIDDEN.encode(), text)


def find_secret(text: bytes) -> str | None:
    """Return the environment variable with a secret that JSON contains; ``None`` without one."""
    return next((name for name, secret in _list_secrets() if secret in text), None)


def _list_secrets() -> list[tuple[str, bytes]]:
    return [
        (name, to_json(value)[1:-1])
        for name, value in os.environ.items()
        if len(value) >= _MIN_SECRET_LENGTH
        and _SECRET_VARIABLE.search(name)
        and value.isprintable()
    ]
