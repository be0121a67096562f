"""Pseudonyms: HMACs that stand for the IDs of users, so that a store never holds an ID."""

import hmac
from pathlib import Path

from nearline.common import secret_file
from nearline.errors import Damaged

KEY_FILE = "pseudonym.key"
_PREFIX = "p_"
# Hexadecimal digits of the HMAC, and of the check by which a pseudonym is recognised.
_DIGITS, _CHECK = 32, 8
_LENGTH = len(_PREFIX) + _DIGITS + _CHECK


class Pseudonyms:
    """Pseudonyms of users: HMAC-SHA256 of namespace and ID, with a key in a file.

    The same ID has different pseudonyms in different namespaces.

    Parameters
    ----------
    folder : Path
        Folder of the key, which is made if there is none. Without the key, nobody can be found
        again by an ID.

    Raises
    ------
    Damaged
        The file has another size than a key.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            self._key = secret_file.secret_in(folder / KEY_FILE)
        except ValueError as error:
            raise Damaged(f"{error}; restore the file from a copy") from error

    def of(self, user_id: str, namespace: str = "") -> str:
        """Return the pseudonym of an ID; one that is a pseudonym of this key already is kept."""
        if len(user_id) == _LENGTH and user_id.startswith(_PREFIX):
            digits = user_id[len(_PREFIX) : -_CHECK]
            if hmac.compare_digest(user_id[-_CHECK:].encode(), self._check(digits).encode()):
                return user_id
        digits = self._mac(f"user\0{namespace}\0{user_id}")[:_DIGITS]
        return f"{_PREFIX}{digits}{self._check(digits)}"

    def _check(self, digits: str) -> str:
        return self._mac(f"check\0{digits}")[:_CHECK]

    def _mac(self, content: str) -> str:
        return hmac.digest(self._key, content.encode(), "sha256").hex()
