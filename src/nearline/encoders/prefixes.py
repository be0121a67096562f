"""A dictionary of words that is searched by their beginnings, and to which words are added."""

from bisect import bisect_left
from collections.abc import Container, Iterable

# New words that are sorted apart from the others before they are merged.
APART = 4_096


class PrefixDictionary:
    """Sorted words, and new words beside them, so that adding one takes constant time.

    Removed words stay until the next merge; readers skip them.

    Parameters
    ----------
    words : iterable of str
        Distinct words.
    """

    def __init__(self, words: Iterable[str] = ()) -> None:
        self._sorted = sorted(words)
        self._new: list[str] = []
        self._n_sorted = 0

    def add(self, word: str) -> None:
        """Add a word that the dictionary may contain already."""
        self._new.append(word)

    def beginning(self, prefix: str, most: int, current: Container[str]) -> list[str]:
        """Return at most `most` words that begin with `prefix` and are in `current`, sorted."""
        if len(self._new) > APART:
            self._sorted = sorted(w for w in {*self._sorted, *self._new} if w in current)
            self._new, self._n_sorted = [], 0
        elif len(self._new) != self._n_sorted:
            self._new.sort()
            self._n_sorted = len(self._new)
        found: dict[str, None] = {}
        for words in (self._sorted, self._new):
            first = bisect_left(words, prefix)
            for word in words[first : first + most]:
                if not word.startswith(prefix):
                    break
                if word in current:
                    found[word] = None
        return sorted(found)[:most]
