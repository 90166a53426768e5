"""Signatures of the payloads that would be dangerous to read if they were forged."""

from __future__ import annotations

from aiocache_pe.exceptions import ConfigurationError, CorruptRecordError, SecretRequiredError

_SIGNATURE_BYTES = 32
_CONTEXT = b"aiocache_pe record 1"  # separates these signatures from others by the same secret


class Signature:
    """Signatures by one secret; a payload without such a signature is refused.

    A signature is the HMAC-SHA256 of key, codec and payload, each preceded by its length. So a
    signed payload is valid under no other key and for no other codec. The 32 bytes of the
    signature precede the payload.

    Args:
        secret: secret; ``None`` if it is not known yet.

    Raises:
        ConfigurationError: the secret is empty, or is neither ``bytes`` nor ``str``.

    Example:
        >>> signature = Signature(b"a long random secret")
        >>> signed = signature.sign("default:k", "pickle", b"payload")
        >>> signature.verify("default:k", "pickle", signed)
        b'payload'
    """

    __slots__ = ("_secret",)

    name = "hmac"

    def __init__(self, secret: bytes | str | None = None) -> None:
        self.use_secret(secret)

    def __repr__(self) -> str:
        return f"Signature(<secret {'known' if self._secret else 'not known'}>)"

    @property
    def has_secret(self) -> bool:
        """Return whether a secret is known."""
        return self._secret is not None

    def use_secret(self, secret: bytes | str | None) -> None:
        """Set the secret that signs and verifies from now on.

        Args:
            secret: bytes, or text that is encoded as UTF-8; ``None`` removes the secret.

        Raises:
            ConfigurationError: the secret is empty or of another type. The error does not quote
                it.
        """
        if isinstance(secret, str):
            secret = secret.encode("utf-8", "surrogatepass")
        if secret is not None and not isinstance(secret, bytes):
            raise ConfigurationError(
                f"secret must be bytes, str or None; got {type(secret).__name__}"
            )
        if secret == b"":
            raise ConfigurationError(
                "secret must not be empty; use text or bytes, preferably 32 random bytes"
            )
        self._secret: bytes | None = secret

    def sign(self, key: str, codec: str, payload: bytes) -> bytes:
        """Return the signature and the payload.

        Raises:
            SecretRequiredError: no secret is known.
        """
        return self._compute_digest(key, codec, payload) + payload

    def verify(self, key: str, codec: str, payload: bytes) -> bytes:
        """Verify the signature and return the payload without it.

        Raises:
            SecretRequiredError: no secret is known.
            CorruptRecordError: the payload was altered, or was signed by another secret, for
                another key or for another codec.
        """
        from hmac import compare_digest  # noqa: PLC0415 - see _compute_digest

        content = payload[_SIGNATURE_BYTES:]
        digest = self._compute_digest(key, codec, content)
        if not compare_digest(payload[:_SIGNATURE_BYTES], digest):
            raise CorruptRecordError("signature does not match", key=key)
        return content

    def _compute_digest(self, key: str, codec: str, payload: bytes) -> bytes:
        import hmac  # noqa: PLC0415 - it loads OpenSSL, and few values are ever signed

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
