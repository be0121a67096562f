"""Repair of text tables: unmatched quotation marks, lines of other lengths, blank lines."""

import re
from typing import NamedTuple

from nearline.data.notes import LineNumbers
from nearline.data.report import Dropped

_QUOTED = re.compile(rb'"(?:[^"]|"")*+"')
# A quotation mark without a closing one within these limits is part of the text.
_MOST_LINES = 1_000
_MOST_BYTES = 1 << 16
_SHOWN = 120
_EXAMPLES = 3


class Repaired(NamedTuple):
    """A text table in which each record is one row.

    Attributes
    ----------
    data : bytes
        All records, without a header.
    rows : int
    lines : LineNumbers
        Line on which each record begins.
    dropped : list of Dropped
        Lines that belong to no record.
    literal : list of int
        Numbers of lines in which a quotation mark is part of the text.
    """

    data: bytes
    rows: int
    lines: LineNumbers
    dropped: list[Dropped]
    literal: list[int]


class _Scan(NamedTuple):
    """Number of fields of one record, and how it uses quotation marks."""

    fields: int
    quoted: int
    is_open: bool = False
    is_odd: bool = False  # text follows a closing mark


def repair(
    lines: list[bytes], first_line: int, separator: bytes, width: int, header: bytes = b""
) -> Repaired:
    """Return the records with `width` fields, and report the other lines.

    A quotation mark at the start of a field that is closed on a later line joins these lines only
    if the result is a record. The mark is part of the text if other text follows the closing mark,
    if it is never closed, or if each of the lines is a record by itself and the file quotes no
    fields elsewhere.

    Parameters
    ----------
    lines : list of bytes
        Lines of the file after the header, without line feeds.
    first_line : int
        Number of the first line in the file.
    header : bytes
        The header, which also shows whether the file quotes fields.
    """
    lines = [_line_end(line) for line in lines]
    quotes = any(_scan(line, separator).quoted for line in (header, *lines) if b'"' in line)
    kept: list[bytes] = []
    numbers: list[int] = []
    literal: list[int] = []
    ragged: dict[int, list[tuple[int, bytes]]] = {}
    at = 0
    while at < len(lines):
        line, number, taken = lines[at], first_line + at, 1
        fields = line.count(separator) + 1
        record: bytes | None = line if fields == width else None
        if b'"' in line:
            record, taken = _quoted_record(lines, at, separator, width, quotes)
            if record is not None and taken == 1 and record != line:
                literal.append(number)
            fields = _scan(line, separator).fields
        if not line:
            pass
        elif record is None:
            ragged.setdefault(fields, []).append((number, line))
        else:
            kept.append(record)
            numbers.append(number)
        at += taken
    dropped = [
        Dropped(
            f"line has {fields} field{'s' * (fields != 1)} instead of {width}",
            len(found),
            "; ".join(f"line {number}: {_shown(line)}" for number, line in found[:_EXAMPLES]),
        )
        for fields, found in ragged.items()
    ]
    return Repaired(b"\n".join(kept), len(kept), LineNumbers.of_lines(numbers), dropped, literal)


def _line_end(line: bytes) -> bytes:
    """Remove carriage returns at the end; one inside a field without quotes becomes a space."""
    line = line.rstrip(b"\r")
    return line.replace(b"\r", b" ") if b"\r" in line and b'"' not in line else line


def _quoted_record(
    lines: list[bytes], at: int, separator: bytes, width: int, quotes: bool
) -> tuple[bytes | None, int]:
    """Return the record that begins at a line with quotation marks, and its number of lines.

    The record is None if the line cannot be read as a record.
    """
    line = lines[at]
    scan = _scan(line, separator)
    if not scan.is_open and not scan.is_odd:
        return (line if scan.fields == width else None), 1
    plain = line.count(separator) + 1 == width
    if scan.is_open:
        taken = _closing_line(lines, at, separator, width)
        each_alone = all(
            text.count(separator) + 1 == width for text in lines[at : at + taken] if text
        )
        if taken > 1 and (quotes or width == 1 or not each_alone):
            return b"\n".join(lines[at : at + taken]), taken
    if plain:
        return _escaped(line, separator), 1
    if scan.is_odd and scan.fields == width:
        return line, 1
    return None, 1


def _closing_line(lines: list[bytes], at: int, separator: bytes, width: int) -> int:
    """Return the number of lines that a quoted field joins to a record; 1 if there is no record."""
    size = 0
    for stop in range(at, min(len(lines), at + _MOST_LINES)):
        size += len(lines[stop])
        if size > _MOST_BYTES:
            break
        if stop == at or b'"' not in lines[stop]:
            continue
        scan = _scan(b"\n".join(lines[at : stop + 1]), separator)
        if not scan.is_open:
            return stop + 1 - at if scan.fields == width and not scan.is_odd else 1
    return 1


def _scan(text: bytes, separator: bytes) -> _Scan:
    fields = quoted = at = 0
    odd = False
    while True:
        fields += 1
        if text[at : at + 1] == b'"':
            match = _QUOTED.match(text, at)
            if match is None:
                return _Scan(fields, quoted, is_open=True)
            quoted += 1
            end = match.end()
            if end < len(text) and not text.startswith(separator, end):
                odd = True
            at = end
        end = text.find(separator, at)
        if end < 0:
            return _Scan(fields, 0 if odd else quoted, is_odd=odd)
        at = end + len(separator)


def _escaped(line: bytes, separator: bytes) -> bytes:
    """Quote the fields that contain a quotation mark, so that it is read as text."""
    return separator.join(
        b'"' + field.replace(b'"', b'""') + b'"' if b'"' in field else field
        for field in line.split(separator)
    )


def _shown(line: bytes) -> str:
    text = line.decode(errors="replace")
    return repr(text if len(text) <= _SHOWN else text[:_SHOWN] + "...")
