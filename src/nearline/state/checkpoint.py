"""A state in one file, so that a restart need not read the whole log.

Layout: `MAGIC`, length of the header (8 bytes, little-endian), header (MessagePack), the sections
one after the other, BLAKE2b-256 of all bytes before it. A checkpoint is a cache of the log: one
that is damaged or does not fit is refused as a whole and the log is read from the start instead.
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from nearline.errors import Damaged
from nearline.schema import Item
from nearline.schema.histories import Histories
from nearline.state.catalogue import CatalogueCopy, Vectors
from nearline.state.config import StateConfig
from nearline.state.contexts import ContextsCopy, Pair
from nearline.state.counters import CountersCopy
from nearline.state.kinds import STANDARD_KINDS, STANDARD_WEIGHTS
from nearline.state.state import State, StateCopy

# The digit is the format's version.
HISTORY_ARRAYS = ("indptr", "items", "weights", "times")
MAGIC = b"nearline state 2\n"
DIGEST_BYTES = 32
LENGTH_BYTES = 8

Sections = dict[str, NDArray[Any]]


class Header(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What stands before the sections.

    Attributes
    ----------
    offset : int
        Every log record before it is folded in.
    erasures : int
        Erasures that the log had seen.
    config : str
        Digest of the configuration that weights and bounds come from.
    sections : list of (name, dtype, length)
    """

    offset: int
    erasures: int
    config: str
    sections: list[tuple[str, str, int]]


def save(state: State, path: Path, erasures: int) -> int:
    """Write `state` to `path`, in place of what stands there; return the offset it holds.

    The file appears whole or not at all, and is durable on return. The lock of the state is held
    only while memory is copied.

    Parameters
    ----------
    erasures : int
        Number of erasures that `state` has undone already, read before this call: where one comes
        between, the file is refused by `load`, so that a forgotten user never returns.
    """
    copy = state.copy()
    sections = _sections(copy)
    header = Header(
        offset=copy.offset,
        erasures=erasures,
        config=_config_digest(state.config),
        sections=[(name, array.dtype.str, len(array)) for name, array in sections.items()],
    )
    # One fixed name: what a crash leaves behind is overwritten by the next save.
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            for part in _parts(header, sections):
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return copy.offset


def load(path: Path, config: StateConfig, erasures: int, end: int) -> State | None:
    """Read the checkpoint at `path`; None where there is no such file.

    Parameters
    ----------
    config : StateConfig
        Configuration of the state to be; it must be the one the checkpoint was made with.
    erasures, end : int
        Number of erasures and end of the log that the state belongs to.

    Raises
    ------
    Damaged
        The bytes are not those written, or they fit another format, configuration or log. The
        message says which; fold the whole log instead.
    """
    try:
        data = memoryview(path.read_bytes())
    except FileNotFoundError:
        return None
    header, sections = _read(data, path)
    reason = _misfit(header, config, erasures, end)
    if reason:
        raise _refused(path, reason)
    return _restore(config, header.offset, sections)


def _sections(copy: StateCopy) -> Sections:
    """Name the arrays of the file; tables of strings are MessagePack in bytes."""
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
        **{f"counters.{name}": array for name, array in counters._asdict().items()},
        "contexts.pairs": _pack((contexts.pairs, contexts.full)),
        "contexts.indptr": contexts.indptr,
        "contexts.items": contexts.items,
        "contexts.counts": contexts.counts,
        "available": catalogue.available,
        "entries": _pack(catalogue.entries),
        "vectors.keys": _pack(keys),
        "vectors": np.concatenate([np.zeros(0), *(vector for _, _, vector in vectors)]),
    }


def _restore(config: StateConfig, offset: int, sections: Sections) -> State:
    vectors: dict[int, Vectors] = {}
    begin = 0
    for index, name, length in _unpack(sections["vectors.keys"], list[tuple[int, str, int]]):
        vectors.setdefault(index, {})[name] = sections["vectors"][begin : begin + length].copy()
        begin += length
    pairs, full = _unpack(sections["contexts.pairs"], tuple[list[Pair], bool])
    return State.restore(
        config,
        offset=offset,
        users=_unpack(sections["users"], list[str]),
        items=_unpack(sections["items"], list[str]),
        histories=Histories(*(sections[f"histories.{name}"] for name in HISTORY_ARRAYS)),
        counters=CountersCopy(
            *(sections[f"counters.{name}"].copy() for name in CountersCopy._fields)
        ),
        contexts=ContextsCopy(
            pairs,
            full,
            sections["contexts.indptr"],
            sections["contexts.items"],
            sections["contexts.counts"],
        ),
        catalogue=CatalogueCopy(
            _unpack(sections["entries"], dict[int, Item]), vectors, sections["available"].copy()
        ),
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
    """Check the bytes of a file and cut it into sections (views of `data`)."""
    if data[: len(MAGIC)] != MAGIC:
        raise _refused(path, f"it does not start with {MAGIC!r} (format 2)")
    body, digest = data[:-DIGEST_BYTES], data[-DIGEST_BYTES:]
    if hashlib.blake2b(body, digest_size=DIGEST_BYTES).digest() != digest:
        raise _refused(path, f"the checksum of its {len(data):,} bytes is wrong")
    begin = len(MAGIC) + LENGTH_BYTES
    end = begin + int.from_bytes(body[len(MAGIC) : begin], "little")
    header = msgspec.msgpack.decode(body[begin:end], type=Header)
    sections: Sections = {}
    for name, dtype, length in header.sections:
        begin, end = end, end + length * np.dtype(dtype).itemsize
        sections[name] = np.frombuffer(body[begin:end], dtype=dtype)
    return header, sections


def _misfit(header: Header, config: StateConfig, erasures: int, end: int) -> str:
    """Why a sound checkpoint must not be used, or ""."""
    if header.config != _config_digest(config):
        return "it was made with another configuration of the state"
    if header.erasures != erasures:
        return f"it knows of {header.erasures} erasures and the log of {erasures}"
    if header.offset > end:
        return f"it stands at offset {header.offset}, behind the end of the log ({end})"
    return ""


def _refused(path: Path, reason: str) -> Damaged:
    return Damaged(f"state checkpoint {path} is of no use: {reason}; fold the whole log instead")


def _config_digest(config: StateConfig) -> str:
    tables = (config, STANDARD_WEIGHTS, STANDARD_KINDS)
    settings = msgspec.msgpack.encode(tables, order="sorted")
    return hashlib.blake2b(settings, digest_size=DIGEST_BYTES).hexdigest()


def _pack(value: object) -> NDArray[np.uint8]:
    return np.frombuffer(msgspec.msgpack.encode(value), dtype=np.uint8)


def _unpack(section: NDArray[np.uint8], kind: Any) -> Any:
    return msgspec.msgpack.decode(section.data, type=kind)


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return array.view(np.uint8).data


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
