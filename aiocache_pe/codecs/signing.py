"""Signatures, for the payloads that would be dangerous to read if somebody forged them.

The signature covers the key and the codec besides the payload, each with its length
before it: a signed payload can be moved neither to another key nor to another meaning.
It stands before the payload, 32 bytes of HMAC-SHA256.
"""

from __future__ import annotations

from aiocache_pe.exceptions import ConfigurationError, CorruptRecordError, SecretRequiredError

_SIZE = 32
_CONTEXT = b"aiocache_pe record 1"  # so that a secret shared with others signs nothing of theirs


class Signature:
    """The stage that signs, and refuses what is not signed by the same secret.

    Args:
        secret: the secret; ``None`` when it is not known yet.

    Raises:
        ConfigurationError: the secret is empty or neither ``bytes`` nor ``str``.

    Example:
        >>> signature = Signature(b"a long random secret")
        >>> signed = signature.apply("default:k", "pickle", b"payload")
        >>> signature.undo("default:k", "pickle", signed)
        b'payload'
    """

    __slots__ = ("_secret",)

    name = "hmac"

    def __init__(self, secret: bytes | str | None = None) -> None:
        self._secret: bytes | None = None
        self.use(secret)

    def __repr__(self) -> str:
        return f"Signature(<secret {'known' if self._secret else 'not known'}>)"

    @property
    def is_ready(self) -> bool:
        """Whether a secret is known."""
        return self._secret is not None

    def use(self, secret: bytes | str | None) -> None:
        """Sign and verify with this secret from now on.

        Args:
            secret: bytes, or a text taken as UTF-8; ``None`` forgets the one there was.

        Raises:
            ConfigurationError: it is empty or of another type; it is not quoted.
        """
        if isinstance(secret, str):
            secret = secret.encode("utf-8", "surrogatepass")
        if secret is not None and not isinstance(secret, bytes):
            raise ConfigurationError(
                f"secret is a {type(secret).__name__}; accepted are bytes, str and None"
            )
        if secret == b"":
            raise ConfigurationError(
                "secret is empty; accepted are bytes or text, best 32 random bytes"
            )
        self._secret = secret

    def apply(self, key: str, codec: str, payload: bytes) -> bytes:
        """The signature and the payload.

        Raises:
            SecretRequiredError: no secret is known.
        """
        return self._digest(key, codec, payload) + payload

    def undo(self, key: str, codec: str, payload: bytes) -> bytes:
        """The payload, after the signature before it was found to be right.

        Raises:
            SecretRequiredError: no secret is known.
            CorruptRecordError: another secret, key or codec, or altered bytes.
        """
        from hmac import compare_digest  # noqa: PLC0415 - see _digest

        content = payload[_SIZE:]
        if not compare_digest(payload[:_SIZE], self._digest(key, codec, content)):
            raise CorruptRecordError("signature does not match", key=key)
        return content

    def _digest(self, key: str, codec: str, payload: bytes) -> bytes:
        # Imported on first use: it loads OpenSSL, and few values are ever signed.
        import hmac  # noqa: PLC0415

        if self._secret is None:
            raise SecretRequiredError(
                "the record is signed and no secret is known; pass secret= to the manager "
                "or set AIOCACHE_PE_SECRET"
            )
        mac = hmac.new(self._secret, _CONTEXT, "sha256")
        for part in (key.encode("utf-8", "surrogatepass"), codec.encode(), payload):
            mac.update(len(part).to_bytes(8, "big"))
            mac.update(part)
        return mac.digest()
