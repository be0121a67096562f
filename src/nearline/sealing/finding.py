"""The root keys that this process has unlocked, and the seal of a log."""

import os
from pathlib import Path

from nearline.errors import InvalidInput
from nearline.sealing.keys import Unlocked, create_keys, unlock
from nearline.sealing.master import DEFAULT_SOURCE

KEYS = "keys.db"
SOURCE_VARIABLE = "NEARLINE_SEAL"
_unlocked: dict[str, Unlocked] = {}


def default_source() -> str:
    """Return the source of the master key that the environment names."""
    return os.environ.get(SOURCE_VARIABLE) or DEFAULT_SOURCE


def register(unlocked: Unlocked) -> None:
    """Keep a root key for this process."""
    _unlocked[unlocked.path] = unlocked


def registered() -> list[Unlocked]:
    """Return all root keys of this process, for a process that works for it."""
    return list(_unlocked.values())


def unlocked_beside(log: Path) -> Unlocked | None:
    """Return the root key of the store of a log, if this process has unlocked it."""
    return _unlocked.get(str(log.absolute().parent / KEYS))


def find(log: Path) -> Unlocked:
    """Return the root key of the store of a sealed log; unlock it if that was not done yet.

    Raises
    ------
    InvalidInput
        There is no file of keys, no master key, or another one.
    """
    found = unlocked_beside(log)
    if found is None:
        found = open_keys(log.absolute().parent, default_source())
    return found


def open_keys(folder: Path, source: str) -> Unlocked:
    """Unlock the keys of a sealed store with the master key of a source."""
    path = folder.absolute() / KEYS
    if not path.is_file():
        raise InvalidInput(
            f"{folder} is a sealed store, and its {KEYS} is missing; copy the newest {KEYS} of the "
            "store into this folder",
            field="seal",
        )
    found = unlock(path, source)
    register(found)
    return found


def make_keys(folder: Path, source: str) -> Unlocked:
    """Create the keys of a store, or unlock those that are there."""
    path = folder.absolute() / KEYS
    if path.is_file():
        return open_keys(folder, source)
    found = create_keys(path, source)
    register(found)
    return found
