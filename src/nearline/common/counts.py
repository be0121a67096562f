"""Numbers with their nouns, in the singular or the plural."""


def count(number: int, noun: str) -> str:
    """Return a number with its noun, in the plural unless the number is one: 1 user, 2 users.

    Parameters
    ----------
    number : int
        Written with commas as thousands separators.
    noun : str
        Noun in the singular, whose last word forms a regular plural, such as ``part file``.

    Examples
    --------
    >>> count(1, "entry"), count(0, "entry"), count(1_200, "part file"), count(2, "day")
    ('1 entry', '0 entries', '1,200 part files', '2 days')
    """
    if number == 1:
        return f"1 {noun}"
    if noun.endswith("y") and noun[-2:-1] not in "aeiou":
        return f"{number:,} {noun[:-1]}ies"
    return f"{number:,} {noun}s"
