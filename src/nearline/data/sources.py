"""Conversion of files and frames of any library to Arrow tables, and back to frames."""

import difflib
import logging
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from nearline.data.columns import looks_like_data, no_header_help
from nearline.data.json_files import flatten, read_json_table
from nearline.data.notes import SourceNotes, notes_of, with_notes
from nearline.data.options import ReadOptions, read_options
from nearline.data.text_files import SEPARATORS, read_text_table
from nearline.errors import DataNotFound, InvalidInput

if TYPE_CHECKING:
    import narwhals as nw

# Sources of `read_table`: a path, or a frame of a library that narwhals supports.
Source = Any

_log = logging.getLogger(__name__)

REQUIRED = ("user_id", "item_id")
_TEXT = (*SEPARATORS, ".jsonl", ".ndjson", ".json")
# The second form is the name that pandas gives to a column without one.
_NO_NAME = re.compile(r"|Unnamed: \d+")
_IN_APOSTROPHES = "^'(.*)'$"
# First bytes of files that are no text, whatever their names say.
_FOREIGN = {
    b"PK\x03\x04": "is a zip archive or a spreadsheet: unpack it, or save the sheet as .csv",
    b"\xd0\xcf\x11\xe0": "is a spreadsheet: save the sheet as .csv",
    b"PAR1": "holds Parquet: give it a name that ends with .parquet",
    b"\x1f\x8b": "is compressed with gzip: give it a name that ends with .gz",
}
_ALLOWED = ".csv, .tsv, .txt, .dat, .data, .jsonl, .ndjson, .json (each also with .gz) and .parquet"


def read_table(
    source: Source,
    *,
    pick: Callable[[Sequence[str]], Collection[str]] | None = None,
    flat: bool = True,
    **options: Any,
) -> pa.Table:
    """Read a file, or convert a frame, to an Arrow table.

    All columns of CSV and TSV files are read as text ("" if empty): guessing types would change
    the ID "007" to 7. Other sources keep their types, except that dictionary (categorical) columns
    are decoded, and all types of text become `string`. A field inside an object becomes a column
    with the name ``object.field``; in a list of objects, a column of lists.

    Lines of a text file that are not rows are left out, and a warning is logged for each reason.

    Parameters
    ----------
    source : path or frame
        ``.csv``, ``.tsv``, ``.txt``, ``.dat``, ``.data``, ``.jsonl``, ``.ndjson``, ``.json`` (each
        also with ``.gz``) or ``.parquet``; or a frame of pandas, polars, Arrow or another library
        that narwhals supports.
    pick : callable, optional
        Receives the names of all columns and returns those to convert; by default all.
    flat : bool
        Whether fields inside objects become columns.
    **options
        Fields of `nearline.data.options.ReadOptions` that apply to files: `separator`,
        `encoding`, `header`.

    Raises
    ------
    DataNotFound
        There is no such file.
    InvalidInput
        The file is empty, damaged, or has another encoding or an unknown extension, or a column
        of the frame mixes types, such as 1 and "1".
    """
    table = read_source(source, read_options(**options), pick, flat=flat)
    for entry in notes_of(table).dropped:
        _log.warning("%s: left out: %s", source, str(entry).strip())
    return table


def read_source(
    source: Source,
    options: ReadOptions,
    pick: Callable[[Sequence[str]], Collection[str]] | None = None,
    may_mix: Callable[[str], bool] = lambda _: False,
    *,
    flat: bool = True,
) -> pa.Table:
    """Read a source like `read_table`, and attach notes to the table.

    A column that mixes numbers and text is read as text if `may_mix` is true for its name.
    """
    notes = SourceNotes()
    if isinstance(source, str | os.PathLike):
        table, notes = _read_file(Path(source), options)
        table = flatten(table) if flat else table
        table = _without_repeats(table, notes, options)
        names, column = table.column_names, table.column
    elif isinstance(source, pa.Table):
        notes = notes_of(source)
        _check_names(source.column_names, options)
        table = flatten(source) if flat else source
        names, column = table.column_names, table.column
    else:
        frame = _eager(source)
        names, column = frame.columns, partial(_column, frame)
    _check_names(names, options)
    if any(_NO_NAME.fullmatch(name) for name in names):  # pandas writes the index without a name
        notes.remarks.append("a column without a name is left out")
        names = [name for name in names if not _NO_NAME.fullmatch(name)]
    chosen = pick(names) if pick else names
    columns = {}
    for name in chosen:
        if name in notes.mixed and not may_mix(name):
            raise InvalidInput(f"column {name!r} mixes types: {notes.mixed[name]}", field=name)
        try:
            columns[name] = _plain(column(name))
        except InvalidInput:
            if not may_mix(name):
                raise
            texts = [None if cell is None else str(cell) for cell in frame[name].to_list()]
            columns[name] = pa.array(texts, pa.string())
    return with_notes(pa.table(columns), notes)


def _without_repeats(table: pa.Table, notes: SourceNotes, options: ReadOptions) -> pa.Table:
    """Leave out later columns of the same name, unless they could be IDs or no header exists."""
    names = table.column_names
    again = [at for at, name in enumerate(names) if name and name in names[:at]]
    repeated = dict.fromkeys(names[at] for at in again)
    if not again or repeated.keys() & set(REQUIRED) or (options.header and looks_like_data(names)):
        return table
    notes.remarks += [f"only the first column {name!r} is read" for name in repeated]
    return table.select([at for at in range(len(names)) if at not in again])


def _check_names(names: Sequence[Any], options: ReadOptions) -> None:
    """Raise `InvalidInput` unless the names of columns are distinct texts."""
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"the column names {names} are not all text; give every column a name")
    if len(set(names)) == len(names):
        return
    if options.header and looks_like_data(names):
        raise InvalidInput(
            f"the first line {names} looks like data: the file has no header. "
            f"{no_header_help(REQUIRED)}"
        )
    raise InvalidInput(f"two columns have the same name: {names}; rename one of them")


