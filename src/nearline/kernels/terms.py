"""Terms of texts by their hashes: a table that numbers them, their counts, and TF-IDF weights.

A term is a word or a sequence of words. Its hash of 64 bits stands for it: two of ten million terms
share one with a probability of about 3e-6, and then they count as one term.
"""

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]

SPACE, NEWLINE, TAB = 32, 10, 9
# Constants of the hash: FNV-1a for the bytes of a word, and odd multipliers that mix the result.
OFFSET, PRIME = 0x4BF29CE484222325, 0x100000001B3
FIRST, SECOND = 0x2545F4914F6CDD1D, 0x5851F42D4C957F2D
HALF = 0xFFFFFFFF


class TermTable(NamedTuple):
    """Hash table from terms to columns, with open addressing and linear probing.

    One thread may add terms while others look them up: a column is set before its key.

    Attributes
    ----------
    keys : int64 [capacity]
        Hash of a term; 0 marks an empty slot. The capacity is a power of two.
    columns : int32 [capacity]
        Column of the term, by slot.
    frequencies : int32 [at least n_terms]
        Number of texts that contain a term, by column.
    """

    keys: Longs
    columns: Ints
    frequencies: Ints


class TermCounts(NamedTuple):
    """Distinct terms of n texts, in the order of their first occurrence.

    Attributes
    ----------
    sizes : int64 [n]
        Number of distinct terms of each text.
    columns, counts : int32 [m]
        Terms of all texts, and how often each occurs in its text.
    frequencies : int32 [m]
        Number of texts up to this one that contain the term.
    n_texts : int64 [n]
        Number of texts with terms, up to and including each text.
    """

    sizes: Longs
    columns: Ints
    counts: Ints
    frequencies: Ints
    n_texts: Longs


@njit(nogil=True, cache=True)
def _mixed(value: int) -> int:
    value = (value ^ ((value >> 32) & HALF)) * FIRST
    value = (value ^ ((value >> 32) & HALF)) * SECOND
    value ^= (value >> 32) & HALF
    return value if value != 0 else 1


@njit(nogil=True, cache=True)
def _joined(term: int, word: int) -> int:
    """Return the hash of a term that is followed by a word."""
    return _mixed(term * PRIME ^ word)


@njit(nogil=True, cache=True)
def _read_word(text: Bytes, at: int) -> tuple[int, int]:
    """Return the hash of the word at a position, 0 for none, and the position of its end."""
    value, first = OFFSET, at
    while at < len(text) and text[at] != SPACE and text[at] != NEWLINE and text[at] != TAB:
        value = (value ^ text[at]) * PRIME
        at += 1
    return (_mixed(value) if at > first else 0), at


@njit(nogil=True, cache=True)
def hash_texts(text: Bytes, n_texts: int, longest: int) -> tuple[Longs, Longs]:
    """Hash the terms of texts: words in their order, pairs of words and so on, parts of words.

    Parameters
    ----------
    text : uint8 [n]
        UTF-8 of all texts: words separated by spaces, texts separated by newlines. A part of a
        word follows a tab; it is a term by itself, but not in pairs.
    n_texts : int
        Number of texts.
    longest : int
        Maximum number of words of a term.

    Returns
    -------
    int64 [n_texts], int64 [m]
        Number of terms of each text, and the hashes of the terms of all texts.
    """
    n_words, n_parts = n_texts, 0
    for byte in text:
        n_words += byte == SPACE
        n_parts += byte == TAB
    hashes = np.empty(n_words * longest + n_parts, dtype=np.int64)
    parts = np.empty(n_parts, dtype=np.int64)
    sizes = np.zeros(n_texts, dtype=np.int64)
    at = filled = 0
    for number in range(n_texts):
        first, n_parts = filled, 0
        while True:
            is_part = at > 0 and text[at - 1] == TAB
            word, at = _read_word(text, at)
            if word != 0 and is_part:
                parts[n_parts] = word
                n_parts += 1
            elif word != 0:
                hashes[filled] = word
                filled += 1
            at += 1
            if at > len(text) or text[at - 1] == NEWLINE:
                break
        words = hashes[first:filled]
        for length in range(2, longest + 1):
            for start in range(len(words) - length + 1):
                term = words[start]
                for word in words[start + 1 : start + length]:
                    term = _joined(term, word)
                hashes[filled] = term
                filled += 1
        hashes[filled : filled + n_parts] = parts[:n_parts]
        filled += n_parts
        sizes[number] = filled - first
    return sizes, hashes[:filled]


@njit(nogil=True, cache=True)
def hash_lines(text: Bytes, n_lines: int) -> Longs:
    """Hash terms that are given as UTF-8, one per line, their words separated by spaces."""
    hashes = np.zeros(n_lines, dtype=np.int64)
    at = 0
    for number in range(n_lines):
        while True:
            word, at = _read_word(text, at)
            hashes[number] = word if hashes[number] == 0 else _joined(hashes[number], word)
            at += 1
            if at > len(text) or text[at - 1] == NEWLINE:
                break
    return hashes


