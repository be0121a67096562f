"""The tokens of an expression, and errors that point at a character."""

import re
from typing import NamedTuple

from nearline.errors import InvalidInput

# Types of values, as stored with each item; MISSING also stands for the result of a division by 0.
MISSING, INT, DOUBLE, BOOL, STRING, LIST = range(6)

Value = int | float | bool | str

# Whole numbers are stored as doubles, which are exact up to this one.
MAX_WHOLE = 2**53

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<double>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
    |(?P<whole>0[xX][0-9a-fA-F]+|\d+)
    |(?P<string>[rR]?"(?:[^"\\\n]|\\.)*"|[rR]?'(?:[^'\\\n]|\\.)*')
    |(?P<name>[^\W\d]\w*)
    |(?P<mark>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:()\[\].,])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2}|.)", re.S)
_PLAIN_ESCAPES = {
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
    **{char: char for char in "\\'\"`?"},
}
_HINTS = {
    "=": "compare with ==",
    "&": "write && for and",
    "|": "write || for or",
    '"': "close the string with the same quote",
    "'": "close the string with the same quote",
}


class Token(NamedTuple):
    """A token of an expression.

    Attributes
    ----------
    kind : str
        "constant", "name", "mark" or "end".
    text : str
        Text of the token.
    at : int
        Position of its first character, from 0.
    value : Value or None
        Value of a constant.
    """

    kind: str
    text: str
    at: int
    value: Value | None = None


def fault(at: int, message: str) -> InvalidInput:
    """Return an error at the character with index `at`, which is counted from 1 in the message."""
    return InvalidInput(f"character {at + 1}: {message}")


def tokens_of(text: str) -> list[Token]:
    """Split an expression into tokens; the last one is of kind "end". O(characters).

    Raises
    ------
    InvalidInput
        A character or a literal is not part of the language.
    """
    found, at = [], 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            hint = _HINTS.get(text[at])
            raise fault(at, f"{text[at]!r} is unexpected" + (f"; {hint}" if hint else ""))
        kind, part = str(match.lastgroup), match[0]
        if kind != "space":
            found.append(_token(kind, part, at))
        at = match.end()
    return [*found, Token("end", "the end", len(text))]


def _token(kind: str, text: str, at: int) -> Token:
    if kind == "whole":
        whole = (
            int(text, 0 if text[:2] in ("0x", "0X") else 10) if len(text) < 20 else MAX_WHOLE + 1
        )
        if whole > MAX_WHOLE:
            raise fault(at, f"{text:.30} is too large; whole numbers go up to 2**53")
        return Token("constant", text, at, whole)
    if kind == "double":
        number = float(text)
        if number == float("inf"):
            raise fault(at, f"{text:.30} is too large for a number")
        return Token("constant", text, at, number)
    if kind == "string":
        return Token("constant", text, at, _unquoted(text, at))
    if text in ("true", "false"):
        return Token("constant", text, at, text == "true")
    return Token(kind, text, at)


def _unquoted(text: str, at: int) -> str:
    if text[0] in "rR":
        return text[2:-1]

    def replace(match: re.Match[str]) -> str:
        code = match[1]
        if code in _PLAIN_ESCAPES:
            return _PLAIN_ESCAPES[code]
        if len(code) == 1:
            raise fault(at + 1 + match.start(), f"\\{code} is not an escape; write \\\\ for \\")
        point = int(code, 8) if code.isdigit() and len(code) == 3 else int(code[1:], 16)
        if point > 0x10FFFF or 0xD800 <= point < 0xE000:
            raise fault(at + 1 + match.start(), f"\\{code} is not a character")
        return chr(point)

    return _ESCAPE.sub(replace, text[1:-1])
