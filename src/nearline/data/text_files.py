"""Reading of CSV, TSV and other text tables: separators, quotation marks and invalid lines."""

import codecs
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from nearline.data.line_repair import repair
from nearline.data.notes import LineNumbers, SourceNotes
from nearline.data.options import ReadOptions
from nearline.errors import InvalidInput

_log = logging.getLogger(__name__)

# Separators by extension if no option sets one; None is determined from the first lines.
SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": None, ".dat": None, ".data": None}
_CANDIDATES = ("\t", "::", ";", "|", ",")
# Share of the first lines that must have the same number of separators as the first line.
_AGREE = 0.8
_SAMPLE = 1 << 16
_CHUNK = 1 << 23
_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Replaces a separator of several characters.
_UNIT_SEPARATOR = "\x1f"
_MOST_SHOWN = 3
# Bytes at the beginning of a file that show whether it is UTF-16.
_LETTERS = 64


def read_text_table(path: Path, kind: str, options: ReadOptions) -> tuple[pa.Table, SourceNotes]:
    """Read a text table; all columns are text.

    If the number of rows differs from the number of lines, or a line has another number of fields
    than the header, the file is read again line by line, and lines that are not rows are added to
    the notes. Exceptions of Arrow and of codecs pass through.

    Parameters
    ----------
    kind : str
        Extension of the file, a key of `SEPARATORS`.
    """
    codecs.lookup(options.encoding)
    sample = _read(path, _SAMPLE)
    encoding = _encoding(sample, options.encoding)
    head = _lines_of(sample.decode(encoding, errors="replace").removeprefix("\ufeff"), sample)
    marked = bool(head) and _names_separator(head[0].encode())
    if marked:
        separator = options.separator or head[0].strip()[-1]
    else:
        separator = options.separator or _separator(head, SEPARATORS[kind], path)
    if not marked and encoding == "utf-8" and len(separator) == 1:
        found = _read_fast(path, separator, options)
        if found is not None:
            return found
    return _read_slowly(path, separator, encoding, options)


def _read_fast(
    path: Path, separator: str, options: ReadOptions
) -> tuple[pa.Table, SourceNotes] | None:
    """Read a file in which every line is a row; return None if a line is not."""
    ragged = False

    def note(_: object) -> str:
        nonlocal ragged
        ragged = True
        return "skip"

    read, parse = _settings(separator, options)
    parse.invalid_row_handler = note
    with csv.open_csv(path, read_options=read, parse_options=parse) as head:
        names = head.schema.names
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    table = csv.read_csv(path, read, parse, as_text)
    lines, escaped = _count_lines(path)
    if ragged or escaped or table.num_rows + options.header != lines:
        return None
    first = 1 + options.header
    return _named(table, options), SourceNotes(lines=LineNumbers([(0, first)]))


def _read_slowly(
    path: Path, separator: str, encoding: str, options: ReadOptions
) -> tuple[pa.Table, SourceNotes]:
    text = _read(path).decode(encoding).removeprefix("\ufeff")
    if len(separator) > 1:
        text, separator = text.replace(separator, _UNIT_SEPARATOR), _UNIT_SEPARATOR
    if r"\"" in text and _escapes(text):
        text = text.replace(r"\"", '""')
    lines = text.encode().replace(b"\r\n", b"\n").split(b"\n")
    if len(lines) == 1:
        lines = lines[0].split(b"\r")
    first = next((at for at, line in enumerate(lines) if line and not _names_separator(line)), 0)
    mark = separator.encode()
    header = lines[first]
    rows = [line for line in lines[first + 1 :] if line]
    if options.header and rows and not header.endswith(mark):
        columns = header.count(mark) + 1
        if all(row.endswith(mark) and row.count(mark) == columns for row in rows):
            header += mark  # each row ends with a separator, but not the header
    read, parse = _settings(separator, options)
    probe = pa.BufferReader(header + b"\n" + (header if options.header else b""))
    names = csv.open_csv(probe, read_options=read, parse_options=parse).schema.names
    start = first + options.header
    fixed = repair(lines[start:], start + 1, mark, len(names), header if options.header else b"")
    wrong = sum(each.rows for each in fixed.dropped)
    if wrong > fixed.rows:
        raise InvalidInput(
            f"{path}: Expected {len(names)} columns as in line {first + 1}, but "
            f"{fixed.dropped[0].reason} ({fixed.dropped[0].example}), and so do most lines. "
            f"If {separator!r} is not the separator, pass separator=...; "
            "if the file has no header, pass header=False; if there are other "
            "lines before the header or a column has no name, correct the file"
        )
    notes = SourceNotes(lines=fixed.lines, dropped=fixed.dropped)
    if fixed.literal:
        shown = ", ".join(map(str, fixed.literal[:_MOST_SHOWN]))
        plural = "s" if len(fixed.literal) > 1 else ""
        notes.remarks.append(
            f"quotation marks read as text in {len(fixed.literal):,} line{plural} (line {shown})"
        )
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    whole = (header + b"\n" if options.header else b"") + fixed.data
    table = csv.read_csv(pa.BufferReader(whole), read, parse, as_text)
    if table.num_rows != fixed.rows:
        raise InvalidInput(
            f"{path}: {fixed.rows:,} lines gave {table.num_rows:,} rows; a quotation mark joins "
            "lines. Write the file again, as Parquet or JSON lines"
        )
    return _named(table, options), notes


