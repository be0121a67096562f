"""Sealing and opening of payloads and files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from struct import iter_unpack
from typing import Any

from nearline.errors import Damaged
from nearline.sealing.keys import (
    CATALOGUE,
    FILES,
    NONCE_BYTES,
    TAG_BYTES,
    Held,
    SealingKeys,
    Unlocked,
)

# First byte of a sealed payload. MessagePack does not use it, and tombstones begin with zero.
SEALED = 0xC1
ID_BYTES = 8
HEAD_BYTES = 1 + ID_BYTES
_HEAD = bytes([SEALED])
# Head, nonce, and encrypted content with its tag.
PARTS = 3
# Bytes that sealing adds to a payload.
ADDED_BYTES = HEAD_BYTES + NONCE_BYTES + TAG_BYTES
# Payload of a record whose key was destroyed, which is decoded as `Erased`.
TOMBSTONE = b"\0"
FILE_MAGIC = b"nearline sealed file 1\n"
_CHUNK = 1 << 24
_LENGTH_BYTES = 8
DIGEST_BYTES = 16
# Purposes of `secret_of`.
DIGESTS_SECRET, VECTORS_SECRET = b"digests", b"text vectors"


class Seal:
    """Seal of an open store.

    Parameters
    ----------
    unlocked : Unlocked
    read_only : bool
        Whether another process may have the store open, so that no key is made or destroyed.
    """

    def __init__(self, unlocked: Unlocked, *, read_only: bool = False) -> None:
        self.unlocked, self.read_only = unlocked, read_only
        self.keys = SealingKeys(unlocked, read_only=read_only)

    def payloads(self, owners: Sequence[str | None], payloads: Iterable[bytes]) -> list[bytes]:
        """Return payloads sealed for their owners; those without a user are the catalogue's."""
        distinct = list(dict.fromkeys(owners))
        places = {owner: at for at, owner in enumerate(distinct)}
        parts = self.parts(distinct, [places[owner] for owner in owners], payloads)
        return [b"".join(parts[at : at + PARTS]) for at in range(0, len(parts), PARTS)]

    def parts(
        self, owners: Sequence[str | None], places: Sequence[int], payloads: Iterable[bytes]
    ) -> list[bytes]:
        """Return the parts of payloads sealed for their owners, `PARTS` of each, to be joined.

        Parameters
        ----------
        owners : sequence of str or None
            Distinct users; None is the catalogue.
        places : sequence of int
            Position in `owners` of the owner of each payload.
        payloads : iterable of bytes
        """
        keys = self.keys.of([CATALOGUE if owner is None else owner for owner in owners])
        heads, ciphers = [_head(key) for key in keys], [key.cipher.encrypt for key in keys]
        nonces = iter_unpack(f"{NONCE_BYTES}s", os.urandom(NONCE_BYTES * len(places)))
        found: list[bytes] = []
        for at, (nonce,), payload in zip(places, nonces, payloads, strict=True):
            head = heads[at]
            found += (head, nonce, ciphers[at](nonce, payload, head))
        return found

    def alone(self, pieces: Sequence[Sequence[bytes]]) -> list[list[bytes]]:
        """Return pieces of data, each with its parts sealed by a key of the piece alone."""
        keys = self.keys.alone(len(pieces))
        return [
            [_sealed(key, os.urandom(NONCE_BYTES), part) for part in parts]
            for key, parts in zip(keys, pieces, strict=True)
        ]

    def destroy(self, payloads: Iterable[bytes]) -> None:
        """Destroy the keys of payloads that `alone` sealed, also for copies of the payloads."""
        self.keys.overwrite(sorted({key_of(payload) for payload in payloads}))

    def digest(self, *texts: str) -> bytes:
        """Return a keyed hash, by which texts are found without being readable."""
        text = "\0".join(texts).encode()
        key = secret_of(self.unlocked, DIGESTS_SECRET)
        return blake2b(text, key=key, digest_size=DIGEST_BYTES).digest()

    def opened(self, payload: bytes) -> bytes:
        """Return the content of a payload; a tombstone if its key was destroyed.

        Raises
        ------
        Damaged
            The payload was changed, or ``keys.db`` is another one or older than the log.
        """
        if not payload or payload[0] != SEALED:
            return payload  # a tombstone
        cipher = self.keys.cipher(key_of(payload))
        if cipher is None:
            return TOMBSTONE
        return _opened(cipher, payload)

    def file(self, parts: Iterable[memoryview]) -> Iterator[bytes]:
        """Yield the parts of a sealed file, with a key that the next erasure destroys."""
        key = self.keys.current(FILES) or self.keys.of([FILES])[0]
        yield FILE_MAGIC
        number = 0
        for part in parts:
            for start in range(0, len(part), _CHUNK):
                sealed = _sealed(key, _number(number), bytes(part[start : start + _CHUNK]))
                yield len(sealed).to_bytes(_LENGTH_BYTES, "little")
                yield sealed
                number += 1

    def file_content(self, data: memoryview) -> memoryview:
        """Return the content of a sealed file.

        Raises
        ------
        Damaged
            The file is not sealed, its key was destroyed, or it was changed.
        """
        if data[: len(FILE_MAGIC)] != FILE_MAGIC:
            raise Damaged("the file is not sealed")
        at, content = len(FILE_MAGIC), bytearray()
        while at < len(data):
            size = int.from_bytes(data[at : at + _LENGTH_BYTES], "little")
            at += _LENGTH_BYTES
            opened = self.opened(bytes(data[at : at + size]))
            if opened == TOMBSTONE:
                raise Damaged("its key was destroyed by an erasure")
            content += opened
            at += size
        return memoryview(bytes(content))

    def forget_files(self) -> None:
        """Destroy the key of all sealed files."""
        if self.keys.current(FILES) is not None:
            self.keys.destroy(FILES, self.keys.retire(FILES))

    def close(self) -> None:
        """Release ``keys.db``; idempotent."""
        self.keys.close()


