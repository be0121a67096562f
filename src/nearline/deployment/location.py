"""Where the parts of a store are: its folder, its log and its snapshots.

A store is named by its folder, or by the URL of a log in PostgreSQL. The URL is kept in the file
``log.url`` of the store's folder, so that the folder alone names the store, too.
"""

import os
from pathlib import Path

from nearline.errors import InvalidInput
from nearline.log import is_postgres, parse_target, url_of

LOG = "log.db"
LOG_URL = "log.url"
LOG_ID = "log.id"
SNAPSHOTS = "snapshots"


def folder_of(store: str | Path) -> Path:
    """Return the folder of a store, which is a folder or the URL of a log in PostgreSQL.

    The folder of a URL is that of its parameter `folder`, or else one for this log in
    ``~/.local/share/nearline``. It is created, and the URL is written to it.
    """
    if not is_postgres(store):
        return Path(store)
    folder, file = parse_target(str(store)).folder, LOG_URL
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / file).is_file() or (folder / file).read_text("utf-8") != str(store):
            partial = folder / f".{file}.{os.getpid()}"
            # Only the owner may read it: it may contain a password.
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as opened:
                opened.write(str(store))
            partial.replace(folder / file)
    except OSError as error:
        raise InvalidInput(
            f"the folder {folder} of the store cannot be used ({error.strerror}); name another one "
            "with ?folder=DIR in its URL",
            field="store",
        ) from error
    return folder


def log_url(folder: Path) -> str:
    """Return the URL of the log of the store in a folder."""
    try:
        return (folder / LOG_URL).read_text("utf-8").strip()
    except (FileNotFoundError, NotADirectoryError):
        return url_of(folder / LOG)


def snapshots_folder(folder: Path) -> Path:
    """Return the folder of the snapshots of the store in a folder."""
    url = log_url(folder)
    shared = parse_target(url).snapshots if is_postgres(url) else None
    return shared or folder / SNAPSHOTS


def check_same_log(folder: Path, log_id: str) -> None:
    """Raise `InvalidInput` if the files in a folder were made from another log.

    For a log in PostgreSQL; its ID is written to the folder at the first time.
    """
    path = folder / LOG_ID
    try:
        found = path.read_text("utf-8").strip()
    except FileNotFoundError:
        path.write_text(log_id, "utf-8")
        return
    if found != log_id:
        raise InvalidInput(
            f"the checkpoint in {folder} was made from another log (ID {found}) than the one at "
            f"its URL (ID {log_id}); name another folder with ?folder=DIR, or remove the folder",
            field="store",
        )
