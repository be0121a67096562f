"""Letters of all scripts: case, width and accents are folded, and a run of letters is a word.

Scripts that are written without spaces are read as sequences of characters: Chinese characters one
by one, Kana, Thai, Lao, Khmer and Burmese as pairs of neighbouring characters. With terms of up to
two words, these become sequences of one and two, or of two and three characters (P. McNamee and
J. Mayfield, "Character n-gram tokenization for European language text retrieval", 2004).
"""

import re
from unicodedata import category, decimal, normalize

HAN = "々〇㐀-䶿一-鿿豈-龎\U00020000-\U0003ffff"
HIRAGANA, KATAKANA = "ぁ-ゖゝ-ゟー", "ァ-ヺー-ヿㇰ-ㇿ"
# Thai, Lao, Burmese, Khmer, with their vowel signs and tones.
UNSPACED = "\u0e01-\u0e3a\u0e40-\u0e4e\u0e80-\u0eff\u1000-\u109f\u1780-\u17d3\u17dc\u17dd"
HANGUL = "\u1100-\u11ff\u3131-\u318e\uac00-\ud7a3"

_RUN = re.compile(
    f"(?P<han>[{HAN}])|(?P<kana>[{HIRAGANA}]+|[{KATAKANA}]+)|(?P<unspaced>[{UNSPACED}]+)"
    f"|(?P<hangul>[{HANGUL}]+)|(?P<spaced>[^{HAN}{HIRAGANA}{KATAKANA}{UNSPACED}{HANGUL}]+)"
)
# Marks that are not part of a spelling: accents, Arabic and Hebrew vowel points, variants of emoji.
_POINTS = re.compile(
    "[\u0300-\u036f\u0483-\u0489\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe00-\ufe0f\ufe20-\ufe2f]"
)
TATWEEL, ZERO_WIDTH_SPACE = "\u0640", "\u200b"
# Letters whose accent is not a mark of its own in Unicode.
_PLAIN = {
    **{"ø": "o", "ł": "l", "đ": "d", "ð": "d", "ħ": "h", "ı": "i", "ŧ": "t", "æ": "ae", "œ": "oe"},
    **{"þ": "th", "ё": "е", "ى": "ي", "ی": "ي", "ک": "ك", "ٱ": "ا", "أ": "ا", "إ": "ا", "آ": "ا"},
}
# Particles at the end of Korean words, the longest first.
_PARTICLES = (
    *(
        "에서는",
        "으로는",
        "이라는",
        "입니다",
        "에서",
        "으로",
        "에게",
        "까지",
        "부터",
        "처럼",
        "보다",
    ),
    *(
        "하고",
        "이나",
        "이랑",
        "은",
        "는",
        "을",
        "를",
        "이",
        "가",
        "의",
        "에",
        "로",
        "와",
        "과",
        "도",
    ),
    *("만",),
)


class _Letters(dict[int, str | None]):
    """Table for `str.translate`, filled on use: letters stay, marks vanish, all else is a space."""

    def __missing__(self, code: int) -> str | None:
        found = self[code] = _letter(chr(code))
        return found


def _letter(char: str) -> str | None:
    kind = category(char)
    if char == TATWEEL or (kind == "Cf" and char != ZERO_WIDTH_SPACE) or _POINTS.match(char):
        return None
    if kind == "Nd":
        return str(decimal(char))
    return char if kind[0] in "LM" or kind in ("Nl", "No") else " "


_LETTERS = _Letters()
_ASCII = re.compile("[a-z0-9]+")


def split(text: str) -> list[str]:
    """Return the runs of letters, marks and digits of a text; case and width are folded (NFKC)."""
    if text.isascii():
        return _ASCII.findall(text.lower())
    # Normalised again, since letters may combine after marks between them are removed.
    folded = normalize("NFKC", text).casefold().translate(_LETTERS)
    return normalize("NFKC", folded).split()


def without_accents(word: str) -> str:
    """Return a word without the accents of Latin and Greek letters: "café" becomes "cafe"."""
    return word if word.isascii() else "".join(map(_base, word))


def _base(char: str) -> str:
    if char in _PLAIN:
        return _PLAIN[char]
    base = normalize("NFD", char)[0]
    return _PLAIN.get(base, base) if base < "\u0400" else char


def runs(word: str) -> list[tuple[str, str]]:
    """Divide a word into runs of one kind of script: han, kana, unspaced, hangul, or spaced."""
    return [(str(found.lastgroup), found[0]) for found in _RUN.finditer(word)]


def characters(kind: str, run: str) -> str:
    """Return the words of a run of a script without spaces, or of Korean, as `read` returns them.

    A Korean word is read as the word without its particle; pairs of its syllables are its parts.
    A single Kana is a particle and has no words.
    """
    if kind == "han":
        return run
    pairs = [run[at : at + 2] for at in range(len(run) - 1)]
    if kind != "hangul":
        return " ".join(pairs)
    stem = next((run[: -len(end)] for end in _PARTICLES if run.endswith(end)), "") or run
    return "\t".join((stem, *(pair for pair in pairs if pair != stem)))