@njit(nogil=True, cache=True)
def _slot(keys: Longs, term: int) -> int:
    """Return the slot that contains a term or, if there is none, the one at which to add it."""
    slot = term & (len(keys) - 1)
    while keys[slot] != 0 and keys[slot] != term:
        slot = (slot + 1) & (len(keys) - 1)
    return slot


@njit(nogil=True, cache=True)
def look_up(table: TermTable, hashes: Longs) -> Ints:
    """Return the columns of terms: int32 [n], -1 for an unknown one."""
    columns = np.empty(len(hashes), dtype=np.int32)
    for at in range(len(hashes)):
        slot = _slot(table.keys, hashes[at])
        columns[at] = table.columns[slot] if table.keys[slot] != 0 else -1
    return columns


@njit(nogil=True, cache=True)
def insert(table: TermTable, hashes: Longs, columns: Ints) -> None:
    """Add terms with their columns to a table that does not contain them."""
    for at in range(len(hashes)):
        slot = _slot(table.keys, hashes[at])
        table.columns[slot] = columns[at]
        table.keys[slot] = hashes[at]


@njit(nogil=True, cache=True)
def count_distinct(hashes: Longs, slots: Ints, distinct: Longs, counts: Ints) -> int:
    """Count the terms of one text; return the number of distinct ones.

    Parameters
    ----------
    hashes : int64 [n]
        Terms of the text.
    slots : int32 [at least 2 n]
        Memory: -1 everywhere, before and afterwards. The length is a power of two.
    distinct, counts : int64 [n], int32 [n]
        Set to the distinct terms, in the order of their first occurrence, and their counts.
    """
    size = 0
    for term in hashes:
        slot = term & (len(slots) - 1)
        while slots[slot] >= 0 and distinct[slots[slot]] != term:
            slot = (slot + 1) & (len(slots) - 1)
        if slots[slot] < 0:
            slots[slot] = size
            distinct[size], counts[size] = term, 0
            size += 1
        counts[slots[slot]] += 1
    for term in distinct[:size]:
        slot = term & (len(slots) - 1)
        while slots[slot] >= 0:
            slots[slot] = -1
            slot = (slot + 1) & (len(slots) - 1)
    return size


@njit(nogil=True, cache=True)
def learn(
    table: TermTable, n_terms: int, n_texts: int, sizes: Longs, hashes: Longs, slots: Ints
) -> TermCounts:
    """Count the terms of texts one after the other, and add new terms to the table.

    Parameters
    ----------
    table : TermTable
        Must have room for all terms; terms, columns and frequencies are added.
    n_terms, n_texts : int
        Number of terms in the table, and of texts with terms so far.
    sizes, hashes : int64 [n], int64 [m]
        Result of `hash_texts`.
    slots : int32 [capacity]
        Memory: see `count_distinct`.
    """
    own_sizes = np.zeros(len(sizes), dtype=np.int64)
    columns = np.empty(len(hashes), dtype=np.int32)
    counts = np.empty(len(hashes), dtype=np.int32)
    frequencies = np.empty(len(hashes), dtype=np.int32)
    texts = np.empty(len(sizes), dtype=np.int64)
    distinct = np.empty(len(hashes), dtype=np.int64)
    first = filled = 0
    for number in range(len(sizes)):
        own = hashes[first : first + sizes[number]]
        first += sizes[number]
        size = count_distinct(own, slots, distinct, counts[filled:])
        for term in distinct[:size]:
            slot = _slot(table.keys, term)
            if table.keys[slot] == 0:
                table.columns[slot] = n_terms
                table.frequencies[n_terms] = 0
                table.keys[slot] = term
                n_terms += 1
            column = table.columns[slot]
            table.frequencies[column] += 1
            columns[filled] = column
            frequencies[filled] = table.frequencies[column]
            filled += 1
        n_texts += size > 0
        own_sizes[number], texts[number] = size, n_texts
    return TermCounts(
        own_sizes,
        columns[:filled].copy(),
        counts[:filled].copy(),
        frequencies[:filled].copy(),
        texts,
    )


@njit(nogil=True, cache=True)
def weigh(counted: TermCounts) -> Floats:
    """Return the TF-IDF weights of the terms, scaled to unit length for each text: float32 [m].

    The sum of squares is compensated (T. Ogita et al., "Accurate sum and dot product", 2005), so
    that it does not depend on the order of the terms.
    """
    values = np.empty(len(counted.columns), dtype=np.float32)
    weights = np.empty(len(counted.columns), dtype=np.float64)
    first = 0
    for number in range(len(counted.sizes)):
        last = first + counted.sizes[number]
        scale = 1 + counted.n_texts[number]
        total = rest = 0.0
        for at in range(first, last):
            idf = 1.0 + math.log(scale / (1 + counted.frequencies[at]))
            weight = (1.0 + math.log(counted.counts[at])) * idf
            square = weight * weight
            longer = total + square
            part = longer - total
            rest += (total - (longer - part)) + (square - part)
            total = longer
            weights[at] = weight
        length = math.sqrt(total + rest)
        for at in range(first, last):
            values[at] = weights[at] / length
        first = last
    return values
