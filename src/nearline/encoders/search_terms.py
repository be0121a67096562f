"""The terms by which texts are found: their words, stems, and characters of some scripts."""

from collections import Counter
from collections.abc import Container, Iterable
from typing import NamedTuple

from nearline.encoders.reading import LanguageReader
from nearline.encoders.scripts import characters, runs, split, without_accents

# Longer words are cut, so that a text of one word takes no more memory than one of many.
LONGEST_WORD = 64
# Distinct terms of an item, and of a search text.
MOST_TERMS, MOST_ASKED = 4_096, 32
# Occurrences of a term that are counted.
MOST_COUNTED = 255


class SearchTerms(NamedTuple):
    """The terms of a search text.

    Attributes
    ----------
    words : list of str
        Words, or sequences of characters, as they were written.
    stems : list of str
        Stems and parts of words that are not words of the text themselves.
    beginning : str
        The last word, which may be incomplete; "" if the text ends with a complete one.
    """

    words: list[str]
    stems: list[str]
    beginning: str


class TermReader:
    """Reads the terms of items and of search texts.

    Stems follow the rules of the language of each text, and those of English where it has no clear
    language; see `nearline.encoders.reading`. So a text has the same terms in every catalogue. The
    words themselves do not depend on a language.
    """

    def __init__(self) -> None:
        self._reader = LanguageReader()

    def terms(self, texts: Iterable[tuple[str, int]]) -> dict[str, int]:
        """Return the terms of an item, with the number of their occurrences.

        Parameters
        ----------
        texts : iterable of (str, int)
            Texts of the item, and how much an occurrence in each counts.
        """
        counts: Counter[str] = Counter()
        given = [pair for pair in texts if pair[0]]
        readings = self._reader.read([text for text, _ in given])
        for (text, weight), reading in zip(given, readings, strict=True):
            words = _words(text)
            found = words + _stems(reading, set(words))
            counts.update(found)
            for _ in range(weight - 1):
                counts.update(found)
        if len(counts) > MOST_TERMS:
            counts = Counter(dict(counts.most_common(MOST_TERMS)))
        return {term: min(count, MOST_COUNTED) for term, count in counts.items()}

    def asked(self, text: str) -> SearchTerms:
        """Return the terms of a search text; of a long one, the first."""
        words = list(dict.fromkeys(_words(text)))[:MOST_ASKED]
        stems: dict[str, None] = {}
        for reading in self._reader.readings(text):
            # The parts of composed words, after tabs, would find too much.
            stems |= dict.fromkeys(part.split("\t")[0] for part in reading.split(" "))
        known = {"", *words}
        others = [stem[:LONGEST_WORD] for stem in stems if stem not in known]
        return SearchTerms(words, others[:MOST_ASKED], _beginning(text))


def _words(text: str) -> list[str]:
    """Return words without accents, and sequences of one or two characters of other scripts."""
    found: list[str] = []
    before = ""
    for token in split(text):
        if token.isascii():
            found.append(token[:LONGEST_WORD])
            before = ""
            continue
        for kind, run in runs(token):
            if kind == "han":
                found.append(run)
                if before:
                    found.append(before + run)
                before = run
                continue
            before = ""
            if kind == "spaced":
                found.append(without_accents(run)[:LONGEST_WORD])
            elif kind == "hangul":
                found.append(run[:LONGEST_WORD])
            elif len(run) == 1:
                found.append(run)
            else:
                found += characters(kind, run).split(" ")
        before = ""
    return found


def _stems(reading: str, words: Container[str]) -> list[str]:
    """Return the stems and parts of a reading that are not words themselves."""
    parts = reading.replace("\t", " ").split(" ")
    return [part[:LONGEST_WORD] for part in parts if part and part not in words]


def _beginning(text: str) -> str:
    tokens = split(text)
    if not tokens or text[-1:].isspace():
        return ""
    kind, run = runs(tokens[-1])[-1]
    if kind in ("spaced", "hangul"):
        return without_accents(run)[:LONGEST_WORD]
    return run if kind != "han" and len(run) == 1 else ""
