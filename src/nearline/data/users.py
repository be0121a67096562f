"""Attributes of users: reading of tables, and encoding of columns as numbers for models."""

import logging
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from numpy.typing import NDArray

from nearline.data.cleaning import MAX_VALUE
from nearline.data.columns import name_columns, to_ids, to_numbers, to_seconds
from nearline.data.report import CleaningReport, Sieve
from nearline.data.sources import Source, read_table
from nearline.errors import Damaged, InvalidInput
from nearline.schema import MAX_ID_BYTES, AttributeValue

USER_ID = "user_id"
_PLAIN_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
# Maximum number of labels of a column that are encoded; other labels become zeros.
MOST_LABELS = 64

_log = logging.getLogger(__name__)


def read_users(
    source: Source, columns: Mapping[str, str] | None = None
) -> tuple[pa.Table, CleaningReport]:
    """Read attributes of users.

    Parameters
    ----------
    source : path or frame
        Source for `read_table`.
    columns : mapping, optional
        ``{"user_id": column}`` if the column of IDs has another name.

    Returns
    -------
    users : pyarrow.Table
        ``user_id`` (string; whole numbers in decimal form) and the other columns unchanged, one
        row per user; if a user has several rows, the last is used.
    report : CleaningReport
        Rows that were dropped: those with an invalid ID, or followed by another row of the user.

    Raises
    ------
    InvalidInput
        ``user_id`` is missing or has another type, or no row is left.
    DataNotFound
        There is no such file.
    """
    table = read_table(source)
    named = name_columns(table.column_names, columns, required=(USER_ID,), optional=())[USER_ID]
    others = [name for name in table.column_names if name not in (named, USER_ID)]
    cells = {USER_ID: to_ids(table[named], USER_ID), **{name: table[name] for name in others}}
    sieve = Sieve(pa.table(cells), [USER_ID])
    missing = pc.fill_null(pc.equal(sieve.table[USER_ID], ""), True)
    sieve.drop(missing, f"{USER_ID} is missing")
    size = pc.binary_length(sieve.table[USER_ID])
    sieve.drop(pc.greater(size, MAX_ID_BYTES), f"{USER_ID} has more than {MAX_ID_BYTES} bytes")
    nul = pc.match_substring(sieve.table[USER_ID], "\0")
    sieve.drop(nul, f"{USER_ID} contains a NUL character")
    ids = sieve.table[USER_ID].to_pylist()
    last = {user_id: row for row, user_id in enumerate(ids)}
    repeated = np.array([last[user_id] != row for row, user_id in enumerate(ids)], dtype=np.bool_)
    sieve.drop(repeated, f"{USER_ID} occurs again in a later row, which replaces this one")
    report = sieve.report()
    if sieve.table.num_rows == 0:
        raise InvalidInput(f"no usable user is left: {report}")
    return sieve.table, report


def attributes_of_rows(users: pa.Table) -> list[dict[str, AttributeValue]]:
    """Return the attributes of each row of a result of `read_users`, without missing values.

    Times become Unix seconds. Text in which every value is a plain number becomes numbers, except
    codes with leading zeros.
    """
    found: list[dict[str, AttributeValue]] = [{} for _ in range(users.num_rows)]
    for name in users.column_names:
        if name == USER_ID:
            continue
        for row, value in zip(found, _plain_values(users[name], name), strict=True):
            if value is not None and value != "" and value != [] and value == value:
                row[name] = value
    return found


def _plain_values(column: Any, name: str) -> list[Any]:
    kind = column.type
    if _is_time(kind):
        return list(pa.table({name: to_seconds(column, name)})[name].to_pylist())
    if pa.types.is_decimal(kind):
        return list(column.cast(pa.float64()).to_pylist())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = [None if text is None else text.strip() for text in column.to_pylist()]
        given = [text for text in texts if text]
        if given and all(_PLAIN_NUMBER.fullmatch(text) for text in given):
            return [float(t) if t and "." in t else int(t) if t else None for t in texts]
        return texts
    return list(column.to_pylist())


class UserColumn(Struct, frozen=True, forbid_unknown_fields=True):
    """Encoding of one column.

    Attributes
    ----------
    name : str
    labels : list of str or None
        Most frequent labels of a category; None for a number.
    mean, spread : float
        Mean and standard deviation of a number; the latter is 1 if it would be 0.
    """

    name: str
    labels: list[str] | None = None
    mean: float = 0.0
    spread: float = 1.0


# Created once, since creating decoders of the same type in two threads crashes.
_DECODER = msgspec.json.Decoder(list[UserColumn])


