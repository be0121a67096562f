"""Signed tokens: texts that a client keeps and sends back, and that only this store can make.

A token is readable but cannot be changed or invented: it begins with a keyed hash of its content.
The content is not secret.
"""

import binascii
from base64 import urlsafe_b64encode
from hashlib import blake2b
from hmac import compare_digest

from nearline.errors import InvalidInput

SECRET_BYTES = 32
SIGNATURE_BYTES = 16
# Longer texts are refused before they are decoded.
MAX_TOKEN_CHARS = 16_384


class Signer:
    """Makes and verifies tokens with a secret.

    Parameters
    ----------
    secret : bytes
        At least 16 random bytes, equal in all processes that share a store.
    """

    def __init__(self, secret: bytes) -> None:
        if len(secret) < SIGNATURE_BYTES:
            raise ValueError(f"the secret has {len(secret)} bytes; it must have at least 16")
        self.secret = secret

    def sign(self, purpose: str, content: bytes) -> str:
        """Return a token of URL-safe characters; equal arguments give equal tokens.

        Parameters
        ----------
        purpose : str
            Kind of token, at most 16 bytes: a token for one purpose is not valid for another.
        content : bytes
            What `verify` returns, about 12,000 bytes at most.
        """
        token = self._signature(purpose, content) + content
        return urlsafe_b64encode(token).rstrip(b"=").decode()

    def pseudonym(self, user_id: str) -> str:
        """Return what stands for a user: a keyed hash that says nothing without the secret."""
        return self._signature("pseudonym", user_id.encode()).hex()

    def verify(self, purpose: str, token: str, field: str) -> bytes:
        """Return the content of a token that `sign` made for this purpose.

        The comparison takes the same time wherever a forged signature differs.

        Raises
        ------
        InvalidInput
            The token was changed, or made with another secret or for another purpose.
        """
        content = self._content(purpose, token)
        if content is None:
            raise InvalidInput(
                f"{field} is {token!r:.60}, which this store did not make; send the text that an "
                f"answer of this store contains as it is, or leave {field} out to start again",
                field=field,
            )
        return content

    def _content(self, purpose: str, token: str) -> bytes | None:
        if len(token) > MAX_TOKEN_CHARS or not token.isascii():
            return None
        text = token.encode().translate(bytes.maketrans(b"-_+/", b"+/!!"))
        try:
            found = binascii.a2b_base64(text + b"=" * (-len(text) % 4), strict_mode=True)
        except binascii.Error:
            return None
        signature, content = found[:SIGNATURE_BYTES], found[SIGNATURE_BYTES:]
        if not compare_digest(signature, self._signature(purpose, content)):
            return None
        # Several texts may decode to the same bytes; only one of them is the token.
        return content if self.sign(purpose, content) == token else None

    def _signature(self, purpose: str, content: bytes) -> bytes:
        key, person = self.secret, purpose.encode()
        return blake2b(content, digest_size=SIGNATURE_BYTES, key=key, person=person).digest()