def number_of(unlocked: Unlocked) -> int:
    """Return the number by which a log names its keys, a positive 62-bit integer."""
    digest = blake2b(b"number", key=unlocked.root, digest_size=8).digest()
    return (int.from_bytes(digest) >> 2) or 1


def secret_of(unlocked: Unlocked, purpose: bytes) -> bytes:
    """Return 32 secret bytes for a purpose, derived from the root key."""
    return blake2b(purpose, key=unlocked.root, digest_size=32).digest()


def key_of(payload: bytes) -> int:
    """Return the ID of the key of a sealed payload."""
    return int.from_bytes(payload[1:HEAD_BYTES], "big")


def _head(key: Held) -> bytes:
    return _HEAD + key.id.to_bytes(ID_BYTES, "big")


def _sealed(key: Held, nonce: bytes, payload: bytes) -> bytes:
    head = _head(key)
    return b"".join((head, nonce, key.cipher.encrypt(nonce, payload, head)))


def _opened(cipher: Any, payload: bytes) -> bytes:
    from cryptography.exceptions import InvalidTag

    if len(payload) < HEAD_BYTES + NONCE_BYTES + TAG_BYTES:
        raise Damaged("a sealed record is cut off; restore the log from a backup")
    begin = HEAD_BYTES + NONCE_BYTES
    nonce, text = payload[HEAD_BYTES:begin], payload[begin:]
    try:
        content: bytes = cipher.decrypt(nonce, text, payload[:HEAD_BYTES])
    except InvalidTag:
        raise Damaged(
            f"a record sealed with key {key_of(payload)} was changed, or keys.db belongs to "
            "another store; restore both from copies"
        ) from None
    return content


def _number(number: int) -> bytes:
    """Return the nonce of a chunk: random and then its number, so that none is used twice."""
    return os.urandom(NONCE_BYTES - 4) + number.to_bytes(4, "big")
