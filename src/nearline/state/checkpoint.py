"""Checkpoints: the state in a file, so that a start replays only the rest of the log.

A file consists of `MAGIC`, the length of the header (8 bytes, little-endian), the header
(MessagePack), the sections and the BLAKE2b-256 of all bytes before it. If a checkpoint is damaged
or does not belong to the log, it is rejected and the whole log is replayed.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.common.files import sync_path, write_in_pieces
from nearline.errors import Damaged
from nearline.kernels import counted_events
from nearline.schema import Item
from nearline.schema.histories import Histories
from nearline.sealing import Seal
from nearline.state.catalogue import CatalogueCopy, Vectors
from nearline.state.changes import StateCopy
from nearline.state.checkpoint_parts import MOST_EVENTS, Sections, check_sizes, check_types
from nearline.state.config import StateConfig
from nearline.state.contexts import ContextsCopy, Pair
from nearline.state.counters import CountersCopy
from nearline.state.definitions import DefinitionsCopy
from nearline.state.kinds import STANDARD_KINDS, STANDARD_WEIGHTS
from nearline.state.profiles import Profiled, ProfilesCopy
from nearline.state.showings import Packed, packed, unpacked
from nearline.state.state import State

HISTORY_ARRAYS = ("indptr", "items", "weights", "times")
# The digit is the version of the format.
MAGIC = b"nearline state 7\n"
DIGEST_BYTES = 32
LENGTH_BYTES = 8
# Errors of decoding, and of parts that do not fit together.
UNUSABLE = (msgspec.MsgspecError, ValueError, LookupError, TypeError, OverflowError, MemoryError)


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Metadata of a checkpoint.

    Attributes
    ----------
    offset : int
        Offset in the log; all records before it are included.
    erasures : int
        Number of erasures in the log.
    config : str
        Digest of the state's configuration.
    sections : list of (str, str, int)
        Name, dtype and length of the array in each section.
    """

    offset: int
    erasures: int
    config: str
    sections: list[tuple[str, str, int]]


def save(state: State, path: Path, erasures: int, seal: Seal | None = None) -> int:
    """Write a checkpoint, which replaces an existing file, and return its offset.

    The write is atomic, and durable when the function returns. The lock of the state is held only
    while memory is copied.

    Parameters
    ----------
    erasures : int
        Number of erasures that `state` includes, read before this call. If there is another
        erasure during the call, `load` rejects the file, so that it restores no erased user.
    seal : Seal or None
        Seal of the store, with which the whole file is sealed.
    """
    copy = state.copy()
    sections = _sections(copy)
    header = Header(
        offset=copy.offset,
        erasures=erasures,
        config=_config_digest(state.config),
        sections=[(name, array.dtype.str, len(array)) for name, array in sections.items()],
    )
    # The name is fixed, so that the next save overwrites a file left by a crash.
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            parts = _parts(header, sections)
            write_in_pieces(file, parts if seal is None else seal.file(parts))
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_path(path.parent)
    return copy.offset


class AheadOfLog(Damaged):
    """The checkpoint is intact and reflects records that the log lacks."""

    def __init__(self, path: Path, offset: int, end: int) -> None:
        super().__init__(
            f"state checkpoint {path} cannot be used: its offset {offset} is not within the log, "
            f"which ends at {end}"
        )
        self.offset = offset


def remove_unfinished(path: Path) -> None:
    """Remove the incomplete file of a process that was killed while it wrote a checkpoint.

    Such a file may contain events of a user who is erased later.
    """
    _temporary(path).unlink(missing_ok=True)


def load(
    path: Path, config: StateConfig, erasures: int, end: int, seal: Seal | None = None
) -> State | None:
    """Read a checkpoint and return the state; None if there is no such file.

    Parameters
    ----------
    config : StateConfig
        Settings of the state, which must be equal to those of the checkpoint.
    erasures, end : int
        Number of erasures and end of the log.
    seal : Seal or None
        Seal of the store; None if the file is not sealed.

    Raises
    ------
    Damaged
        The file is damaged, or has another format, other settings or another log; the message
        contains the reason. The whole log must then be replayed.
    AheadOfLog
        The file reflects records that the log lacks.
    """
    try:
        data = memoryview(path.read_bytes())
        if seal is not None:
            data = seal.file_content(data)
    except FileNotFoundError:
        return None
    except Damaged as error:
        raise _refused(path, str(error)) from None
    header, sections = _read(data, path)
    if header.offset > end:
        raise AheadOfLog(path, header.offset, end)
    reason = _misfit(header, config, erasures, end)
    if reason:
        raise _refused(path, reason)
    try:
        return _restore(config, header.offset, sections)
    except UNUSABLE as error:
        raise _refused(path, f"its parts do not fit together ({error})") from error


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.tmp")


def _sections(copy: StateCopy) -> Sections:
    """Return the arrays of the file by name; tables of strings are MessagePack in bytes."""
    rows, counters, catalogue = copy.histories.rows(), copy.counters, copy.catalogue
    contexts = copy.contexts
    vectors = [
        (index, name, vector)
        for index, named in catalogue.vectors.items()
        for name, vector in named.items()
    ]
    keys = [(index, name, len(vector)) for index, name, vector in vectors]
    return {
        "users": _pack(copy.users),
        "items": _pack(copy.items),
        **{f"histories.{name}": getattr(rows, name) for name in HISTORY_ARRAYS},
        "histories.arrived": copy.histories.arrived(),
        "histories.opposed": copy.histories.opposed,
        **{f"counters.{name}": array for name, array in counters._asdict().items()},
        "contexts.pairs": _pack((contexts.pairs, contexts.age)),
        "contexts.since": contexts.since,
        "contexts.priorities": contexts.priorities.ravel(),
        "contexts.indptr": contexts.indptr,
        "contexts.items": contexts.items,
        "contexts.counts": contexts.counts,
        "available": catalogue.available,
        "entries": _pack(catalogue.entries),
        "definitions": _pack(copy.definitions),
        "vectors.keys": _pack(keys),
        "profiles": _pack(tuple(copy.profiles)),
        "showings": _pack(packed(copy.showings)),
        "vectors": np.concatenate([np.zeros(0), *(vector for _, _, vector in vectors)]),
    }


