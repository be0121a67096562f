"""The secret of a store, with which it signs cursors."""

import logging
from pathlib import Path
from secrets import token_bytes

from nearline.common import secret_file
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
        return secret_file.secret_in(path)
    except ValueError as error:  # not the work of this package, which writes the file atomically
        logger.warning("%s and is ignored", error)
    except OSError as error:
        logger.warning("%s cannot be written (%s): cursors end with this process", path, error)
    return token_bytes(SECRET_BYTES)


def write_secret(folder: Path, secret: bytes) -> bytes:
    """Store a secret, unless there is one already; return the one that is stored."""
    return secret_file.write_secret(folder / KEY_FILE, secret)
