"""How a source is read: what its reader cannot find out alone."""

from typing import Any

import msgspec
from msgspec import Struct

from nearline.errors import InvalidInput

DEFAULT_EVENT = "view"


class ReadOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    r"""How to read a file or frame.

    Attributes
    ----------
    separator : str or None
        Text between the fields of a text file; None: determined by the extension or first lines.
    encoding : str
        Encoding of a text file; UTF-16 is recognised by its first bytes.
    header : bool
        Whether the first line of a text file names the columns. Without it they are called
        "1", "2" and so on.
    time_format : str or None
        How times are written: "s", "ms", "us", "ns" (since 1970), "yyyymmdd", "yyyymm",
        "yyyymmddhhmm", "yyyymmddhhmmss", "year", "serial" (a spreadsheet's days), "position"
        (order alone), or a format as `datetime.strptime` takes it. None: the column as a whole
        decides.
    day_first : bool or None
        Whether 1/2/2020 is in February (True) or in January; None: the column decides.
    missing : list of str
        Texts that mean that a value is missing, besides the usual ones.
    event : str
        Kind of the events where the source names none.
    """

    separator: str | None = None
    encoding: str = "utf-8"
    header: bool = True
    time_format: str | None = None
    day_first: bool | None = None
    missing: list[str] = []
    event: str = DEFAULT_EVENT


def read_options(**given: Any) -> ReadOptions:
    """Check options given by name.

    Raises
    ------
    InvalidInput
        There is no such option, or it is of another type.
    """
    given = {name: list(value) if name == "missing" else value for name, value in given.items()}
    if isinstance(given.get("separator"), str):
        given["separator"] = given["separator"].replace("\\t", "\t")  # as typed in a shell
    try:
        return msgspec.convert(given, ReadOptions)
    except msgspec.ValidationError as error:
        allowed = ", ".join(ReadOptions.__struct_fields__)
        raise InvalidInput(
            f"the options of reading are not valid: {error}; there are {allowed}"
        ) from None
