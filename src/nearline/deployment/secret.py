"""The secret of a store, with which it signs cursors."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from secrets import token_bytes, token_hex

from nearline.common.signing import SECRET_BYTES

logger = logging.getLogger(__name__)

KEY_FILE = "secret.key"


def secret_of(folder: Path) -> bytes:
    """Return the secret of a store, which is made if there is none.

    All processes that open the folder get the same bytes, even if they make it at the same time.
    Only the owner of the file can read it. In a folder that cannot be written, the secret is valid
    for this process only.
    """
    path = folder / KEY_FILE
    try:
        return _read(path)
    except FileNotFoundError:
        pass
    secret = token_bytes(SECRET_BYTES)
    try:
        return write_secret(folder, secret)
    except OSError as error:
        logger.warning("%s cannot be written (%s): cursors end with this process", path, error)
        return secret


def write_secret(folder: Path, secret: bytes) -> bytes:
    """Store a secret, unless there is one already; return the one that is stored."""
    path = folder / KEY_FILE
    partial = folder / f".{KEY_FILE}.{token_hex(8)}"
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
    return _read(path)


def _read(path: Path) -> bytes:
    secret = path.read_bytes()
    if len(secret) != SECRET_BYTES:
        # Not the work of this package, which writes the file atomically.
        logger.warning("%s has %d bytes and is ignored", path, len(secret))
        return token_bytes(SECRET_BYTES)
    return secret
