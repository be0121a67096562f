"""Tables in and out: files and frames of any library become one Arrow table, and back."""

import difflib
import logging
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import narwhals as nw
import pyarrow as pa
from pyarrow import csv, json, parquet

from nearline.errors import DataNotFound, InvalidInput

# Whatever `read_table` takes: a path, or a frame of a library that narwhals knows.
Source = Any

_log = logging.getLogger(__name__)

_SEPARATORS = {".csv": ",", ".tsv": "\t"}
_TEXT = (*_SEPARATORS, ".jsonl", ".ndjson", ".json")
_ALLOWED = (
    ".csv, .tsv, .jsonl, .ndjson, .json with one object a line (each also with .gz) and .parquet"
)


def read_table(
    source: Source,
    *,
    pick: Callable[[Sequence[str]], Collection[str]] | None = None,
    separator: str | None = None,
    encoding: str = "utf-8",
) -> pa.Table:
    """Read a file, or convert a frame, to an Arrow table.

    CSV and TSV carry no types, so each of their columns comes as text ("" where empty): a guess
    would turn the id "007" into 7. Other sources keep their types; dictionary (categorical)
    columns are decoded, and text is plain `string`.

    Parameters
    ----------
    source : path or frame
        ``.csv``, ``.tsv``, ``.jsonl``, ``.ndjson`` (each also with ``.gz``) or ``.parquet``; or
        a pandas, polars, Arrow or any other frame that narwhals takes.
    pick : callable, optional
        Gets the names of all columns and gives those to convert; all by default.
    separator : str, optional
        One character between the fields of a CSV file; by default that of its extension.
    encoding : str
        Encoding of a CSV or TSV file.

    Raises
    ------
    DataNotFound
        There is no such file.
    InvalidInput
        The file is empty, damaged, in another encoding or of an unknown kind, or a column of
        the frame mixes types (1 beside "1").
    """
    if isinstance(source, str | os.PathLike):
        table = _read_file(Path(source), separator, encoding)
        names, column = table.column_names, table.column
    else:
        frame = _eager(source)
        names, column = frame.columns, partial(_column, frame)
    if not all(isinstance(name, str) for name in names):
        raise InvalidInput(f"the column names {names} are not all text; give every column a name")
    if "" in names:  # pandas writes its index so
        _log.warning("a column that has no name is left out")
        names = [name for name in names if name]
    if len(set(names)) < len(names):
        raise InvalidInput(f"two columns have the same name: {names}; rename one of them")
    return pa.table({name: _plain(column(name)) for name in (pick(names) if pick else names)})


def to_frame(columns: Mapping[str, Any], like: object = None) -> Any:
    """Build a frame from columns, in the library of the frame `like`.

    Anything else than an in-memory pandas, polars or Arrow frame gives a `pyarrow.Table`.
    """
    backend: Literal["pandas", "polars", "pyarrow"] = "pyarrow"
    native: Any = nw.from_native(cast("Any", like), pass_through=True)
    if isinstance(native, nw.DataFrame | nw.LazyFrame):
        if native.implementation.is_pandas():
            backend = "pandas"
        elif native.implementation.is_polars():
            backend = "polars"
    return nw.from_dict(dict(columns), backend=backend).to_native()


def _read_file(path: Path, separator: str | None, encoding: str) -> pa.Table:
    _check_file(path)
    kind = _kind(path)
    try:
        if kind in _SEPARATORS:
            table = _read_csv(path, separator or _SEPARATORS[kind], encoding)
        elif kind == ".parquet":
            table = parquet.ParquetFile(path).read()
        else:
            table = _read_json(path)
    except (UnicodeDecodeError, LookupError) as error:
        raise InvalidInput(_encoding_help(path, encoding, error)) from error
    except (pa.ArrowException, OSError) as error:
        if "UTF8" in str(error):
            raise InvalidInput(_encoding_help(path, encoding, error)) from error
        raise InvalidInput(
            f"{path} cannot be read as {kind[1:]}: {error}. It may be half-written or hold "
            "something else than its name says; repair it or write it again"
        ) from error
    if table.num_rows == 0:
        raise InvalidInput(f"{path} has a header and no rows; at least one row is needed")
    return table


def _kind(path: Path) -> str:
    """Extension that says how to read the file, with ``.gz`` taken off where text is packed."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    packed = suffixes[-1:] == [".gz"]
    kind = (suffixes[:-1] if packed else suffixes)[-1:]
    readable = _TEXT if packed else (*_TEXT, ".parquet")
    if not kind or kind[0] not in readable:
        raise InvalidInput(
            f"{path.name} has no extension that can be read; known are {_ALLOWED}. Convert it, "
            "or load it yourself and pass the frame"
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


def _encoding_help(path: Path, encoding: str, error: Exception) -> str:
    return (
        f"{path} is not valid {encoding} ({error}); save it as UTF-8, or read it with "
        "read_table(path, encoding=...) and pass the table"
    )


def _read_csv(path: Path, separator: str, encoding: str) -> pa.Table:
    if len(separator) != 1:
        raise InvalidInput(
            f"separator is {separator!r}; it must be one character. Replace it in the file first",
            field="separator",
        )
    # Quoted descriptions may hold line breaks.
    parse = csv.ParseOptions(delimiter=separator, newlines_in_values=True)
    read = csv.ReadOptions(encoding=encoding)
    with csv.open_csv(path, read_options=read, parse_options=parse) as head:
        names = head.schema.names
    as_text = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
    return csv.read_csv(path, read, parse, as_text)


def _read_json(path: Path) -> pa.Table:
    parse = json.ParseOptions(newlines_in_values=False)
    table = json.read_json(path, parse_options=parse)
    # The reader turns text that looks like a date into a time; an id must stay what it was.
    dates = [field.name for field in table.schema if pa.types.is_timestamp(field.type)]
    if not dates:
        return table
    as_text = pa.schema([(name, pa.string()) for name in dates])
    parse = json.ParseOptions(newlines_in_values=False, explicit_schema=as_text)
    return json.read_json(path, parse_options=parse)


def _eager(source: object) -> nw.DataFrame[Any]:
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


def _column(frame: nw.DataFrame[Any], name: str) -> Any:
    try:
        return frame.get_column(name).to_arrow()
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise InvalidInput(
            f"column {name!r} mixes types or holds what no table column can ({error}); "
            'give it one type. For ids use text throughout: 1 and "1" are not told apart',
            field=name,
        ) from error


def _plain(column: Any) -> Any:
    """Decode dictionaries and bring the kinds of text that Arrow has to `string`."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_large_string(kind) or kind == pa.string_view():
        return column.cast(pa.string())
    return column
