"""How texts are read: by hand, for any Unicode, and against a slow implementation."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unicodedata import category, normalize

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nearline.encoders import reading
from nearline.encoders.reading import LANGUAGE, LANGUAGES, WORDS, LanguageReader, make_reader
from nearline.encoders.scripts import split, without_accents
from nearline.encoders.text_index import TextIndex
from nearline.encoders.tfidf import TfIdf, TfIdfConfig
from nearline.errors import Damaged

# Lone surrogates, combining marks, controls of direction, joiners, emoji and all scripts.
ANY = st.text(
    st.one_of(
        st.characters(exclude_categories=[]),
        st.sampled_from("\ud800\u0301\u3099\u202e\u200d\u200b\ufe0f👍🏽ıİßﬁｶﾞ각ᄀ가茶กำ"),
    ),
    max_size=40,
)


def read(text: str, main: str = "english") -> list[str]:
    """Words and parts of a text, with a language for texts whose language is not clear."""
    counts = np.array([name == main for name in LANGUAGES], dtype=np.int64)
    return LanguageReader(counts).read([text])[0].replace("\t", " ").split()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The mugs and a mug", "mug mug"),
        ("cafés, CAFÉ and Ｃａｆｅ", "cafe cafe cafe"),
        ("Les théières de l'été", "theier ete"),
        ("le cœur d’une crème brûlée", "coeur crem brule"),
        ("los camiones y el camión", "camion camion"),
        ("绿茶，iPhone手机", "绿 茶 iphon 手 机"),
        ("コーヒーを飲む", "コー ーヒ ヒー 飲"),
        ("ｺｰﾋｰ", "コー ーヒ ヒー"),
        ("ชาเย็น", "ชา าเ เย ย็ ็น"),
        ("ກາເຟ", "ກາ າເ ເຟ"),
        ("커피를 마시는 차", "커피 피를 마시 시는 차"),
        ("والقهوة في المقهى", "قهو مقه"),
        ("горячие чайники и чайник", "горяч чайник чайник"),
        ("चाय और किताबें", "चाय किताब"),
        ("Ελληνικός καφές και καφέδες", "ελληνικ καφ καφ"),
        ("٣ чая 3in1 x", "ча 3in1"),
        ("soft\u00adhyphen zero\u200bwidth", "softhyphen zero width"),
        ("The Who", "the who"),  # nothing but function words
        ("", ""),
        ("👍🏽 \ud800 \u0301 !", ""),
    ],
)
def test_texts_by_hand(text: str, expected: str) -> None:
    assert read(text) == expected.split()


def test_composed_words_have_their_beginnings_and_ends() -> None:
    text = LanguageReader().read(["die Teetasse und der Tee"])[0]
    assert text == "teetass\ttee\tteet\tass\ttass tee"
    assert read("tea teapot") == ["tea", "teapot"]


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the cup is on the table", "english"),
        ("die Tasse ist auf dem Tisch", "german"),
        ("la tasse est sur la table", "french"),
        ("la taza está en la mesa", "spanish"),
        ("la tazza è sul tavolo", "italian"),
        ("a xícara está na mesa", "portuguese"),
        ("het kopje staat op de tafel", "dutch"),
        ("koppen är på bordet och inte här", "swedish"),
        ("kuppi on pöydällä ja se ei ole", "finnish"),
        ("filiżanka jest na stole i nie ma", "polish"),
        ("šálek je na stole, protože není", "czech"),
        ("fincan masada ve bu da çok", "turkish"),
        ("cái cốc ở trên bàn và không", "vietnamese"),
    ],
)
def test_the_language_of_most_function_words(text: str, language: str) -> None:
    assert [LANGUAGES[n] for n in reading._likely(split(text))] == [language]


def test_an_unclear_language_is_that_of_most_texts() -> None:
    reader = LanguageReader()
    assert reader.learn(["Tassen"]) == ["tassen"]  # in English, before there are texts
    reader.learn(["der Tee und die Tassen"])
    assert reader.learn(["Tassen"])[0].split("\t")[0] == "tass"
    assert reader.arrays()["languages"].tolist()[:3] == [0, 1, 0]
    again = make_reader(LANGUAGE, reader.arrays())
    assert again.read(["Tassen"])[0].split("\t")[0] == "tass"
    more = LanguageReader(np.array([5]))  # of a version with fewer languages
    assert more.arrays()["languages"].tolist() == [5] + [0] * (len(LANGUAGES) - 1)


def test_a_search_text_is_tried_in_the_languages_of_the_texts() -> None:
    encoder = TfIdf(TfIdfConfig(reading=LANGUAGE))
    encoder.fit(["the cups and a pot", "the spoons of the cup", "les théières et la tasse"])
    for text in ("théières", "cups", "TASSES"):
        assert len(encoder.encode(text)[0]) == 1, text


def naive_split(text: str) -> list[str]:
    """Split a text by the rules, one character after the other."""
    folded = normalize("NFKC", text).casefold()
    kept = ""
    for char in folded:
        kind = category(char)
        accent = any(
            low <= ord(char) <= high
            for low, high in [
                *((0x300, 0x36F), (0x483, 0x489), (0x591, 0x5C7), (0x610, 0x61A), (0x64B, 0x65F)),
                *((0x670, 0x670), (0x6D6, 0x6ED), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF)),
                *((0x20D0, 0x20FF), (0xFE00, 0xFE0F), (0xFE20, 0xFE2F), (0x640, 0x640)),
            ]
        )
        if accent or (kind == "Cf" and char != "\u200b"):
            continue
        if char.isdecimal():
            kept += str(int(char))
        else:
            kept += char if kind[0] in "LM" or kind in ("Nl", "No") else " "
    return normalize("NFKC", kept).split()


@settings(deadline=None, max_examples=300)
@given(ANY)
def test_any_text_equals_the_slow_implementation(text: str) -> None:
    assert split(text) == naive_split(text)


@settings(deadline=None, max_examples=300)
@given(ANY, st.sampled_from(LANGUAGES))
def test_any_text_can_be_read(text: str, main: str) -> None:
    found = read(text, main)
    assert found == read(text, main)
    assert all(part.encode() and not part.isspace() for part in found)
    folded = [without_accents(token) for token in split(text)]
    # Folding is idempotent.
    assert [without_accents(token) for token in split(" ".join(folded))] == folded
    encoder = TfIdf(TfIdfConfig(reading=LANGUAGE))
    encoder.fit([text, text])
    assert encoder.n_texts in (0, 2)


LETTERS = st.text("abcdefxyzéàüñöçżłøæœß", min_size=2, max_size=9)


@settings(deadline=None)
@given(st.lists(LETTERS, min_size=1, max_size=5), st.sampled_from(LANGUAGES))
def test_case_width_and_composition_do_not_matter(given: list[str], main: str) -> None:
    text = " ".join(given)
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)
    for other in (text.upper(), wide, normalize("NFD", text), normalize("NFKD", text.title())):
        assert read(other, main) == read(text, main)


@settings(deadline=None)
@given(st.text("bcdfgéàüñöç", min_size=4, max_size=9), st.sampled_from(LANGUAGES))
def test_accents_do_not_matter(word: str, main: str) -> None:
    plain = "".join(c for c in normalize("NFD", word) if category(c) != "Mn")
    assert read(word, main) == read(plain, main)


def test_plain_words_are_read_as_before() -> None:
    assert make_reader(WORDS).read(["The Café_x a 绿茶"]) == ["the café_x 绿茶"]
    assert make_reader(WORDS).arrays() == {}


TEXTS = st.lists(
    st.sampled_from(
        ["the tea and cups", "der Tee", "le thé et la tasse", "Tassen", "绿茶", "", "a"]
    ),
    max_size=8,
)


@settings(deadline=None)
@given(TEXTS, st.integers(0, 8), st.integers(0, 8))
def test_texts_added_together_or_after_a_restart_equal_those_added_one_by_one(
    texts: list[str], first: int, restart: int
) -> None:
    config = TfIdfConfig(reading=LANGUAGE)
    together, apart = TfIdf(config), TfIdf(config)
    for encoder in (together, apart):
        encoder.fit(texts[:first])
    rows, _ = together.add(texts[first:])
    columns, values = [], []
    for at, text in enumerate(texts[first:]):
        if at == restart:
            apart = TfIdf.restore(config, apart.arrays())
        one, _ = apart.add([text])
        columns += one.items.tolist()
        values += one.weights.tolist()
    assert (rows.items.tolist(), rows.weights.tolist()) == (columns, values)
    assert together.arrays()["languages"].tolist() == apart.arrays()["languages"].tolist()


def test_a_small_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["the green teas and cups", "le thé vert", "绿茶 cups"]
    expected = LanguageReader().read(texts)
    monkeypatch.setattr(reading, "CACHED", 2)
    reading._cache.cache_clear()
    assert LanguageReader().read(texts) == expected


def test_threads_read_alike() -> None:
    texts = [f"the {word}ings of {word}s" for word in ("walk", "tea", "cup", "pot", "run")] * 40
    reading._cache.cache_clear()
    reader = LanguageReader()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda text: reader.read([text])[0], texts))
    reading._cache.cache_clear()
    assert found == reader.read(texts)


def test_stop_words_do_not_make_texts_similar() -> None:
    index = TextIndex(TfIdfConfig(reading=LANGUAGE))
    index.fit(["The mug", "The lamp", "a mug"], 3)
    items, cosines = index.nearest(0, 3)
    assert (items.tolist(), cosines.tolist()) == ([2], [1.0])


@pytest.mark.parametrize(
    "counts",
    [np.zeros((2, 2), np.int64), np.zeros(2, np.float64), np.zeros(len(LANGUAGES) + 1, np.int64)],
)
def test_counts_of_a_damaged_model_are_refused(counts: NDArray[Any]) -> None:
    with pytest.raises(Damaged, match="counts of languages"):
        make_reader(LANGUAGE, {"languages": counts})
