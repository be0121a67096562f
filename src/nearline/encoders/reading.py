"""How texts are read: the words of a text from which its terms are made.

`words` takes sequences of letters as they are. `language` folds case, width and accents, reads
scripts without spaces by their characters, and leaves out the function words and endings of the
text's own language (the stemmers of M. Porter, "Snowball: a language for stemming algorithms",
2001). A text in Latin script has the language most of whose function words it contains. Where two
languages have equally many or none, it is the language of most other texts, and English before any
text has been read.
"""

import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from importlib import import_module
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.encoders.scripts import characters, runs, split, without_accents
from nearline.encoders.stop_words import LATIN, OTHER
from nearline.errors import Damaged

WORDS, LANGUAGE = "words", "language"
READINGS = (WORDS, LANGUAGE)

LANGUAGES = tuple(LATIN)
_WORD = re.compile(r"\w\w+")
_STOP = {language: frozenset(text.split()) for language, text in LATIN.items()}
_OTHER = frozenset(OTHER.split())
_NUMBERS = {language: number for number, language in enumerate(LANGUAGES)}
# Numbers of the languages in which a word is a function word.
_EVIDENCE = {
    word: tuple(_NUMBERS[language] for language in LANGUAGES if word in _STOP[language])
    for word in sorted(frozenset().union(*_STOP.values()))
}
# The language is judged by this many words at the beginning of a text.
JUDGED = 64
# A catalogue's main language is that of most of so many of its texts.
SAMPLE = 1_000
# Languages in which a search text of no clear language is tried.
TRIED = 4
# Words of each language whose parts are cached: bounds the memory, about 100 bytes each.
CACHED = 100_000
# Longer words are names or codes and have no endings.
LONGEST_STEM = 30

# Languages that write composed words as one: beginnings and ends of long words are terms too.
COMPOUNDING = ("german", "dutch", "swedish", "danish", "norwegian", "finnish", "hungarian")
SHORTEST_PART, LONGEST_PART = 3, 6

# First letters of scripts and the language by whose rules their words are stemmed; "" for none.
_SCRIPTS = (
    *((0x250, "latin"), (0x370, ""), (0x400, "greek"), (0x530, "russian"), (0x600, "")),
    *((0x700, "arabic"), (0x900, ""), (0x980, "hindi"), (0x1E00, ""), (0x1F00, "latin")),
    *((0x2000, "greek"), (0x110000, "")),
)
# Digits, and letters of languages that share a script with one of the above, but not its endings.
_NO_STEM = re.compile(r"[\dіїєґўјљњћђџқғүұһөәپچژگٹڈڑںےکی]")
# The Arabic article, also behind a conjunction or preposition, before three letters or more.
_ARTICLE = re.compile("^(?:[وفبك]?ال|و?لل)(?=...)")


def words(text: str) -> list[str]:
    """Return the sequences of two letters or more, in lower case."""
    return _WORD.findall(text.lower())


class WordReader:
    """Reader of the words of a text as they are."""

    def survey(self, texts: Sequence[str]) -> None:
        """Prepare for reading these texts; nothing to do."""

    def learn(self, texts: Sequence[str]) -> list[str]:
        """Read texts: return the words of each, separated by spaces."""
        return [" ".join(words(text)) for text in texts]

    read = learn

    def readings(self, text: str) -> list[str]:
        """Return the possible readings of a search text, the most likely one first."""
        return self.read([text])

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, as arrays by name."""
        return {}


class LanguageReader:
    """Reader by the rules of each text's language.

    Parameters
    ----------
    counts : int64 [n] or None
        Number of texts by language, in the order of `LANGUAGES`; from the method `arrays`.

    Raises
    ------
    Damaged
        The counts have another type or shape, or are for more languages.
    """

    def __init__(self, counts: NDArray[Any] | None = None) -> None:
        if counts is None:
            counts = np.zeros(0, dtype=np.int64)
        if counts.dtype != np.int64 or counts.ndim != 1 or len(counts) > len(LANGUAGES):
            raise Damaged(
                f"the counts of languages are {counts.dtype} {counts.shape}, not one int64 for "
                f"each of at most {len(LANGUAGES)} languages; fit again"
            )
        known = counts.tolist()
        self._counts: list[int] = known + [0] * (len(LANGUAGES) - len(known))
        self._main = self._counts.index(max(self._counts))

    def survey(self, texts: Sequence[str]) -> None:
        """Count the languages of texts that are then read with `read`, from a sample of them."""
        self._counts, self._main = [0] * len(LANGUAGES), 0
        for text in texts[:: max(1, len(texts) // SAMPLE)]:
            self._count(_likely(split(text)))

    def read(self, texts: Sequence[str]) -> list[str]:
        """Read texts: return the words of each, separated by spaces."""
        return [_read(tokens, self._language(_likely(tokens))) for tokens in map(split, texts)]

    def learn(self, texts: Sequence[str]) -> list[str]:
        """Read texts one after the other, and count the language of each."""
        found = []
        for text in texts:
            tokens = split(text)
            likely = _likely(tokens)
            found.append(_read(tokens, self._language(likely)))
            self._count(likely)
        return found

    def readings(self, text: str) -> list[str]:
        """Return the possible readings of a search text, the most likely one first."""
        tokens = split(text)
        likely = _likely(tokens)
        ranked = sorted(likely or range(len(LANGUAGES)), key=lambda n: (-self._counts[n], n))
        used = [n for n in ranked[:TRIED] if self._counts[n]] or ranked[:1]
        return list(dict.fromkeys(_read(tokens, LANGUAGES[n]) for n in used))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return what was learned, as arrays by name."""
        return {"languages": np.array(self._counts, dtype=np.int64)}

    def _language(self, likely: Sequence[int]) -> str:
        if len(likely) == 1:
            return LANGUAGES[likely[0]]
        return LANGUAGES[max(likely, key=self._counts.__getitem__) if likely else self._main]

    def _count(self, likely: Sequence[int]) -> None:
        if len(likely) == 1:
            self._counts[likely[0]] += 1
            self._main = self._counts.index(max(self._counts))


