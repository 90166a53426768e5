"""What must not get into a file that is committed: passwords, keys, tokens.

Arguments are there to be read, so what looks secret in them is blotted out. An answer is
there to be given back as it was: one that holds a secret is not recorded.
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
_NEW_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SECRET_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIALS?)$")
_LIKE_A_KEY = re.compile(rb"\bsk-[A-Za-z0-9_-]{16,}|\b[Bb]earer [A-Za-z0-9._~+/=-]{16,}")
_SHORTEST = 8
"""Characters of an environment variable's value that may be a secret; shorter ones are words."""


def redact_headers(arguments: Any) -> Any:
    """Plain data, with what stands under a secret's name replaced.

    Example:
        >>> redact_headers({"prompt": "Hi", "max_tokens": 5, "auth": {"api_key": "k"}})
        {'prompt': 'Hi', 'max_tokens': 5, 'auth': {'api_key': '<hidden>'}}
    """
    if isinstance(arguments, Mapping):
        return {
            name: HIDDEN
            if isinstance(name, str) and _SECRET_NAME.search(_NEW_WORD.sub("_", name))
            else redact_headers(value)
            for name, value in arguments.items()
        }
    if type(arguments) is list:
        return [redact_headers(value) for value in arguments]
    return arguments


def redact(text: bytes) -> bytes:
    """JSON without the secrets that the environment holds, and what looks like a key."""
    for name, secret in _environment():
        text = text.replace(secret, f"<{name}>".encode())
    return _LIKE_A_KEY.sub(HIDDEN.encode(), text)


def find_secret(text: bytes) -> str | None:
    """The environment variable whose secret stands in some JSON; ``None`` if none does."""
    return next((name for name, secret in _environment() if secret in text), None)


def _environment() -> list[tuple[str, bytes]]:
    return [
        (name, to_json(value)[1:-1])
        for name, value in os.environ.items()
        if len(value) >= _SHORTEST and _SECRET_VARIABLE.search(name) and value.isprintable()
    ]
