"""Amounts in text: currencies, thousands separators and decimal marks."""

import re
from collections.abc import Iterable

_SIGN = r"[$\u20ac\u00a3\u00a5\u20b9\u20bd\u20a9\u20ba\u0e3f]"
_CURRENCY = re.compile(
    rf"^(?:[A-Z]{{0,2}}{_SIGN}|[A-Z]{{3}}(?=[\s\d])|[Kk]r\.?|z\u0142|Fr\.)\s*"
    rf"|\s*(?:{_SIGN}|(?<=[\s\d])[A-Z]{{3}}|[Kk]r\.?|z\u0142|Fr\.|,-)$"
)
# Thousands separators: spaces of any width, and apostrophes.
_GAPS = re.compile(r"(?<=\d)[ '\u2019\u00a0\u2009\u202f](?=\d{3}(?!\d))")


def read_amounts(texts: Iterable[str]) -> dict[str, float]:
    """Return the number that each text represents; texts that are not numbers are left out.

    Currency signs and codes, and spaces or apostrophes between thousands, are removed. The decimal
    mark, a point or a comma, is determined from all texts together. A text determines it if it has
    both marks, the same mark twice, or a single mark without exactly three digits after it. If the
    texts do not determine it, a text with a comma that could be either (``1,234``) is left out.
    """
    bare = {text: _bare(text) for text in texts}
    marks = {mark for text in bare.values() if (mark := _decimal_mark(text))}
    mark = marks.pop() if len(marks) == 1 else ""
    numbers = {}
    for text, digits in bare.items():
        number = _number(digits, _decimal_mark(digits) or mark)
        if number is not None:
            numbers[text] = number
    return numbers


def has_currency(text: str) -> bool:
    """Return whether a currency stands before or after a number."""
    return bool(re.search(r"\d", text)) and _CURRENCY.search(text.strip()) is not None


def _bare(text: str) -> str:
    """Remove white space, the currency and the thousands separators."""
    text = text.strip()
    sign = ""
    if text[:1] in ("-", "+", "\u2212"):
        sign, text = ("" if text[0] == "+" else "-"), text[1:].lstrip()
    elif text.startswith("(") and text.endswith(")"):  # accounting notation of negative amounts
        sign, text = "-", text[1:-1]
    text = _CURRENCY.sub("", text.strip()).strip()
    if text[:1] == "-" and not sign:  # $-5
        sign, text = "-", text[1:]
    return sign + _GAPS.sub("", text)


def _decimal_mark(text: str) -> str:
    """Return the decimal mark if `text` alone determines it, otherwise ""."""
    point, comma = text.count("."), text.count(",")
    if point and comma:
        return max(".", ",", key=text.rfind)
    if point > 1 or comma > 1:
        return "," if point > 1 else "."
    for mark, count in ((".", point), (",", comma)):
        if count and not re.fullmatch(r"[+-]?[1-9]\d{0,2}[.,]\d{3}", text):
            return mark
    return ""


def _number(text: str, mark: str) -> float | None:
    if "," in text or (mark == "," and "." in text):
        if not mark:
            return None
        group = "." if mark == "," else ","
        whole, _, _ = text.partition(mark)
        if group in whole and not re.fullmatch(rf"[+-]?\d{{1,3}}(?:\{group}\d{{3}})+", whole):
            return None
        text = text.replace(group, "").replace(mark, ".")
    try:
        return float(text)
    except ValueError:
        return None