def _settings(separator: str, options: ReadOptions) -> tuple[csv.ReadOptions, csv.ParseOptions]:
    read = csv.ReadOptions(autogenerate_column_names=not options.header)
    # Quoted text may contain line breaks.
    return read, csv.ParseOptions(delimiter=separator, newlines_in_values=True)


def _named(table: pa.Table, options: ReadOptions) -> pa.Table:
    """Name the columns 1, 2 and so on if the file has no header."""
    if options.header:
        return table
    return table.rename_columns([str(number + 1) for number in range(table.num_columns)])


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the decompressed bytes of a file."""
    with pa.input_stream(str(path), compression="detect") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk


def _names_separator(line: bytes) -> bool:
    """Return whether this line is ``sep=;``, with which a spreadsheet names the separator."""
    return re.fullmatch(rb"\s*sep=.\s*", line, re.IGNORECASE) is not None


def _read(path: Path, size: int | None = None) -> bytes:
    if size is None:
        return b"".join(_chunks(path))
    with pa.input_stream(str(path), compression="detect") as stream:
        return bytes(stream.read(size))


def _count_lines(path: Path) -> tuple[int, bool]:
    """Return the number of lines, and whether a backslash is followed by a quotation mark."""
    lines, last, escaped = 0, b"\n", False
    for chunk in _chunks(path):
        lines += chunk.count(b"\n")
        escaped = escaped or b'\\"' in chunk
        last = chunk[-1:]
    return lines + (last != b"\n"), escaped


def _escapes(text: str) -> bool:
    r"""Return whether backslashes escape quotation marks, as in ``\"`` inside quoted fields."""
    return re.search(r'\w ?\\"|\\"\w', text) is not None


def _encoding(sample: bytes, encoding: str) -> str:
    for mark, name in _BYTE_ORDER_MARKS.items():
        if sample.startswith(mark):
            return name
    name = codecs.lookup(encoding).name
    # Letters of UTF-16 without a byte order mark: every second byte is zero.
    first, second = sample[:_LETTERS:2], sample[1:_LETTERS:2]
    for zeros, others, found in ((first, second, "utf-16-be"), (second, first, "utf-16-le")):
        if zeros.count(0) > len(zeros) // 2 and others and not others.count(0):
            return found
    return "utf-8" if name == "utf-8-sig" else name


def _lines_of(text: str, sample: bytes) -> list[str]:
    """Return the lines of a sample that are not empty, without a last line that may be cut."""
    lines = text.splitlines()
    if len(sample) == _SAMPLE and len(lines) > 1:
        lines.pop()
    return [line for line in lines if line.strip()]


def _separator(lines: list[str], usual: str | None, path: Path) -> str:
    """Return the separator, which most lines contain as often as the first line."""
    if not lines:
        return usual or ","
    bare = [re.sub(r'"[^"]*"', "", line) for line in lines]
    if usual is not None and usual in bare[0]:
        return usual
    agreeing = {}
    for mark in _CANDIDATES:
        count = bare[0].count(mark)
        if count and sum(line.count(mark) == count for line in bare) >= _AGREE * len(bare):
            agreeing[mark] = count
    if not agreeing:
        spaces = bare[0].count(" ")
        if spaces and all(line.count(" ") == spaces for line in bare):
            return " "
        return usual or "\t"
    found = next(iter(agreeing))
    if len(agreeing) > 1 and usual is None and "\t" not in agreeing and "::" not in agreeing:
        raise InvalidInput(
            f"{path}: any of {', '.join(map(repr, agreeing))} could be the separator; pass the "
            "right one with separator=...",
            field="separator",
        )
    return found
