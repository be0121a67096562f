"""Hashes of terms, and their counts in tables."""

import math
import os
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.encoders.tfidf import terms
from nearline.kernels.terms import (
    TermCounts,
    TermTable,
    count_distinct,
    hash_lines,
    hash_texts,
    insert,
    learn,
    look_up,
    weigh,
)

# Hashes are 64-bit integers that wrap around, which the integers of Python do not.
pytestmark = pytest.mark.skipif("NUMBA_DISABLE_JIT" in os.environ, reason="needs compiled kernels")


WORDS = st.sampled_from(["tea", "pot", "čaj", "茶碗", "leaf", "at"])
TEXTS = st.lists(st.lists(WORDS, max_size=7), max_size=6)


def encoded(lines: list[str]) -> np.ndarray:
    return np.frombuffer("\n".join(lines).encode(), dtype=np.uint8)


def table(capacity: int, room: int) -> TermTable:
    columns, frequencies = np.zeros(capacity, np.int32), np.zeros(room, np.int32)
    return TermTable(np.zeros(capacity, np.int64), columns, frequencies)


@settings(deadline=None)
@given(TEXTS, st.integers(1, 4))
def test_equal_terms_and_no_others_have_equal_hashes(texts: list[list[str]], longest: int) -> None:
    lines = [" ".join(words) for words in texts]
    sizes, hashes = hash_texts(encoded(lines), len(lines), longest)
    expected = [terms(line, longest) for line in lines]
    assert sizes.tolist() == [len(own) for own in expected]
    flat = [term for own in expected for term in own]
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat))
    assert len(set(hashes.tolist())) == len(set(flat))
    assert hash_lines(encoded(flat), len(flat)).tolist() == hashes.tolist()
    assert 0 not in hashes


@settings(deadline=None)
@given(
    st.lists(st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=3)), max_size=5), max_size=5),
    st.integers(1, 3),
)
def test_parts_are_terms_after_those_of_the_words(
    texts: list[list[tuple[str, list[str]]]], longest: int
) -> None:
    lines = [" ".join("\t".join((word, *parts)) for word, parts in text) for text in texts]
    sizes, hashes = hash_texts(encoded(lines), len(lines), longest)
    expected = [
        [*terms(" ".join(word for word, _ in text), longest), *(p for _, own in text for p in own)]
        for text in texts
    ]
    assert sizes.tolist() == [len(own) for own in expected]
    flat = [term for own in expected for term in own]
    assert hash_lines(encoded(flat), len(flat)).tolist() == hashes.tolist()


def test_the_order_of_words_matters() -> None:
    _, hashes = hash_texts(encoded(["ab cd ab", "cdab"]), 2, 2)
    # ab, cd, ab, "ab cd", "cd ab"; cdab.
    assert hashes[0] == hashes[2]
    assert len(set(hashes.tolist())) == 5


@settings(deadline=None)
@given(st.lists(st.integers(1, 9), max_size=20))
def test_distinct_terms_are_counted_in_their_order(own: list[int]) -> None:
    hashes = np.array(own, dtype=np.int64)
    slots = np.full(64, -1, dtype=np.int32)
    distinct, counts = np.zeros(20, np.int64), np.zeros(20, np.int32)
    n = count_distinct(hashes, slots, distinct, counts)
    assert list(zip(distinct[:n].tolist(), counts[:n].tolist(), strict=True)) == list(
        Counter(own).items()
    )
    assert (slots == -1).all()


def test_texts_are_learned_one_after_the_other_by_hand() -> None:
    terms_of = table(16, 8)
    # Terms 5, 7, 5 in the first text, none in the second, 7 and 16 + 5 in the third: the last one
    # has the same first slot as 5.
    hashes = np.array([5, 7, 5, 7, 21], dtype=np.int64)
    slots = np.full(8, -1, dtype=np.int32)
    counted = learn(terms_of, 0, 10, np.array([3, 0, 2]), hashes, slots)
    assert counted.sizes.tolist() == [2, 0, 2]
    assert counted.columns.tolist() == [0, 1, 1, 2]
    assert counted.counts.tolist() == [2, 1, 1, 1]
    assert counted.frequencies.tolist() == [1, 1, 2, 1]
    assert counted.n_texts.tolist() == [11, 11, 12]
    assert look_up(terms_of, np.array([21, 7, 5, 6])).tolist() == [2, 1, 0, -1]
    wider = table(64, 8)
    insert(wider, np.array([21, 5]), np.array([2, 0], dtype=np.int32))
    assert look_up(wider, np.array([5, 21, 7])).tolist() == [0, 2, -1]


def test_weights_by_hand() -> None:
    sizes, n_texts = np.array([2, 0, 1]), np.array([3, 3, 4])
    columns, counts = np.zeros(3, np.int32), np.array([1, 4, 2], np.int32)
    frequencies = np.array([1, 3, 2], np.int32)
    values = weigh(TermCounts(sizes, columns, counts, frequencies, n_texts))
    one, two = 1 + math.log(4 / 2), (1 + math.log(4)) * (1 + math.log(4 / 4))
    length = math.hypot(one, two)
    assert values.tolist() == pytest.approx([one / length, two / length, 1.0], abs=1e-7)
