"""Entries of the served log, and their form in a file.

An entry is one line: the CRC-32 of its JSON as eight hexadecimal digits, a space, the JSON and a
line feed. A line that was torn by a crash has no line feed or a wrong checksum, and is skipped. In
a sealed store, the JSON is sealed for the user of the entry and written in base64.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from zlib import crc32

import msgspec
from msgspec import Struct

from nearline.schema.records import Scalar
from nearline.sealing import Seal

_CHECK_CHARS = 9


class Served(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="list", gc=False):
    """A list that was served.

    Attributes
    ----------
    recommendation_id : str
    user_id : str or None
        None for a session without an account.
    timestamp : float
        Time of serving, in Unix seconds.
    item_ids, tiers : tuple of str
        Items of the list and their tiers, in order.
    model : str
        Snapshot ID of the model.
    offset : int
        Log offset that the list reflects: what it led to was logged from there on.
    policy : str
        Name of the policy that chose the items: ``greedy``, or the method of exploration.
    propensities : tuple of float or None
        Probability with which each item was put at its position, given those before; None if the
        policy is deterministic.
    explored : tuple of int
        Positions (from 0) at which the list differs from that without exploration.
    scenario : str or None
    experiments : dict of str to str
        Variant of each experiment that the list is part of.
    teams : tuple of str
        Variant to which each item counts, if two variants are interleaved; else empty.
    context : dict or None
        Context of the request.
    chosen : str or None
        Policy that the scenario chose, if it chooses among policies.
    chosen_propensity : float or None
        Probability with which it was chosen.
    parts : dict of str to tuple of float
        What each relation added to the score of each item, divided by the largest score; empty
        unless the policy learns from it.
    """

    recommendation_id: str
    user_id: str | None
    timestamp: float
    item_ids: tuple[str, ...]
    tiers: tuple[str, ...]
    model: str
    offset: int
    policy: str = "greedy"
    propensities: tuple[float, ...] | None = None
    explored: tuple[int, ...] = ()
    scenario: str | None = None
    experiments: dict[str, str] = {}
    teams: tuple[str, ...] = ()
    context: dict[str, Scalar] | None = None
    chosen: str | None = None
    chosen_propensity: float | None = None
    parts: dict[str, tuple[float, ...]] = {}

    @property
    def variant(self) -> str | None:
        """Variant of the first experiment, in alphabetical order; None without any."""
        return self.experiments[min(self.experiments)] if self.experiments else None


class ServedAgain(Struct, frozen=True, kw_only=True, tag="again", gc=False):
    """Further times at which a list of the same file was served, in Unix seconds."""

    recommendation_id: str
    times: tuple[float, ...]


class ItemsSeen(Struct, frozen=True, kw_only=True, tag="seen", gc=False):
    """Items of a list that a user saw, as reported by `POST /v1/impressions`."""

    recommendation_id: str
    user_id: str | None
    timestamp: float
    item_ids: tuple[str, ...]


Entry = Served | ServedAgain | ItemsSeen
# An entry and the time at which it was added, in Unix seconds: a list can be served many times.
Timed = tuple[Served | ItemsSeen, float]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Entry)


def timed(entry: Served | ItemsSeen, time: float) -> Served | ItemsSeen:
    """Return an entry with another time."""
    return entry if entry.timestamp == time else msgspec.structs.replace(entry, timestamp=time)


def encode_entry(entry: Entry, seal: Seal | None = None) -> bytes:
    """Return the line of an entry, sealed for its user if there is a seal."""
    body = _encoder.encode(entry)
    if seal is not None:
        owner = None if isinstance(entry, ServedAgain) else entry.user_id
        body = b64encode(seal.payloads([owner], [body])[0])
    return b"%08x %b\n" % (crc32(body), body)


def decode_entries(data: bytes, seal: Seal | None = None) -> Iterator[tuple[Entry, bytes]]:
    """Yield the entries of a file with their lines.

    Damaged lines are skipped, as are those of users whose keys were destroyed.
    """
    for line in data.splitlines(keepends=True):
        body = line[_CHECK_CHARS:-1]
        if line[-1:] != b"\n" or line[:_CHECK_CHARS] != b"%08x " % crc32(body):
            continue
        if seal is not None and body[:1] != b"{":
            body = seal.opened(b64decode(body))
        try:
            yield _decoder.decode(body), line
        except msgspec.MsgspecError:  # an entry of a later version
            continue
