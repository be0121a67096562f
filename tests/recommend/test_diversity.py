"""Lists with diversity, calibration and caps: what must hold, and the same list everywhere."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet
from tests.engine.shop import clock

import nearline as nl
from nearline.errors import InvalidInput
from nearline.schema import RecommendationRequest

N_ITEMS, N_USERS = 400, 60
COLOURS = ["red", "blue", "green", "grey"]


def items() -> list[dict[str, Any]]:
    rng = np.random.default_rng(7)
    return [
        {
            "item_id": f"i{n}",
            "text": f"{COLOURS[n % 4]} thing number{n % 37}",
            "categories": [f"c{c}" for c in rng.choice(6, rng.integers(0, 3), replace=False)],
            "attributes": {
                "brand": f"b{int(rng.integers(0, 12)) if n > 30 else 0}",
                "sizes": [int(s) for s in rng.choice(5, rng.integers(0, 3), replace=False)],
            }
            if n % 9
            else {},
        }
        for n in range(N_ITEMS)
    ]


ITEMS = {item["item_id"]: item for item in items()}


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    rng = np.random.default_rng(3)
    users = np.repeat(np.arange(N_USERS), 12)
    chosen = np.minimum(rng.geometric(0.02, len(users)), N_ITEMS - 1)
    table = pa.table(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in chosen],
            "timestamp": 1e5 + np.arange(len(users)) * 60.0,
        }
    )
    with nl.Recommender(clock=clock) as engine:
        engine.fit(table)
        for item in ITEMS.values():
            engine.put_item(**item)
        yield engine


def labels(item_id: str, name: str) -> set[Any]:
    item = ITEMS[item_id]
    value = item["categories"] if name == "categories" else item["attributes"].get(name, [])
    return set(value if isinstance(value, list) else [value])


def capped(order: list[str], k: int, caps: dict[str, int]) -> list[str]:
    """The first k items of an order, each unless a cap is reached: the oracle."""
    counts: Counter[tuple[str, Any]] = Counter()
    chosen: list[str] = []
    for item in order:
        own = [(name, value) for name in caps for value in labels(item, name)]
        if len(chosen) < k and all(counts[label] < caps[label[0]] for label in own):
            chosen.append(item)
            counts.update(own)
    return chosen


def ids(lines: list[nl.Recommendation]) -> list[str]:
    return [line.item_id for line in lines]


@settings(deadline=None, max_examples=25)
@given(
    user=st.sampled_from([f"u{n}" for n in range(8)] + ["nobody"]),
    k=st.sampled_from([1, 5, 10, 40]),
    caps=st.dictionaries(
        st.sampled_from(["brand", "sizes", "categories", "unknown"]), st.integers(1, 4), min_size=1
    ),
)
def test_caps_are_exact(rec: nl.Recommender, user: str, k: int, caps: dict[str, int]) -> None:
    whole = ids(rec.recommend(user, k=1000))
    assert ids(rec.recommend(user, k=k, max_per=caps)) == capped(whole, k, caps)


SHAPES: list[dict[str, Any]] = [
    {"diversity": 0.4},
    {"diversity": 1.0},
    {"diversity": 0.3, "diversity_method": "dpp"},
    {"calibration": 0.6},
    {"diversity": 0.2, "calibration": 0.4, "max_per": {"brand": 1, "categories": 3}},
    {"max_per": {"brand": 2}},
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_one_list_is_the_row_of_a_batch_and_of_an_export(
    rec: nl.Recommender, shape: dict[str, Any], tmp_path: Path
) -> None:
    users = ["u1", "nobody", "u2", "u3"]
    frame = pa.table(rec.recommend_many(users, k=7, **shape)).to_pydict()
    rec.export(tmp_path / "lists", k=7, users=users, **shape)
    table = parquet.read_table(tmp_path / "lists").to_pydict()
    for user in users:
        alone = ids(rec.recommend(user, k=7, **shape))
        for rows in (frame, table):
            pairs = zip(rows["user_id"], rows["item_id"], strict=True)
            assert [item for one, item in pairs if one == user] == alone
        assert len(set(alone)) == len(alone) == 7


def test_a_column_of_names_that_was_imported_is_an_attribute() -> None:
    table = pa.table(
        {
            "item_id": [f"x{n}" for n in range(6)],
            "brand": ["oak", "oak", "elm", "oak", "elm", "fir"],
        }
    )
    with nl.Recommender(clock=clock) as rec:
        rec.add(items=table)
        assert rec.item("x0").categories == ["brand=oak"]
        assert ids(rec.recommend("u", max_per={"brand": 1})) == ["x0", "x2", "x5"]


def test_off_is_the_plain_list(rec: nl.Recommender) -> None:
    plain = rec.recommend("u1")
    shapes: list[dict[str, Any]] = [{"diversity": 0}, {"max_per": {}}, {"calibration": 0.0}]
    for shape in [*shapes, {"diversity": 0.0, "diversity_method": "dpp"}]:
        assert rec.recommend("u1", **shape) == plain


def similarity(found: list[str]) -> float:
    """Mean share of equal categories in pairs of a list."""
    texts = [set(ITEMS[item]["categories"]) for item in found]
    pairs = [(a, b) for at, a in enumerate(texts) for b in texts[:at]]
    return float(np.mean([len(a & b) / (len(a | b) or 1) for a, b in pairs]))


@pytest.mark.parametrize("method", ["mmr", "dpp"])
def test_lists_are_less_alike_the_stronger(rec: nl.Recommender, method: str) -> None:
    users = [f"u{n}" for n in range(20)]

    def mean(strength: float) -> float:
        options: dict[str, Any] = {"diversity": strength, "diversity_method": method}
        return float(np.mean([similarity(ids(rec.recommend(u, **options))) for u in users]))

    assert mean(0.0) > mean(0.4) > mean(0.9)


def test_calibrated_lists_have_the_mix_of_the_history(rec: nl.Recommender) -> None:
    mixed: list[tuple[float, float]] = []
    for user in (f"u{n}" for n in range(20)):
        history = [event.item_id for event in rec.user(user).history]
        mixed.append(
            (
                distance(history, ids(rec.recommend(user))),
                distance(history, ids(rec.recommend(user, calibration=0.9))),
            )
        )
    plain, calibrated = np.mean(mixed, axis=0)
    assert calibrated < 0.6 * plain


def distance(history: list[str], found: list[str]) -> float:
    """Sum of differences between the shares of the categories."""
    return sum(abs(a - b) for a, b in zip(shares(history), shares(found), strict=True))


def shares(item_ids: list[str]) -> list[float]:
    counts: Counter[str] = Counter()
    for item in item_ids:
        own = ITEMS[item]["categories"]
        counts.update({name: 1 / len(own) for name in own})
    return [counts[f"c{n}"] / (sum(counts.values()) or 1) for n in range(6)]


def test_pages_with_caps_and_diversity_repeat_nothing(rec: nl.Recommender) -> None:
    shape = {"diversity": 0.5, "max_per": {"brand": 2}}
    seen: list[str] = []
    cursor = None
    for _ in range(8):
        page = rec.recommend("u4", k=10, cursor=cursor, **shape)
        assert max(Counter(b for item in ids(page) for b in labels(item, "brand")).values()) <= 2
        seen += ids(page)
        cursor = page.next
    assert len(set(seen)) == len(seen) == 80


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ("diversity", [-0.1, 1.1, float("nan"), float("inf"), "much", True, [1]]),
        ("calibration", [-0.1, 2, float("nan"), "x"]),
        ("diversity_method", ["MMR", "", 3, ["mmr"]]),
        (
            "max_per",
            [
                2,
                "brand",
                [1],
                {"brand": 0},
                {"brand": -1},
                {"brand": 1.5},
                {"brand": True},
                {"brand": "2"},
                {"brand": None},
                {"": 1},
                {"x" * 600: 1},
                {3: 1},
                {"brand": 10**9},
                {f"a{n}": 1 for n in range(11)},
            ],
        ),
    ],
)
def test_wrong_options_are_refused(rec: nl.Recommender, option: str, wrong: list[Any]) -> None:
    for value in wrong:
        for ask in (
            lambda value=value: rec.recommend("u1", **{option: value}),
            lambda value=value: rec.recommend_many(["u1"], **{option: value}),
            lambda value=value: rec.answer(RecommendationRequest(user_id="u1", **{option: value})),
        ):
            with pytest.raises(InvalidInput) as error:
                ask()
            assert error.value.field == option
            assert len(str(error.value)) < 300


def test_items_without_features_are_not_alike() -> None:
    table = pa.table({"user_id": list("aaabbbccc"), "item_id": list("xyzxywxzw")})
    with nl.Recommender(clock=clock) as rec:
        rec.fit(table)
        for method in ("mmr", "dpp"):
            found = rec.recommend("a", diversity=0.9, diversity_method=method)
            assert ids(found)


@settings(deadline=None, max_examples=15)
@given(
    item=st.sampled_from(["i1", "i40", "i200"]),
    k=st.sampled_from([1, 5, 20]),
    caps=st.dictionaries(st.sampled_from(["brand", "categories"]), st.integers(1, 3), min_size=1),
)
def test_similar_items_with_caps(
    rec: nl.Recommender, item: str, k: int, caps: dict[str, int]
) -> None:
    whole = [line.item_id for line in rec.similar(item, k=1000)]
    found = [line.item_id for line in rec.similar(item, k=k, max_per=caps)]
    assert found == capped(whole, k, caps)
    diverse = rec.similar(item, k=k, diversity=0.9, max_per=caps)
    chosen = [line.item_id for line in diverse]
    assert capped(chosen, k, caps) == chosen
    # Different choices can leave room for different numbers of items, but never for one more.
    assert len(capped(chosen + [one for one in whole if one not in chosen], k, caps)) == len(chosen)
    scores = [line.score for line in diverse]
    assert scores == sorted(scores, reverse=True)
