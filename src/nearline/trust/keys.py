"""API keys: ``nl_ID_SECRET``, of which only an HMAC is stored.

The secret has 256 random bits, so a fast hash is enough: unlike a password, it cannot be guessed.
The HMAC key is in a file beside the database, so that a copy of the database alone is of no use.
"""

import hmac
from base64 import urlsafe_b64encode
from collections.abc import Collection, Iterable
from pathlib import Path
from secrets import token_bytes, token_hex
from typing import Any, cast

import apsw
import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nearline.common.secret_file import secret_in
from nearline.errors import DataNotFound, InvalidInput, StorageFailed
from nearline.trust.grants import SCOPES

DATABASE, PEPPER = "access.db", "access.key"
PREFIX, ID_CHARS, SECRET_CHARS = "nl_", 12, 43
KEY_CHARS = len(PREFIX) + ID_CHARS + 1 + SECRET_CHARS
MAX_KEYS, MAX_NAMES, MAX_LABEL = 10_000, 100, 200
BUSY_MS = 5_000
_SCHEMA = """
CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, key BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS used (id TEXT PRIMARY KEY, at REAL NOT NULL) STRICT, WITHOUT ROWID;
"""


class ApiKey(Struct, frozen=True, kw_only=True):
    """A key as it is stored.

    Attributes
    ----------
    id : str
        12 hexadecimal digits.
    digest : bytes
        HMAC-SHA256 of the whole key.
    scopes : tuple of str
        Of `SCOPES`.
    namespaces : tuple of str or None
        Namespaces to which the key is bound; None for none.
    label : str
        What the key is for.
    created, expires, revoked : float or None
        Unix seconds.
    publishable : bool
        Whether browsers may know the key.
    origins : tuple of str
        Origins of the pages that may use a publishable key.
    rate : float or None
        Requests per second; None for the limit of the server.
    """

    id: str
    digest: bytes
    scopes: tuple[str, ...]
    namespaces: tuple[str, ...] | None = None
    label: str = ""
    created: float = 0.0
    expires: float | None = None
    revoked: float | None = None
    publishable: bool = False
    origins: tuple[str, ...] = ()
    rate: float | None = None

    def ended(self, now: float) -> bool:
        """Return whether the key is not valid any more at a time (Unix seconds)."""
        return self.revoked is not None or (self.expires is not None and now >= self.expires)


class NewKey(Struct, frozen=True, kw_only=True):
    """A key that was just made: the only time at which the key itself is known.

    `token_secret` signs tokens of users, for a publishable key.
    """

    id: str
    key: str
    token_secret: str | None = None


class ListedKey(Struct, frozen=True, kw_only=True):
    """A key of a listing, with the time of its last use and whether it is valid."""

    id: str
    label: str
    scopes: tuple[str, ...]
    namespaces: tuple[str, ...] | None
    publishable: bool
    origins: tuple[str, ...]
    rate: float | None
    created: float
    expires: float | None
    revoked: float | None
    last_used: float | None
    valid: bool


