"""Arrays in a safetensors file, memory-mapped and verified by SHA-256.

The file is written and parsed here, because the functions of the safetensors library for NumPy copy
every array into memory, whereas mapped arrays are shared between processes and loaded on demand.
"""

import hashlib
import mmap
import os
import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import Meta, Struct
from numpy.typing import NDArray

from nearline.common.files import write_in_pieces
from nearline.errors import Damaged, InvalidInput

Array = NDArray[Any]
# Supported dtypes: NumPy name to safetensors name.
TAGS = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float16": "F16",
    "float32": "F32",
    "float64": "F64",
}
# Order of the dtypes in a file: wide ones first, so that all arrays are aligned.
ORDER = (
    *("uint64", "int64", "float64", "float32", "uint32", "int32"),
    *("float16", "uint16", "int16", "int8", "uint8", "bool"),
)
MAX_DIMENSIONS = 8
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/%~-]{0,1999}")

# A header has some hundred bytes per array; a larger claim means a damaged file.
MAX_HEADER_BYTES = 16 * 1024 * 1024
LENGTH_BYTES = 8


class ArraySpec(Struct, frozen=True, forbid_unknown_fields=True):
    """Dtype, shape and hash of a stored array, by which it is verified when it is read.

    Attributes
    ----------
    dtype : str
        NumPy name of the dtype. The stored bytes are little-endian and in C order.
    shape : tuple of int
        Length of each dimension; at most 8 dimensions.
    sha256 : str
        Hexadecimal SHA-256 of the stored bytes.
    """

    dtype: Annotated[str, Meta(pattern=rf"^({'|'.join(TAGS)})\Z")]
    shape: Annotated[tuple[Annotated[int, Meta(ge=0)], ...], Meta(max_length=MAX_DIMENSIONS)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class _HeaderEntry(Struct, frozen=True, forbid_unknown_fields=True):
    """Header entry of one array in a safetensors file; offsets are relative to the header's end."""

    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def canonical(name: str, array: Array) -> Array:
    """Return `array` in C order and little-endian, without a copy if possible.

    Raises
    ------
    InvalidInput
        The name, dtype or number of dimensions cannot be stored, or a value is not finite.
    """
    if not NAME.fullmatch(name):
        raise InvalidInput(
            f"array name {name!r:.80} cannot be stored; use 1 to 2,000 letters, digits "
            "and _.:/%~-, a letter or digit first",
            field=name,
        )
    dtype = array.dtype.newbyteorder("<")
    if dtype.name not in TAGS or array.ndim > MAX_DIMENSIONS:
        raise InvalidInput(
            f"array {name} is {array.dtype} with {array.ndim} dimensions; "
            f"{', '.join(TAGS)} with at most {MAX_DIMENSIONS} can be stored",
            field=name,
        )
    at = _first_not_finite(array)
    if at is not None:
        raise InvalidInput(
            f"array {name} holds {array.flat[at]} at flat index {at}; every value must be finite: "
            "the fit diverged, so train with other settings",
            field=name,
        )
    return np.asarray(array, dtype=dtype, order="C")


def describe(array: Array) -> ArraySpec:
    """Return dtype, shape and SHA-256 of an array in canonical form (see `canonical`)."""
    return ArraySpec(array.dtype.name, array.shape, _digest(array))


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays in canonical form to a new safetensors file; equal arrays give equal bytes.

    The bytes are those of the safetensors library, but no array is copied.
    """
    header: dict[str, _HeaderEntry] = {}
    position = 0
    ordered = sorted(arrays.items(), key=lambda pair: (ORDER.index(pair[1].dtype.name), pair[0]))
    for name, array in ordered:
        end = position + array.nbytes
        header[name] = _HeaderEntry(TAGS[array.dtype.name], array.shape, (position, end))
        position = end
    head = msgspec.json.encode(header)
    head += b" " * (-len(head) % LENGTH_BYTES)
    with path.open("wb") as file:
        file.write(len(head).to_bytes(LENGTH_BYTES, "little") + head)
        write_in_pieces(file, (_bytes_of(array) for _, array in ordered))


def map_arrays(path: Path, specs: Mapping[str, ArraySpec]) -> dict[str, Array]:
    """Verify all bytes of a file and memory-map its arrays, read-only.

    Parameters
    ----------
    path : Path
        A file that `write_arrays` wrote.
    specs : dict of str to ArraySpec
        Expected arrays by name, without omissions.

    Raises
    ------
    Damaged
        The file is missing, truncated or malformed, or an array does not match its spec in name,
        dtype, shape, position or SHA-256, or has a value that is not finite.
    """
    data = _map_file(path)
    entries, start = _read_header(path, data)
    if entries.keys() != specs.keys():
        missing, extra = (
            sorted(specs.keys() - entries.keys()),
            sorted(entries.keys() - specs.keys()),
        )
        raise _damaged(path, f"arrays missing: {missing}, not in the manifest: {extra}")
    _check_places(path, entries, specs, start, len(data))
    arrays = {}
    for name, spec in specs.items():
        begin, end = entries[name].data_offsets
        part = data[start + begin : start + end]
        array = part.view(np.dtype(spec.dtype).newbyteorder("<")).reshape(spec.shape)
        if _digest(array) != spec.sha256:
            raise _damaged(path, f"array {name} does not have the SHA-256 of its manifest")
        if _first_not_finite(array) is not None:
            raise _damaged(path, f"array {name} holds a value that is not finite")
        arrays[name] = array
    return arrays


def _map_file(path: Path) -> NDArray[np.uint8]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < LENGTH_BYTES:
                raise _damaged(path, f"it has {size} bytes, too few for a header")
            # The array keeps the map alive; the file itself may be closed.
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise _damaged(path, f"it cannot be read ({error})") from error
    return np.frombuffer(mapped, dtype=np.uint8)


def _read_header(path: Path, data: NDArray[np.uint8]) -> tuple[dict[str, _HeaderEntry], int]:
    """Parse the header; return its entries and the position where the data starts."""
    length = int.from_bytes(data[:LENGTH_BYTES].tobytes(), "little")
    if length > min(len(data) - LENGTH_BYTES, MAX_HEADER_BYTES):
        raise _damaged(path, f"its header claims {length:,} bytes of a file of {len(data):,}")
    start = LENGTH_BYTES + length
    try:
        entries = msgspec.json.decode(
            data[LENGTH_BYTES:start].tobytes(), type=dict[str, _HeaderEntry]
        )
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(path, f"its header is not one of safetensors ({error})") from error
    return entries, start


def _check_places(
    path: Path,
    entries: Mapping[str, _HeaderEntry],
    specs: Mapping[str, ArraySpec],
    start: int,
    file_size: int,
) -> None:
    """Check that the arrays fill the rest of the file, each aligned, without overlap or gap."""
    position = 0
    for name, entry in sorted(entries.items(), key=lambda pair: pair[1].data_offsets):
        spec = specs[name]
        tag = TAGS[spec.dtype]
        if (entry.dtype, entry.shape) != (tag, spec.shape):
            raise _damaged(
                path,
                f"array {name} is {entry.dtype} {entry.shape}, "
                f"the manifest says {tag} {spec.shape}",
            )
        itemsize = np.dtype(spec.dtype).itemsize
        expected = (position, position + itemsize * prod(spec.shape))
        if entry.data_offsets != expected:
            raise _damaged(
                path, f"array {name} claims bytes {entry.data_offsets}; it must lie at {expected}"
            )
        if (start + position) % itemsize:
            raise _damaged(path, f"array {name} is not aligned to its {itemsize} bytes an entry")
        position = expected[1]
    if start + position != file_size:
        raise _damaged(
            path, f"it has {file_size:,} bytes; its header accounts for {start + position:,}"
        )


def _digest(array: Array) -> str:
    return hashlib.sha256(array.reshape(-1).view(np.uint8).data).hexdigest()


def _first_not_finite(array: Array) -> int | None:
    """Return the flat index of the first NaN or infinity, or None."""
    if array.dtype.kind != "f":
        return None
    finite = np.isfinite(array)
    return None if finite.all() else int(finite.argmin())


def _damaged(path: Path, reason: str) -> Damaged:
    return Damaged(
        f"snapshot file {path} is damaged: {reason}; use another snapshot or train again"
    )


def _bytes_of(array: Array) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data
