"""Conversion of the advice in error messages from Python arguments to command-line options.

Errors advise what to write in Python, such as ``columns={"item_id": "sku"}``. On the command line,
the equivalent option is needed.
"""

import ast
import re

# Keyword arguments that are options of the same name.
_SAME = ("encoding", "separator", "time_format", "encoder", "validation")
_COLUMNS = re.compile(r"\b(item_)?columns=(\{[^{}]*\})")
_READ_FIRST = re.compile(
    r"(?:read it with |use )?read_table\(path, (\w+)=([^()]+)\) and pass the (?:table|frame)"
)
_ARGUMENT = re.compile(rf"\b({'|'.join(_SAME)})=('[^']*'|\"[^\"]*\"|\.\.\.)")
_SENTENCES = {
    "header=False": "--no-header",
    "day_first=True or day_first=False": "--day-first or --month-first",
    "list the snapshots": "`nearline snapshots --store DIR` lists the snapshots",
    "exclude_seen=False": "--include-seen",
    ", or load it yourself and pass the frame": "",
    "Write the field on the left and the name of your column on the right": "Write FIELD=COLUMN",
}


def for_command_line(message: str) -> str:
    """Return an error message with options in place of Python arguments."""
    message = _COLUMNS.sub(_column_options, message)
    message = _READ_FIRST.sub(lambda found: f"use {_option(*found.groups())}", message)
    for python, cli in _SENTENCES.items():
        message = message.replace(python, cli)
    return _ARGUMENT.sub(lambda found: _option(*found.groups()), message)


def _column_options(found: re.Match[str]) -> str:
    option = "--item-column" if found.group(1) else "--column"
    try:
        columns = ast.literal_eval(found.group(2))
        return " ".join(f"{option} {_word(f'{field}={name}')}" for field, name in columns.items())
    except (ValueError, SyntaxError, AttributeError):
        return f"{option} FIELD=COLUMN"


def _option(name: str, value: str) -> str:
    text = value.strip("'\"")
    return f"--{name.replace('_', '-')} {'NAME' if text == '...' else _word(text)}"


def _word(text: str) -> str:
    """Quote text that a shell would not read as one word."""
    return text if re.fullmatch(r"[\w=./:+-]+", text) else "'" + text.replace("'", "'\\''") + "'"