def _restore(config: StateConfig, offset: int, sections: Sections) -> State:
    check_types(sections)
    users, items = (_unpack(sections[name], list[str]) for name in ("users", "items"))
    pairs, age = _unpack(sections["contexts.pairs"], tuple[list[Pair], int])
    check_sizes(sections, len(users), len(items), len(pairs))
    if not 0 <= age <= MOST_EVENTS:
        raise ValueError(f"the age of contexts is {age}")
    entries = _unpack(sections["entries"], dict[int, Item])
    vectors: dict[int, Vectors] = {}
    begin = 0
    for index, name, length in _unpack(sections["vectors.keys"], list[tuple[int, str, int]]):
        vectors.setdefault(index, {})[name] = sections["vectors"][begin : begin + length].copy()
        begin += length
    if begin != len(sections["vectors"]):
        raise ValueError("vectors does not have the length of its keys")
    for index in (*entries, *vectors):
        if not 0 <= index < len(items):
            raise ValueError(f"there is an entry of item {index}, and {len(items)} items")
    if not entries.keys() >= vectors.keys():
        raise ValueError("there are vectors of an item without an entry")
    return State.restore(
        config,
        offset=offset,
        users=users,
        items=items,
        histories=Histories(*(sections[f"histories.{name}"] for name in HISTORY_ARRAYS)),
        arrived=sections["histories.arrived"],
        opposed=sections["histories.opposed"].copy(),
        counters=CountersCopy(
            *(sections[f"counters.{name}"].copy() for name in CountersCopy._fields)
        ),
        contexts=ContextsCopy(
            pairs,
            sections["contexts.since"],
            sections["contexts.priorities"].reshape(-1, 2),
            age,
            sections["contexts.indptr"],
            sections["contexts.items"],
            sections["contexts.counts"],
        ),
        catalogue=CatalogueCopy(entries, vectors, sections["available"].copy()),
        definitions=_unpack(sections["definitions"], DefinitionsCopy),
        profiles=ProfilesCopy(*_unpack(sections["profiles"], Profiled)),
        showings=unpacked(_unpack(sections["showings"], Packed), len(items)),
    )


def _parts(header: Header, sections: Sections) -> Iterator[memoryview]:
    """Yield the bytes of a file, in order."""
    head = msgspec.msgpack.encode(header)
    digest = hashlib.blake2b(digest_size=DIGEST_BYTES)
    opening = MAGIC + len(head).to_bytes(LENGTH_BYTES, "little") + head
    for part in (memoryview(opening), *(_bytes_of(array) for array in sections.values())):
        digest.update(part)
        yield part
    yield memoryview(digest.digest())


def _read(data: memoryview, path: Path) -> tuple[Header, Sections]:
    """Verify the bytes of a file and split it into sections, which are views of `data`."""
    if data[: len(MAGIC)] != MAGIC:
        raise _refused(path, f"it does not start with {MAGIC!r} (format 7)")
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() != digest:
        raise _refused(path, f"the checksum of its {len(data):,} bytes is wrong")
    begin = len(MAGIC) + LENGTH_BYTES
    end = begin + int.from_bytes(body[len(MAGIC) : begin], "little")
    sections: Sections = {}
    try:
        header = msgspec.msgpack.decode(body[begin:end], type=Header)
        for name, dtype, length in header.sections:
            begin, end = end, end + length * np.dtype(dtype).itemsize
            sections[name] = np.frombuffer(body[begin:end], dtype=dtype)
    except UNUSABLE as error:
        raise _refused(path, f"its header is not valid ({error})") from error
    if end != len(body):
        raise _refused(path, f"its header accounts for {end:,} of {len(body):,} bytes")
    return header, sections


def _misfit(header: Header, config: StateConfig, erasures: int, end: int) -> str:
    """Return the reason why an intact checkpoint must not be used, or ""."""
    if header.config != _config_digest(config):
        return "it was made with another configuration of the state"
    if header.erasures != erasures:
        return f"it has {header.erasures} erasures and the log has {erasures}"
    if header.offset < 0:
        return f"its offset {header.offset} is not within the log, which ends at {end}"
    return ""


def _refused(path: Path, reason: str) -> Damaged:
    return Damaged(
        f"state checkpoint {path} cannot be used: {reason}; replay the whole log instead"
    )


def _config_digest(config: StateConfig) -> str:
    tables = (config, STANDARD_WEIGHTS, STANDARD_KINDS, counted_events.LIMITS)
    settings = msgspec.msgpack.encode(tables, order="sorted")
    return hashlib.blake2b(settings, digest_size=DIGEST_BYTES).hexdigest()


def _pack(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(msgspec.msgpack.encode(value), dtype=np.uint8)


def _unpack(section: NDArray[np.uint8], kind: Any) -> Any:
    return msgspec.msgpack.decode(section.data, type=kind)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.view(np.uint8).data
