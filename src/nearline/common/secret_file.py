"""Secrets in files of their own, which only their owner can read."""

import os
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes, token_hex

SECRET_BYTES = 32


def secret_in(path: Path) -> bytes:
    """Return the secret in a file, which is made if there is none.

    All processes get the same bytes, even if they make the file at the same time.

    Raises
    ------
    OSError
        The file can be neither read nor written.
    ValueError
        The file does not have the size of a secret.
    """
    try:
        return read_secret(path)
    except FileNotFoundError:
        return write_secret(path, token_bytes(SECRET_BYTES))


def write_secret(path: Path, secret: bytes) -> bytes:
    """Store a secret, unless there is one already; return the one that is stored."""
    partial = path.with_name(f".{path.name}.{token_hex(8)}")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(secret)
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            os.link(partial, path)  # atomic
    finally:
        partial.unlink(missing_ok=True)
    return read_secret(path)


def read_secret(path: Path) -> bytes:
    """Return the secret in a file; raise ValueError if it has another size."""
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        raise ValueError(f"{path} has {len(secret)} bytes instead of {SECRET_BYTES}")
    return secret