def to_frame(columns: Mapping[str, Any], like: object = None) -> Any:
    """Create a frame from columns, in the library of the frame `like`.

    If `like` is not a frame of pandas, polars or Arrow in memory, the result is a `pyarrow.Table`.
    """
    import narwhals as nw  # slow to import, and a server without frames doesn't need it

    backend: Literal["pandas", "polars", "pyarrow"] = "pyarrow"
    native: Any = nw.from_native(cast("Any", like), pass_through=True)
    if isinstance(native, nw.DataFrame | nw.LazyFrame):
        if native.implementation.is_pandas():
            backend = "pandas"
        elif native.implementation.is_polars():
            backend = "polars"
    return nw.from_dict(dict(columns), backend=backend).to_native()


def _read_file(path: Path, options: ReadOptions) -> tuple[pa.Table, SourceNotes]:
    _check_file(path)
    kind = _kind(path, options)
    try:
        if kind in SEPARATORS:
            table, notes = read_text_table(path, kind, options)
        elif kind == ".parquet":
            table, notes = parquet.ParquetFile(path).read(), SourceNotes()
        else:
            table, notes = read_json_table(path)
    except (UnicodeError, LookupError) as error:
        raise InvalidInput(_encoding_help(path, options.encoding, error)) from error
    except (pa.ArrowException, OSError) as error:
        if "UTF8" in str(error):
            raise InvalidInput(_encoding_help(path, options.encoding, error)) from error
        raise InvalidInput(
            f"{path} cannot be read as {kind[1:]}: {error}. It may be truncated or in "
            "another format than its extension; repair it or write it again"
        ) from error
    if kind in SEPARATORS:
        table = _without_padding(table, notes)
    if table.num_rows == 0:
        raise InvalidInput(f"{path} has a header and no rows; at least one row is needed")
    return table, notes


def _without_padding(table: pa.Table, notes: SourceNotes) -> pa.Table:
    """Remove spaces around names and cells if names have them, and apostrophes around cells."""
    names = table.column_names
    if any(name != name.strip() for name in names):
        notes.remarks.append("spaces around names and values were removed")
        names = [name.strip() for name in names]
        table = pa.table([pc.utf8_trim_whitespace(each) for each in table.columns], names=names)
    for at, name in enumerate(names):
        cells = table.column(at)
        if len(cells) and pc.match_substring_regex(cells[0], _IN_APOSTROPHES).as_py():
            inside = pc.replace_substring_regex(cells, _IN_APOSTROPHES, r"\1")
            if pc.all(pc.not_equal(inside, cells)).as_py():
                notes.remarks.append(f"apostrophes around the values of {name!r} were removed")
                table = table.set_column(at, name, inside)
    return table


def _kind(path: Path, options: ReadOptions) -> str:
    """Return the extension that determines how a file is read, without ``.gz``.

    A file with an unknown extension is a text file if the option `separator` is set.
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:]
    readable = _TEXT if packed else (*_TEXT, ".parquet")
    if (not kind or kind[0] not in readable) and options.separator is not None:
        return ".txt"
    if not kind or kind[0] not in readable:
        raise InvalidInput(
            f"{path.name} has no extension that can be read; known are {_ALLOWED}. If it is a text "
            "file, pass separator=...; otherwise convert it, or load it yourself and pass the frame"
        )
    return kind[0]


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InvalidInput(f"{path} is a folder; pass one file ({_ALLOWED})")
    if not path.exists():
        near: list[str] = []
        if path.parent.is_dir():
            names = [entry.name for entry in path.parent.iterdir()]
            near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(near)}?" if near else f"; look in {path.parent}"
        raise DataNotFound(f"there is no file {path}{hint}")
    if path.stat().st_size == 0:
        raise InvalidInput(f"{path} is empty; a header and at least one row are needed")
    with path.open("rb") as file:
        start = file.read(4)
    for magic, what in _FOREIGN.items():
        suffix = {b"PAR1": ".parquet", b"\x1f\x8b": ".gz"}.get(magic)
        if start.startswith(magic) and path.suffix.lower() != suffix:
            raise InvalidInput(f"{path} {what}")


def _encoding_help(path: Path, encoding: str, error: Exception) -> str:
    return (
        f"{path} is not valid {encoding} ({error}); pass its encoding, such as "
        "encoding='latin-1' (also common are cp1252, cp1251, gb18030 and shift-jis), or save it "
        "as UTF-8"
    )


def _eager(source: object) -> "nw.DataFrame[Any]":
    import narwhals as nw

    try:
        frame: Any = nw.from_native(cast("Any", source))
    except TypeError:
        raise InvalidInput(
            f"the table is a {type(source).__name__}; pass a path, or a pandas, polars or Arrow "
            "frame"
        ) from None
    except nw.exceptions.DuplicateError as error:
        raise InvalidInput(f"two columns have the same name; rename one ({error})") from error
    return frame.collect() if isinstance(frame, nw.LazyFrame) else frame


def _column(frame: "nw.DataFrame[Any]", name: str) -> Any:
    try:
        return frame.get_column(name).to_arrow()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"column {name!r} mixes types or contains values that a table cannot ({error}); "
            'convert it to one type. For ids, use only text: 1 and "1" cannot be distinguished',
            field=name,
        ) from error


def _plain(column: Any) -> Any:
    """Decode dictionary columns, and convert all types of text to `string`."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:  # some programs write text to Parquet without saying so
            return column.cast(pa.string())
        except pa.ArrowInvalid:
            return column
    return column