class KeyStore:
    """The keys in a folder: ``access.db``, and ``access.key`` with the key of the HMACs.

    Several processes can use the same folder.

    Parameters
    ----------
    folder : Path
        Folder of the store, or of several stores.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / DATABASE
        self._folder = folder

    @property
    def exists(self) -> bool:
        """Whether a key was ever made; a server then needs a key for each request."""
        return self.path.is_file()

    def pepper(self) -> bytes:
        """Return the key of the HMACs."""
        try:
            return secret_in(self._folder / PEPPER)
        except (OSError, ValueError) as error:
            raise StorageFailed(
                f"the secret of the keys cannot be used ({error}); restore "
                f"{self._folder / PEPPER}, or remove {self.path} and make new keys"
            ) from error

    def create(
        self,
        scopes: Collection[str],
        *,
        now: float,
        namespaces: Iterable[str] | None = None,
        label: str = "",
        expires: float | None = None,
        publishable: bool = False,
        origins: Iterable[str] = (),
        rate: float | None = None,
    ) -> NewKey:
        """Make a key, store its HMAC durably, and return it.

        Raises
        ------
        InvalidInput
            A value is invalid, or there are too many keys; the error names the field.
        """
        key_id = token_hex(ID_CHARS // 2)
        key = f"{PREFIX}{key_id}_{urlsafe_b64encode(token_bytes(32)).rstrip(b'=').decode()}"
        made = ApiKey(
            id=key_id,
            digest=digest_of(self._checked_pepper(), key.encode()),
            scopes=_checked_scopes(scopes, publishable=publishable),
            namespaces=None if namespaces is None else _names(namespaces, "namespaces"),
            label=_label(label),
            created=now,
            expires=_later(expires, now),
            publishable=publishable,
            origins=_names(origins, "origins"),
            rate=rate,
        )
        if made.origins and not publishable:
            raise InvalidInput("origins are for publishable keys only", field="origins")
        if rate is not None and not 0 < rate <= 1e6:
            raise InvalidInput(
                f"rate is {rate}; it must be above 0 and at most 1,000,000", field="rate"
            )
        with self._open() as db:
            (count,) = db.execute("SELECT count(*) FROM keys").fetchone() or (0,)
            if count >= MAX_KEYS:
                raise InvalidInput(f"there are {count:,} keys, the most that are allowed; revoke")
            self._put(db, made)
        secret = token_secret(self.pepper(), key_id) if publishable else None
        return NewKey(id=key_id, key=key, token_secret=secret)

    def rotate(self, key_id: str, *, now: float, overlap: float) -> NewKey:
        """Make a key with the rights of another one, which ends after `overlap` seconds.

        Raises
        ------
        InvalidInput
            There is no such key, or it is not valid any more.
        """
        old = self._known(key_id)
        if old.ended(now):
            raise InvalidInput(f"key {key_id} is not valid any more; create a new key", field="id")
        new = self.create(
            old.scopes,
            now=now,
            namespaces=old.namespaces,
            label=old.label,
            expires=None,
            publishable=old.publishable,
            origins=old.origins,
            rate=old.rate,
        )
        end = now + overlap
        ends = end if old.expires is None else min(end, old.expires)
        with self._open() as db:
            self._put(db, replace(old, expires=ends))
        return new

    def revoke(self, key_id: str, *, now: float) -> None:
        """End a key at once; one that was revoked stays as it is."""
        key = self._known(key_id)
        if key.revoked is None:
            with self._open() as db:
                self._put(db, replace(key, revoked=now))

    def all(self) -> dict[str, ApiKey]:
        """Return all keys by ID, in the order of their IDs."""
        if not self.exists:
            return {}
        with self._open() as db:
            rows = db.execute("SELECT key FROM keys ORDER BY id").fetchall()
        keys = [msgspec.msgpack.decode(cast("bytes", row[0]), type=ApiKey) for row in rows]
        return {key.id: key for key in keys}

    def listed(self, now: float) -> list[ListedKey]:
        """Return all keys, the newest first, without their digests."""
        keys = self.all()
        used: dict[Any, Any] = {}
        if keys:
            with self._open() as db:
                rows = db.execute("SELECT id, at FROM used").fetchall()
                used = dict(cast("list[tuple[Any, Any]]", rows))
        names = set(ListedKey.__struct_fields__) - {"last_used", "valid"}
        found = [
            ListedKey(
                **{name: getattr(key, name) for name in names},
                last_used=used.get(key.id),
                valid=not key.ended(now),
            )
            for key in keys.values()
        ]
        return sorted(found, key=lambda key: (-key.created, key.id))

    def note_used(self, times: dict[str, float]) -> None:
        """Store when keys were last used (Unix seconds, by ID)."""
        with self._open() as db:
            for key_id, at in times.items():
                db.execute("INSERT OR REPLACE INTO used VALUES (?, ?)", (key_id, at))

    def _known(self, key_id: str) -> ApiKey:
        keys = self.all()
        if key_id not in keys:
            raise InvalidInput(
                f"id is {key_id!r:.60}; there is no such key: nearline keys list shows all",
                field="id",
            )
        return keys[key_id]

    def _checked_pepper(self) -> bytes:
        if not self._folder.is_dir():
            raise DataNotFound(f"there is no folder {self._folder}; name that of a store")
        if self.exists and not (self._folder / PEPPER).exists():
            raise StorageFailed(
                f"{self._folder / PEPPER} is missing, without which no key of {self.path} is "
                "valid; restore it, or remove both files and make new keys"
            )
        return self.pepper()

    def _put(self, db: apsw.Connection, key: ApiKey) -> None:
        row = (key.id, msgspec.msgpack.encode(key))
        db.execute("INSERT OR REPLACE INTO keys VALUES (?, ?)", row)

    def _open(self) -> "_Transaction":
        return _Transaction(self.path)


class _Transaction:
    """A connection to the database in one transaction; closed at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> apsw.Connection:
        try:
            if not self._path.exists():
                self._path.touch(0o600)
            self._db = apsw.Connection(str(self._path))
            self._db.set_busy_timeout(BUSY_MS)
            self._db.pragma("synchronous", "full")
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(_SCHEMA)
        except (apsw.Error, OSError) as error:
            raise StorageFailed(f"{self._path} cannot be used ({error}); check the file") from error
        return self._db

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            self._db.execute("COMMIT" if kind is None else "ROLLBACK")
        except apsw.Error as error:
            raise StorageFailed(f"{self._path} cannot be written ({error})") from error
        finally:
            self._db.close()


def digest_of(pepper: bytes, key: bytes) -> bytes:
    """Return what is stored of a key: its HMAC-SHA256."""
    return hmac.digest(pepper, key, "sha256")


def token_secret(pepper: bytes, key_id: str) -> str:
    """Return the secret with which the owner of a publishable key signs tokens of users."""
    derived = hmac.digest(pepper, b"user token " + key_id.encode(), "sha256")
    return urlsafe_b64encode(derived).rstrip(b"=").decode()


def _checked_scopes(scopes: Collection[str], *, publishable: bool) -> tuple[str, ...]:
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        found = repr(wrong[0])[:50] if wrong else "empty"
        raise InvalidInput(
            f"scope is {found}; give at least one of {', '.join(SCOPES)}", field="scope"
        )
    if publishable and set(scopes) != {"read"}:
        raise InvalidInput(
            "a publishable key can only have the scope read, since every visitor knows it",
            field="scope",
        )
    return tuple(scope for scope in SCOPES if scope in scopes)


def _names(names: Iterable[str], field: str) -> tuple[str, ...]:
    found = tuple(dict.fromkeys(names))
    if len(found) > MAX_NAMES or any(not name or len(name) > MAX_LABEL for name in found):
        raise InvalidInput(
            f"{field} has {len(found)} entries; at most {MAX_NAMES} of 1 to {MAX_LABEL} "
            "characters are allowed",
            field=field,
        )
    return found


def _label(label: str) -> str:
    if len(label) > MAX_LABEL or not (label.isprintable()):
        raise InvalidInput(
            f"label is {label!r:.60}; it must be at most {MAX_LABEL} printable characters",
            field="label",
        )
    return label


def _later(expires: float | None, now: float) -> float | None:
    if expires is not None and not now < expires < now + 3_200_000_000:
        raise InvalidInput("expires is not in the future; give a later time", field="expires")
    return expires
