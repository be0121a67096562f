"""What the sender of a request may do: scopes, namespaces, and for browsers a single user."""

import math
from collections.abc import Collection

from msgspec import Struct

from nearline.errors import NearlineError

SCOPES = ("read", "events", "items", "privacy", "admin")
# A route that needs no key.
OPEN = "open"
BITS = {OPEN: 0, **{scope: 1 << at for at, scope in enumerate(SCOPES)}}
ALL = sum(BITS.values())


class Forbidden(NearlineError, PermissionError):
    """The key does not allow the request, or it is for another host or comes from another site."""


class Grant(Struct, frozen=True, gc=False):
    """What a request may do.

    Attributes
    ----------
    key_id : str
        ID of the key; "" if the server needs none, "api-key" for that of `--api-key`.
    scopes : int
        Sum of `BITS`; the scope ``admin`` includes all others.
    namespaces : frozenset of str or None
        Namespaces that the key is bound to; None for all, and for what is outside of namespaces.
    publishable : bool
        Whether the key is known to browsers: only routes that are marked as public.
    user_id : str or None
        For a publishable key: the user of the signed token, if there is one.
    rate : float or None
        Requests per second that the key allows; None for the limit of the server.
    """

    key_id: str
    scopes: int
    namespaces: frozenset[str] | None = None
    publishable: bool = False
    user_id: str | None = None
    rate: float | None = None

    @property
    def trusted(self) -> bool:
        """Whether all of `read` is allowed without a look at the path."""
        return bool(self.scopes & 1) and not self.publishable

    def check_scope(self, scope: str | None) -> None:
        """Raise `Forbidden` unless the scope of a route is allowed.

        A route without a scope is allowed to nobody.
        """
        bit = BITS.get(scope) if scope is not None else None
        if bit is None or (bit and not self.scopes & bit):
            raise Forbidden(
                f"the key {self.key_id} lacks the scope {scope!r}; make one that has it with "
                f"nearline keys create --scope {scope}"
            )

    def check_namespace(self, name: str | None) -> None:
        """Raise `Forbidden` unless a namespace, or what is outside of all (None), is allowed."""
        if self.namespaces is not None and name not in self.namespaces:
            raise Forbidden(
                f"the key {self.key_id} is bound to namespaces, and this request is for "
                f"{'none' if name is None else 'another'}; use /v1/ns/NAME/... with its own"
            )

    def check_public(self, *, public: bool, user_id: str | None) -> None:
        """Raise `Forbidden` unless a publishable key may use a route for a user."""
        if not self.publishable:
            return
        if not public:
            raise Forbidden(
                f"the key {self.key_id} is publishable and may not use this route; send the "
                "request from your server, with a secret key"
            )
        if user_id is not None and user_id != self.user_id:
            raise Forbidden(
                "a publishable key reads for the one user that a signed token names; send "
                "Nearline-User-Token with a token for this user"
            )


class Access:
    """What whoever sends a key may do, until the key ends or the keys of the server change.

    It can be kept for later requests with the same bytes, so that their key is not verified again.
    Each of them compares the time with `ends` and sets `used`.

    Attributes
    ----------
    grant : Grant
        Without the user of a signed token.
    ends : float
        Unix seconds; ``-inf`` when the keys changed after the key was verified.
    used, noted : float
        Time of the last use in Unix seconds, and the one that was stored last.
    """

    __slots__ = ("ends", "grant", "noted", "used")

    def __init__(self, grant: Grant, ends: float = math.inf) -> None:
        self.grant, self.ends = grant, ends
        self.used = self.noted = 0.0

    def end(self) -> None:
        """End it now, for everyone who keeps it."""
        self.ends = -math.inf


# For requests to a server without keys, and for those that the server makes itself.
EVERYTHING = Grant("", ALL)
# For a request on an open path.
NOTHING = Grant("", 0)


def scope_bits(scopes: Collection[str]) -> int:
    """Return the sum of the bits of scopes; ``admin`` includes all others."""
    return ALL if "admin" in scopes else sum(BITS[scope] for scope in scopes)