class UserEncoder:
    """Encodes attributes of users as rows of numbers, in training and for new users.

    - A number is standardised; a missing one becomes 0, which is the mean. Times, and text in which
      every value is a number, are numbers too.
    - A category is one-hot encoded with its 64 most frequent labels; equally frequent ones are
      chosen in alphabetical order. Missing and other labels become zeros. Booleans are categories,
      and text if at most half of its values are distinct.
    - Other text is left out, and a warning is logged.

    Parameters
    ----------
    columns : sequence of UserColumn
        Encodings, as determined by `fit`.
    """

    def __init__(self, columns: Sequence[UserColumn]) -> None:
        self.columns = list(columns)

    @classmethod
    def fit(cls, users: pa.Table, *, quiet: bool = False) -> "UserEncoder":
        """Create an encoder from a result of `read_users`; the order of its rows has no effect.

        With `quiet`, there is no warning about columns that are left out.

        Raises
        ------
        InvalidInput
            A column has a type that cannot be encoded, a number is not finite or too large, or no
            column can be used.
        """
        found = {name: _learn(users[name], name) for name in users.column_names if name != USER_ID}
        left_out = [name for name, column in found.items() if column is None]
        if left_out and not quiet:
            _log.warning(
                "users: %s left out; a column must hold numbers, or labels that repeat",
                ", ".join(left_out),
            )
        columns = [column for column in found.values() if column is not None]
        if not columns:
            raise InvalidInput(
                f"users has the columns {', '.join(users.column_names)}, none of which can be "
                "used; add a number, or a label that several users have",
                field="users",
            )
        return cls(columns)

    @property
    def names(self) -> list[str]:
        """Name of each number of a row: ``age``, ``gender=F``."""
        return [
            name
            for column in self.columns
            for name in (
                [column.name]
                if column.labels is None
                else [f"{column.name}={label}" for label in column.labels]
            )
        ]

    def encode(self, users: Source) -> NDArray[np.float32]:
        """Return the rows of users, float32 [n, len(names)].

        Parameters
        ----------
        users : path or frame
            Source for `read_table`; it need not have IDs. If a column is absent, its values are
            missing for all users; additional columns are ignored.

        Raises
        ------
        InvalidInput
            All columns of the encoder are absent, or one contains an invalid value.
        """
        table = read_table(users)
        known = [column.name for column in self.columns]
        if not set(known) & set(table.column_names):
            raise InvalidInput(
                f"users has the columns {', '.join(table.column_names)}; give at least one of "
                f"those in the training data: {', '.join(known)}",
                field="users",
            )
        blocks = [_encode(column, table) for column in self.columns]
        return np.hstack(blocks).astype(np.float32)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the encodings of the columns, as JSON in bytes."""
        return {"columns": np.frombuffer(msgspec.json.encode(self.columns), dtype=np.uint8)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]]) -> "UserEncoder":
        """Create an encoder from the result of `arrays`.

        Raises
        ------
        Damaged
            The arrays are not those of an encoder.
        """
        try:
            return cls(_DECODER.decode(arrays["columns"].tobytes()))
        except msgspec.DecodeError as error:
            raise Damaged(f"the columns of users cannot be read: {error}; fit again") from error


def _learn(column: Any, name: str) -> UserColumn | None:
    """Return the encoding of a column; None if it cannot be used."""
    if _is_number(column, name):
        values = _numbers(column, name)
        # Sorted, so that the order of rows has no effect on rounding.
        values = np.sort(values[~np.isnan(values)])
        if len(values) == 0:
            return None
        mean = float(values.mean())
        spread = float(np.sqrt(np.square(values - mean).mean()))
        return UserColumn(name, mean=mean, spread=spread or 1.0)
    labels = [label for label in _labels(column, name) if label is not None]
    counts = Counter(labels)
    if not labels or (not pa.types.is_boolean(column.type) and 2 * len(counts) > len(labels)):
        return None
    frequent = sorted(counts, key=lambda label: (-counts[label], label))
    return UserColumn(name, labels=frequent[:MOST_LABELS])


def _is_number(column: Any, name: str) -> bool:
    kind = column.type
    if pa.types.is_string(kind):
        try:
            pc.if_else(pc.equal(column, ""), pa.scalar(None, kind), column).cast(pa.float64())
        except pa.ArrowInvalid:
            return False
        return True
    if pa.types.is_boolean(kind) or pa.types.is_null(kind):
        return False
    if _is_time(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return True
    if pa.types.is_decimal(kind):
        return True
    raise InvalidInput(
        f"column {name!r} of users is of type {kind}; text, numbers, times, true and false can be "
        "read. Convert or remove it",
        field=name,
    )


def _is_time(kind: Any) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    """Return values as float64 [n]; NaN if missing."""
    read = to_seconds if _is_time(column.type) else to_numbers
    values: NDArray[np.float64] = pa.table({name: read(column, name)})[name].to_numpy()
    wrong = np.flatnonzero(np.abs(values) > MAX_VALUE)
    if len(wrong):
        raise InvalidInput(
            f"column {name!r} of users contains {values[wrong[0]]:g} in row {wrong[0]}; numbers "
            f"must be finite and at most {MAX_VALUE:.0e} in size: correct it or leave it empty",
            field=name,
        )
    return values


def _labels(column: Any, name: str) -> list[str | None]:
    try:
        text = pc.utf8_trim_whitespace(column.cast(pa.string()))
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"column {name!r} of users is of type {column.type}, which is not a label ({error}); "
            "convert it to text",
            field=name,
        ) from error
    return [label or None for label in text.to_pylist()]


def _encode(column: UserColumn, table: pa.Table) -> NDArray[np.float64]:
    """Encode one column: float64 [n, 1] for a number, [n, n_labels] for a category."""
    width = 1 if column.labels is None else len(column.labels)
    found = np.zeros((table.num_rows, width))
    if column.name not in table.column_names:
        return found
    cells = table[column.name]
    if column.labels is None:
        values = (_numbers(cells, column.name) - column.mean) / column.spread
        found[:, 0] = np.where(np.isnan(values), 0.0, values)
        return found
    places = {label: place for place, label in enumerate(column.labels)}
    for row, label in enumerate(_labels(cells, column.name)):
        if label in places:
            found[row, places[label]] = 1.0
    return found