Reader = WordReader | LanguageReader


def make_reader(reading: str, arrays: dict[str, NDArray[Any]] | None = None) -> Reader:
    """Create the reader of a name; `arrays` are what one has learned."""
    if reading == WORDS:
        return WordReader()
    return LanguageReader((arrays or {}).get("languages"))


def _likely(tokens: Sequence[str]) -> tuple[int, ...]:
    """Return the numbers of the languages with the most function words, ascending."""
    found = [_EVIDENCE[token] for token in tokens[:JUDGED] if token in _EVIDENCE]
    if len(found) <= 1:
        return found[0] if found else ()
    hits = Counter(chain.from_iterable(found))
    most = max(hits.values())
    return tuple(sorted(number for number, n in hits.items() if n == most))


def _read(tokens: Sequence[str], language: str) -> str:
    """Return words separated by spaces, and parts of words after tabs.

    Function words are returned only if there are no other words. The cache may be read and written
    by several threads: each entry has one value only.
    """
    known = _cache(language)
    found: list[str | None] = [known.get(token) for token in tokens]
    if None in found:
        if len(known) + len(tokens) > CACHED:
            known.clear()
        for at, token in enumerate(tokens):
            if found[at] is not None:
                continue
            if token.isascii() and not token.isalpha():
                # Numbers and codes are seldom repeated, and have no endings.
                found[at] = token if len(token) > 1 else ""
                continue
            stop = token in _STOP[language] or token in _OTHER
            found[at] = known[token] = "" if stop else _parts(token, language)
    return " ".join(filter(None, found)) or " ".join(
        filter(None, (_parts(token, language) for token in tokens))
    )


@cache
def _cache(language: str) -> dict[str, str]:  # noqa: ARG001 (the key)
    return {}


def _parts(token: str, language: str) -> str:
    """Return the words and parts of one token, as `_read` does."""
    parts = []
    for kind, run in [("spaced", token)] if token.isascii() else runs(token):
        if kind != "spaced":
            parts.append(characters(kind, run))
        elif len(word := without_accents(run)) > 1:
            script = next(name for end, name in _SCRIPTS if ord(word[0]) < end)
            stem = _stem(word, language if script == "latin" else script)
            composed = script == "latin" and language in COMPOUNDING and stem.isalpha()
            parts.append("\t".join((stem, *_ends(stem))) if composed else stem)
    return " ".join(filter(None, parts))


def _ends(stem: str) -> list[str]:
    """Return the beginnings and ends of a word that may be words of which it is composed."""
    sizes = range(SHORTEST_PART, min(LONGEST_PART, len(stem) - SHORTEST_PART) + 1)
    return [stem[:size] for size in sizes] + [stem[-size:] for size in sizes]


def _stem(word: str, language: str) -> str:
    """Return a word without its ending, by the rules of a language; "" for none."""
    if len(word) > LONGEST_STEM or _NO_STEM.search(word):
        return word
    if language == "arabic":
        word = _ARTICLE.sub("", word)
    stemmer = _stemmer(language)
    if stemmer is None:
        return word
    # A stemmer holds the word that it works on.
    with _LOCK:
        return without_accents(stemmer.stemWord(word)) or word


_LOCK = Lock()


@cache
def _stemmer(language: str) -> Any:
    """Return the stemmer of a language, or None if there is none.

    The implementation in Python is taken even if the one in C is installed, so that all machines
    read alike.
    """
    if language in ("", "vietnamese"):
        return None
    module = import_module(f"snowballstemmer.{language}_stemmer")
    return getattr(module, f"{language.title()}Stemmer")()
