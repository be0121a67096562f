"""The keys that a server accepts, in memory; it follows changes of the database."""

import hashlib
import logging
import math
from collections.abc import Callable, Iterable
from contextlib import suppress
from hmac import compare_digest
from secrets import token_bytes
from threading import Event, Lock, Thread

from nearline.errors import NearlineError
from nearline.trust.grants import EVERYTHING, Access, Grant, scope_bits
from nearline.trust.keys import ID_CHARS, KEY_CHARS, PREFIX, ApiKey, KeyStore, digest_of
from nearline.trust.keys import token_secret as secret_for
from nearline.trust.tokens import user_of

logger = logging.getLogger(__name__)

# Seconds after which a change of the database is noticed, such as a revoked key.
FOLLOW_SECONDS = 0.5
# Seconds between writes of the times of last use.
USED_SECONDS = 30.0
# Keys that were verified by their HMAC and are found by a faster keyed hash; then all are dropped.
MAX_VERIFIED = 20_000
_ID = slice(len(PREFIX), len(PREFIX) + ID_CHARS)
_NOBODY = bytes(32)


class Keyring:
    """Verifies keys.

    Parameters
    ----------
    keys : KeyStore
        Keys, which another process may change.
    clock : callable
        Returns the time in Unix seconds.

    Attributes
    ----------
    origins : frozenset of str
        Origins that valid publishable keys name.
    open : Access
        What all may do until the first key is made.

    Notes
    -----
    The first use of a key takes an HMAC and a comparison in constant time. Later uses take a
    look-up by a keyed hash (BLAKE2b with a secret of the process): the time of a look-up says
    nothing about keys, since nobody outside knows which hash belongs to which bytes.
    """

    def __init__(self, keys: KeyStore, clock: Callable[[], float]) -> None:
        self._store, self._clock = keys, clock
        self._secret = token_bytes(32)
        self._pepper: bytes | None = None
        self._keys: dict[str, ApiKey] = {}
        self._verified: dict[bytes, Access] = {}
        self._used: dict[str, float] = {}
        self._seen: object = None
        # The first is held while the database is read, the second while the keys are replaced.
        self._following, self._lock = Lock(), Lock()
        self._stopping = Event()
        self._thread: Thread | None = None
        self.origins: frozenset[str] = frozenset()
        self.open = Access(EVERYTHING)
        self.follow()

    @property
    def required(self) -> bool:
        """Whether requests need a key: once one was made, even if all are revoked."""
        return self._seen is not None

    def grant(self, key: bytes, token: bytes | None = None) -> Grant | None:
        """Return what a key allows; None if it is not valid."""
        access = self.access(key)
        return None if access is None else self.for_user(access.grant, token)

    def access(self, key: bytes) -> Access | None:
        """Return what a key allows from now on; None if it is not valid."""
        name = hashlib.blake2b(key, digest_size=16, key=self._secret).digest()
        found = self._verified.get(name)
        now = self._clock()
        if found is None or now >= found.ends:
            found = self._verify(key, name, now)
            if found is None:
                return None
        found.used = now
        return found

    def for_user(self, grant: Grant, token: bytes | None) -> Grant:
        """Return the grant of a key for the user that a signed token names, if it names one."""
        if token is None or not grant.publishable or self._pepper is None:
            return grant
        user_id = user_of(token, secret_for(self._pepper, grant.key_id), self._clock())
        return Grant(grant.key_id, grant.scopes, grant.namespaces, True, user_id, grant.rate)

    def may_use(self, key_id: str, origin: str) -> bool:
        """Return whether pages of an origin may use a publishable key."""
        key = self._keys.get(key_id)
        return key is not None and origin in key.origins

    def follow(self) -> None:
        """Read the keys again if the database has changed."""
        with self._following:
            try:
                found = self._store.path.stat()
            except OSError:
                return  # required stays as it is: a removed file does not open a running server
            seen = (found.st_ino, found.st_mtime_ns, found.st_size)
            if seen == self._seen:
                return
            try:
                keys, pepper = self._store.all(), self._store.pepper()
            except NearlineError as error:
                logger.warning("the keys cannot be read, and the last ones hold: %s", error)
                self._seen = self._seen or ()
                self.open.end()
                return
            self._seen = seen
            self.open.end()
            if keys == self._keys and pepper == self._pepper:
                return  # only times of last use were stored
            with self._lock:
                self._keys, self._pepper = keys, pepper
                self._end_all()
            valid = [key for key in keys.values() if not key.ended(self._clock())]
            self.origins = frozenset(origin for key in valid for origin in key.origins)

    def start(self) -> None:
        """Start the thread that follows the database and stores the times of last use."""
        self._stopping.clear()
        self._thread = Thread(target=self._run, name="nearline-keys", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Store the times of last use, and end the thread. Idempotent."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join()
            self._note_used()

    def _verify(self, key: bytes, name: bytes, now: float) -> Access | None:
        with self._lock:
            if self._pepper is None:
                return None
            known = None
            if len(key) == KEY_CHARS and key.isascii():
                known = self._keys.get(key[_ID].decode())
            digest = digest_of(self._pepper, key[:1_000])
            same = compare_digest(digest, _NOBODY if known is None else known.digest)
            if known is None or not same or known.ended(now):
                return None
            grant = Grant(
                known.id,
                scope_bits(known.scopes),
                None if known.namespaces is None else frozenset(known.namespaces),
                known.publishable,
                None,
                known.rate,
            )
            if len(self._verified) >= MAX_VERIFIED:
                self._end_all()
            # Another thread may have verified the key meanwhile: all have to share what is ended.
            found = self._verified.get(name)
            if found is None:
                ends = math.inf if known.expires is None else known.expires
                found = self._verified[name] = Access(grant, ends)
            return found

    def _end_all(self) -> None:
        """Forget which keys were verified; the lock is held."""
        ended, self._verified = self._verified, {}
        for access in ended.values():
            access.end()
        self._used |= _unnoted(ended.values())

    def _run(self) -> None:
        waited = 0.0
        while not self._stopping.wait(FOLLOW_SECONDS):
            self.follow()
            waited += FOLLOW_SECONDS
            if waited >= USED_SECONDS:
                waited = 0.0
                self._note_used()

    def _note_used(self) -> None:
        with self._lock:
            used, self._used = self._used | _unnoted(self._verified.values()), {}
        if used:
            with suppress(NearlineError):  # the next time
                self._store.note_used(used)


def _unnoted(accesses: Iterable[Access]) -> dict[str, float]:
    """Return the times of last use that were not stored, by key ID; mark them as stored."""
    found = {}
    for access in accesses:
        used = access.used
        if used > access.noted:
            found[access.grant.key_id] = access.noted = used
    return found
