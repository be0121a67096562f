"""Sealing: encryption of what a store keeps on disk, with a key for each user.

A master key, which is kept outside of the store, wraps one *root key*. The root key wraps the keys
in ``keys.db``: one for each user, one for the catalogue, one for checkpoints. Erasing a user
destroys the user's key, so that copies of the log that were made before can't be read either.
"""

from nearline.sealing.finding import (
    KEYS,
    SOURCE_VARIABLE,
    default_source,
    find,
    make_keys,
    open_keys,
    register,
    registered,
    unlocked_beside,
)
from nearline.sealing.keys import (
    CATALOGUE,
    FILES,
    SealingKeys,
    Unlocked,
    create_keys,
    new_cipher,
    rotate,
    unlock,
)
from nearline.sealing.master import DEFAULT_SOURCE, master_key
from nearline.sealing.seal import TOMBSTONE, VECTORS_SECRET, Seal, secret_of

__all__ = [
    "CATALOGUE",
    "DEFAULT_SOURCE",
    "FILES",
    "KEYS",
    "SOURCE_VARIABLE",
    "TOMBSTONE",
    "VECTORS_SECRET",
    "Seal",
    "SealingKeys",
    "Unlocked",
    "create_keys",
    "default_source",
    "find",
    "make_keys",
    "master_key",
    "new_cipher",
    "open_keys",
    "register",
    "registered",
    "rotate",
    "secret_of",
    "unlock",
    "unlocked_beside",
]
