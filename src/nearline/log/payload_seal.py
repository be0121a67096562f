"""Opening of the sealed payloads of a log."""

from collections.abc import Iterable
from pathlib import Path

from nearline.errors import InvalidInput
from nearline.sealing import KEYS, Seal, find
from nearline.sealing.seal import SEALED, key_of, number_of

Rows = list[tuple[int, bytes]]


class PayloadSeal:
    """Seal of the log in a file, which is found at the first use.

    Parameters
    ----------
    path : Path or None
        File of the log, beside its file of keys.
    number : int
        Number of the keys with which the log is sealed; 0 if it is not.
    read_only : bool
    """

    def __init__(self, path: Path | None, number: int, *, read_only: bool) -> None:
        self._path, self._number, self._read_only = path, number, read_only
        self._seal: Seal | None = None

    @property
    def seal(self) -> Seal | None:
        """The seal; None if the log is not sealed."""
        if self._seal is None and self._number and self._path is not None:
            unlocked = find(self._path)
            if number_of(unlocked) != self._number:
                raise InvalidInput(
                    f"{self._path} was sealed with the keys of another {KEYS} than the one in its "
                    "folder; copy the newest one of the store there",
                    field="seal",
                )
            self._seal = Seal(unlocked, read_only=self._read_only)
        return self._seal

    def opened(self, rows: Rows) -> Rows:
        """Return (offset, payload) with the content of sealed payloads."""
        seal = self.seal if self._number else None
        if seal is None:
            return rows
        return [(offset, seal.opened(payload)) for offset, payload in rows]

    def key_ids(self, rows: Iterable[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        """Return (ID of its key, content) of each sealed payload."""
        seal = self.seal
        sealed = [payload for _, payload in rows if payload and payload[0] == SEALED]
        return [] if seal is None else [(key_of(one), seal.opened(one)) for one in sealed]

    def close(self) -> None:
        """Release the file of keys."""
        if self._seal is not None:
            self._seal.close()
