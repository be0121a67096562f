"""Reading of encoded events into columns, without an object for each event.

The log stores an event as MessagePack: a map that begins with ``"type": "event"``. `parse_events`
finds the fields in the bytes of many records. What it doesn't recognise, it leaves to the decoder
of the log: other kinds of records, and unusual or damaged encodings.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.sorting import zero

Bytes = NDArray[np.uint8]
Longs = NDArray[np.int64]
Ints = NDArray[np.int32]
Doubles = NDArray[np.float64]

# Result for a record: not recognised, an event, or overwritten by an erasure.
OTHER, EVENT, ERASED = 0, 1, 2
# Columns of the positions of texts.
USER, ITEM, KIND = 0, 1, 2
HEAD = np.frombuffer(b"\xa4type\xa5event", dtype=np.uint8)
NAMES = np.frombuffer(b"user_iditem_ideventtimestampvalueevent_idsession_id", dtype=np.uint8)
# Fields after the columns, and the end of each field's name in `NAMES`.
_TIME, _VALUE, _EVENT_ID, _SESSION = 3, 4, 5, 6
NAME_ENDS = np.array([0, 7, 14, 19, 28, 33, 41, 51])
_NIL, _FLOAT32, _FLOAT64 = 0xC0, 0xCA, 0xCB
_STR8, _STR16, _STR32 = 0xD9, 0xDA, 0xDB


class ParsedEvents(NamedTuple):
    """Fields of n records; those of a record that is no event are not set.

    Attributes
    ----------
    states : uint8 [n]
        `OTHER`, `EVENT` or `ERASED`.
    starts, lengths : int64 [3, n]
        Position and length in bytes of user ID, item ID and kind; a kind of length 0 is the default
        one.
    times, values : float64 [n]
        Timestamp, and value or NaN.
    """

    states: NDArray[np.uint8]
    starts: Longs
    lengths: Longs
    times: Doubles
    values: Doubles


@njit(nogil=True, cache=True)
def _equals(data: Bytes, start: int, length: int, names: Bytes, first: int, last: int) -> bool:
    """Return whether a text is equal to the part of `names` from `first` to ``last - 1``."""
    same = length == last - first
    at = 0
    while same and at < length:
        same = data[start + at] == names[first + at]
        at += 1
    return same


@njit(nogil=True, cache=True)
def _field(data: Bytes, start: int, length: int, names: Bytes, name_ends: Longs) -> int:
    """Return the number of a field by its name; -1 if there is none of this name."""
    for field in range(len(name_ends) - 1):
        if _equals(data, start, length, names, name_ends[field], name_ends[field + 1]):
            return field
    return -1


@njit(nogil=True, cache=True)
def _whole(data: Bytes, start: int, size: int) -> int:
    number = np.uint64(0)
    for at in range(size):
        number = (number << np.uint64(8)) | np.uint64(data[start + at])
    return int(np.int64(number))


@njit(nogil=True, cache=True)
def _text(data: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the start and length of a text; a negative length if there is none."""
    if at >= end:
        return at, -1
    head = data[at]
    if 0xA0 <= head < 0xC0:
        start, length = at + 1, int(head) - 0xA0
    else:
        width = zero()  # bytes of the length
        if head == _STR8:
            width += 1
        elif head == _STR16:
            width += 2
        elif head == _STR32:
            width += 4
        start = at + 1 + width
        if width == 0 or start > end:
            return at, -1
        length = _whole(data, at + 1, width)
    return (start, length) if start + length <= end else (at, -1)


@njit(nogil=True, cache=True)
def _number(data: Bytes, at: int, end: int, eight: Bytes, one: Doubles) -> tuple[float, int]:
    """Return a float64 or small number and the position after it, -1 if it is another value.

    `one` is a view of the eight bytes of `eight`, little-endian.
    """
    if at >= end:
        return np.nan, -1
    head = data[at]
    if head == _FLOAT64 and at + 9 <= end:
        for place in range(8):
            eight[7 - place] = data[at + 1 + place]
        return one[0], at + 9
    if head < 0x80:
        return float(head), at + 1
    if head == _NIL:
        return np.nan, at + 1
    return np.nan, -1


@njit(nogil=True, cache=True)
def _parse(
    data: Bytes,
    names: Bytes,
    name_ends: Longs,
    head: Bytes,
    ends: Longs,
    eight: Bytes,
    one: Doubles,
    out: ParsedEvents,
) -> None:
    for row in range(len(ends) - 1):
        at, end = ends[row], ends[row + 1]
        out.states[row] = OTHER
        if at < end and data[at] == 0:
            out.states[row] = ERASED
            continue
        if end - at <= len(head) or not 0x80 <= data[at] < 0x90:
            continue
        fields = int(data[at]) - 0x80
        if not _equals(data, at + 1, len(head), head, zero(), len(head)):
            continue
        at += 1 + len(head)
        for field in range(KIND + 1):
            out.lengths[field, row] = 0
        out.times[row], out.values[row] = np.nan, np.nan
        for _ in range(fields - 1):
            start, length = _text(data, at, end)
            if length < 0:
                at = -1
                break
            at = start + length
            field = _field(data, start, length, names, name_ends)
            if 0 <= field <= KIND:
                out.starts[field, row], out.lengths[field, row] = _text(data, at, end)
                if out.lengths[field, row] <= 0:
                    at = -1
                    break
                at = out.starts[field, row] + out.lengths[field, row]
            elif field == _TIME:
                out.times[row], at = _number(data, at, end, eight, one)
            elif field == _VALUE:
                out.values[row], at = _number(data, at, end, eight, one)
            elif field in (_EVENT_ID, _SESSION):
                start, length = _text(data, at, end)
                at = start + length if length >= 0 else -1
            else:
                at = -1
            if at < 0:
                break
        complete = out.lengths[USER, row] > 0 and out.lengths[ITEM, row] > 0
        if at == end and complete and not np.isnan(out.times[row]):
            out.states[row] = EVENT


def parse_events(data: Bytes, ends: Longs) -> ParsedEvents:
    """Parse encoded records.

    Parameters
    ----------
    data : uint8 [m]
        Encoded records, concatenated.
    ends : int64 [n + 1]
        Start of each record, and the end of the last one.
    """
    n = len(ends) - 1
    eight = np.zeros(8, dtype=np.uint8)
    out = ParsedEvents(
        np.zeros(n, dtype=np.uint8),
        np.zeros((3, n), dtype=np.int64),
        np.zeros((3, n), dtype=np.int64),
        np.zeros(n),
        np.zeros(n),
    )
    _parse(data, NAMES, NAME_ENDS, HEAD, ends, eight, eight.view("<f8"), out)
    return out
