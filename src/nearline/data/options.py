"""Options of reading, for properties of a source that cannot always be determined."""

from typing import Any

import msgspec
from msgspec import Struct

from nearline.errors import InvalidInput

DEFAULT_EVENT = "view"


class ReadOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""Options of reading a file or frame.

    Attributes
    ----------
    separator : str or None
        Separator of fields in a text file; None determines it from the extension or the first
        lines.
    encoding : str
        Encoding of a text file; UTF-16 is detected by its byte order mark.
    header : bool
        Whether the first line of a text file contains the names of columns. Otherwise they are
        "1", "2" and so on.
    time_format : str or None
        Format of times: "s", "ms", "us", "ns" (since 1970), "yyyymmdd", "yyyymm",
        "yyyymmddhhmm", "yyyymmddhhmmss", "year", "serial" (days of a spreadsheet), "position"
        (only the order), or a format of `datetime.strptime`. None determines it from the whole
        column.
    day_first : bool or None
        Whether 1/2/2020 is in February (True) or in January; None determines it from the
        whole column.
    missing : list of str
        Texts that mean a missing value, in addition to common ones.
    event : str
        Kind of events for which the source has none.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    time_format: str | None = None
    day_first: bool | None = None
    missing: list[str] = []
    event: str = DEFAULT_EVENT


def read_options(**given: Any) -> ReadOptions:
    """Validate options given by name.

    Raises
    ------
    InvalidInput
        An option is unknown or has an invalid value.
    """
    given = {name: list(value) if name == "missing" else value for name, value in given.items()}
    if isinstance(given.get("separator"), str):
        given["separator"] = given["separator"].replace("\\t", "\t")  # as in a shell
    try:
        return msgspec.convert(given, ReadOptions)
    except msgspec.ValidationError as error:
        allowed = ", ".join(ReadOptions.__struct_fields__)
        raise InvalidInput(
            f"the options of reading are invalid: {error}; allowed are {allowed}"
        ) from None
