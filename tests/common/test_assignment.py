"""Assignment of users to variants: known hashes, shares, and stability under coverage."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.common.assignment import assign, bucket, fnv1a32, variant_ranges


@pytest.mark.parametrize(
    ("text", "value"),
    [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)],
)
def test_hash_of_known_texts(text: str, value: int) -> None:
    assert fnv1a32(text) == value


def test_bucket_hashes_the_decimal_digits_of_the_first_hash() -> None:
    assert bucket("seed", "a") == fnv1a32(str(fnv1a32("seeda"))) % 10_000 / 10_000


def test_places_of_ten_thousand_ids_are_those_of_growthbook() -> None:
    rng = random.Random(4)
    letters = "abcXYZ019-_é漢😀 "
    ids = ["".join(rng.choices(letters, k=rng.randint(1, 20))) for _ in range(10_000)]
    places = ",".join(str(round(bucket("experiment", unit) * 10_000)) for unit in ids)
    # Made by `growthbook.core.gbhash("experiment", unit, 2)` of growthbook 4.0.0.
    expected = "8e0165a4b58e1b5881f410f7168d6c4a9d8fe7c02d30c973965ea6bc096fd948"
    assert hashlib.sha256(places.encode()).hexdigest() == expected


@given(st.text(), st.text())
def test_place_is_in_the_unit_interval_for_any_text(seed: str, unit: str) -> None:
    assert 0.0 <= bucket(seed, unit) < 1.0
    assert assign(seed, unit, variant_ranges([0.2, 0.8])) in (0, 1)


def test_shares_follow_weights_and_coverage_moves_nobody() -> None:
    full = variant_ranges([0.5, 0.3, 0.2])
    half = variant_ranges([0.5, 0.3, 0.2], coverage=0.5)
    before = [assign("test", f"u{at}", half) for at in range(20_000)]
    after = [assign("test", f"u{at}", full) for at in range(20_000)]
    assert None not in after
    assert all(one in (None, two) for one, two in zip(before, after, strict=True))
    for index, share in enumerate([0.5, 0.3, 0.2]):
        assert after.count(index) / 20_000 == pytest.approx(share, abs=0.015)
        assert before.count(index) / 20_000 == pytest.approx(share / 2, abs=0.015)


@pytest.mark.parametrize("weights", [[], [0.5, 0.4], [1.5, -0.5], [float("nan"), 1.0]])
def test_wrong_weights_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        variant_ranges(weights)


def test_wrong_coverage_is_refused() -> None:
    with pytest.raises(ValueError, match=r"coverage is 1\.1"):
        variant_ranges([1.0], coverage=1.1)
