"""What people with the same attributes take: lists of new users, exact under every change."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nearline as nl
from nearline.data import Histories
from nearline.data.attributes import AttributeColumn, encode_users, learn_columns
from nearline.deployment import store
from nearline.models.item_graph.attribute_config import AttributeSettings
from nearline.models.item_graph.attribute_counts import AttributeCounts
from nearline.models.item_graph.model import ItemGraph

COUNTRIES, N_USERS = ("FR", "DE"), 120


def tables() -> tuple[pa.Table, pa.Table]:
    """Users from FR take the even ones of twenty items, and those from DE the odd ones."""
    rng = np.random.default_rng(0)
    rows, users = [], []
    for user in range(N_USERS):
        country = user % 2
        users.append((f"u{user}", COUNTRIES[country], 20 + user % 40))
        for step, item in enumerate(rng.choice(10, 5, replace=False)):
            rows.append((f"u{user}", f"i{2 * item + country}", 1.6e9 + 50.0 * user + step))
    names, items, times = zip(*rows, strict=True)
    ids, countries, ages = zip(*users, strict=True)
    return (
        pa.table({"user_id": names, "item_id": items, "timestamp": times}),
        pa.table({"user_id": ids, "country": countries, "age": ages}),
    )


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attributes") / "shop"
    interactions, users = tables()
    with nl.Recommender(folder) as rec:
        rec.fit(interactions, users=users)
    return folder


@pytest.fixture
def rec(shop: Path, tmp_path: Path) -> Any:
    shutil.copytree(shop, tmp_path / "s")
    with nl.Recommender(tmp_path / "s") as rec:
        yield rec


def listed(rec: nl.Recommender, user: str, k: int = 8) -> list[tuple[str, float, str]]:
    return [(line.item_id, line.score, line.tier) for line in rec.recommend(user, k)]


def counts_of(rec: nl.Recommender) -> dict[tuple[int, int], int]:
    """Number of users by token and item, where it is not 0."""
    model = rec._current.deployment.model
    assert isinstance(model, ItemGraph)
    counts = model._by_attributes
    assert (counts._totals == counts._counts.sum(axis=1)).all()
    places = np.argwhere(counts._counts)
    return {(int(t), int(i)): int(counts._counts[t, i]) for t, i in places}


def recounted(rec: nl.Recommender) -> dict[tuple[int, int], int]:
    """The counts after all users are counted again."""
    rec._current.swap(lambda parts: store.serving(parts, rec.config))
    return counts_of(rec)


def test_a_new_user_gets_what_people_with_the_same_attributes_take(rec: nl.Recommender) -> None:
    assert {tier for *_, tier in listed(rec, "new")} <= {"trending", "popular"}
    for country, rest in (("FR", 0), ("DE", 1)):
        rec.put_user("new", country=country, age=30)
        lines = listed(rec, "new")
        assert {tier for *_, tier in lines} == {"attributes"}
        assert {int(item[1:]) % 2 for item, *_ in lines} == {rest}
        for item, score, tier in lines:
            why = rec.explain("new", item)
            assert why.tier == tier
            assert why.score == pytest.approx(score)
            assert sum(part.amount for part in why.parts) == pytest.approx(score)
            assert f"attribute:country={country}" in {part.relation for part in why.parts}
    frame = rec.recommend_many(["new", "u3"], 8).to_pydict()
    assert frame["item_id"][:8] == [item for item, *_ in listed(rec, "new")]
    assert frame["item_id"][8:] == [item for item, *_ in listed(rec, "u3")]
    rec.patch_user("new", country=None, age=None)
    assert {tier for *_, tier in listed(rec, "new")} <= {"trending", "popular"}


def test_counts_follow_events_attributes_and_erasures(rec: nl.Recommender) -> None:
    before = counts_of(rec)
    rec.put_user("x", country="FR", age=25)
    assert counts_of(rec) == before  # without events
    for item in ("i1", "i3", "i1", "i5"):
        rec.observe("x", item)
    assert counts_of(rec) != before
    assert counts_of(rec) == recounted(rec)
    rec.patch_user("x", country="DE")
    rec.observe("x", "i3", "dislike")
    rec.put_user("u1", country="FR", age=99)
    assert counts_of(rec) == recounted(rec)
    rec.forget("x").result()
    rec.put_user("u1", country="DE", age=21)
    assert counts_of(rec) == before
    assert counts_of(rec) == recounted(rec)
    rec.observe("u2", "i9", event_id="e")
    rec.delete_event("e").result()
    assert counts_of(rec) == before
    rec.forget("u2").result()
    assert counts_of(rec) == recounted(rec)


def test_an_event_and_attributes_in_one_store_after_reopening(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(shop, tmp_path / "s")
    with nl.Recommender(tmp_path / "s") as rec:
        rec.observe("y", "i1")
        rec.put_user("y", country="FR", age=40)
        rec.put_user("new", country="FR", age=40)
        first, lines = counts_of(rec), listed(rec, "new")
    with nl.Recommender(tmp_path / "s") as rec:
        assert counts_of(rec) == first
        assert listed(rec, "new") == lines


def test_a_table_of_users_is_imported_once_and_bad_rows_are_reported() -> None:
    rec = nl.Recommender()
    users = pa.table(
        {
            "user_id": ["a", "b", "b", None],
            "age": ["31", "42", "43", "1"],
            "zip": ["01", "2", "3", ""],
        }
    )
    report = rec.add(users=users)
    assert report is not None
    assert (report.rows_in, report.rows_kept, report.known) == (4, 2, 0)
    assert rec.user("a").attributes == {"age": 31, "zip": "01"}
    assert rec.user("b").attributes == {"age": 43, "zip": "3"}
    again = rec.add(users=users)
    assert again is not None
    assert again.known == 2
    assert rec.offset == 2
    long = rec.add(users=pa.table({"user_id": ["c", "d"], "bio": ["x" * 600, "y"]}))
    assert long is not None
    assert [drop.rows for drop in long.dropped] == [1]


def test_without_a_difference_attributes_are_not_used() -> None:
    rng = np.random.default_rng(1)
    rows = [
        (f"u{u}", f"i{i}", 1.6e9 + u) for u in range(60) for i in rng.choice(30, 4, replace=False)
    ]
    users, items, times = zip(*rows, strict=True)
    rec = nl.Recommender()
    table = pa.table({"user_id": users, "item_id": items, "timestamp": times})
    sex = pa.table({"user_id": [f"u{u}" for u in range(60)], "sex": ["m", "f"] * 30})
    rec.fit(table, users=sex)
    rec.put_user("new", sex="m")
    assert {tier for *_, tier in listed(rec, "new")} <= {"trending", "popular"}


# Tokens and counts by hand


def test_columns_are_labels_or_bins() -> None:
    users: list[dict[str, Any]] = [
        {"age": 20 + n, "vip": n % 2 == 0, "likes": ["tea", "rare"] if n == 0 else ["tea"]}
        for n in range(16)
    ]
    age, likes, vip = learn_columns(users)
    assert (len(age.edges), likes.labels, vip.labels) == (7, ("tea",), ("false", "true"))
    assert age.places(10) == {0}
    assert age.places(99) == {7}
    assert age.tokens[0] == f"age<{age.edges[0]:g}"
    features = encode_users((age, likes, vip), [users[0], {}, {"age": "old", "likes": ["x"]}])
    assert features.sum(axis=1).tolist() == [3.0, 0.0, 0.0]


COLUMNS = (
    AttributeColumn(name="c", labels=("a", "b")),
    AttributeColumn(name="n", edges=(1.0, 5.0)),
)
SETTINGS = AttributeSettings(columns=COLUMNS, weights=(1.0, 0.5), base=0.5, first=3, shrinkage=1.0)
_users = st.fixed_dictionaries(
    {}, optional={"c": st.sampled_from(["a", "b", "x", ["a", "b"]]), "n": st.integers(0, 6)}
)
_rows = st.lists(st.integers(0, 5), max_size=7)


def naive_score(
    people: list[tuple[dict[str, Any], list[int]]], user: dict[str, Any]
) -> list[float]:
    """The formula, one item and one user at a time."""

    def tokens(one: dict[str, Any]) -> list[set[Any]]:
        given = one.get("c", [])
        labels = set(given if isinstance(given, list) else [given]) & {"a", "b"}
        number = one.get("n")
        return [labels, set() if number is None else {(number >= 1) + (number >= 5)}]

    counted = [(one, list(dict.fromkeys(row))[:3]) for one, row in people if any(tokens(one))]
    total = max(1, sum(len(row) for _, row in counted))
    pseudo = sum(len(row) for _, row in counted) / max(1, sum(bool(row) for _, row in counted))
    scores = []
    for item in range(6):
        share = sum(item in row for _, row in counted) / total
        score, weights = 0.5 * share, 0.5
        for column, weight in ((0, 1.0), (1, 0.5)):
            mine, weights, rates = tokens(user)[column], weights + weight, []
            for token in mine:
                rows = [row for one, row in counted if token in tokens(one)[column]]
                n = sum(len(row) for row in rows)
                rates.append(
                    (sum(item in row for row in rows) + pseudo * share) / max(n + pseudo, 1)
                )
            score += weight * (sum(rates) / len(rates) if rates else share)
        scores.append(score / weights)
    return scores


@given(people=st.lists(st.tuples(_users, _rows), max_size=8), asked=_users)
@settings(max_examples=60, deadline=None)
def test_scores_equal_the_formula_and_subtracting_leaves_nothing(
    people: list[tuple[dict[str, Any], list[int]]], asked: dict[str, Any]
) -> None:
    counts = AttributeCounts(SETTINGS)
    features = counts.encode([one for one, _ in people])
    rows = Histories.from_rows([row for _, row in people])
    histories = Histories(rows.indptr, rows.items, rows.weights, rows.times, features)
    counts.add(histories)
    found = counts.scores(counts.encode([asked]), 6)[0]
    assert found.tolist() == pytest.approx(naive_score(people, asked), abs=1e-12)
    for item in range(6):
        parts = counts.parts(counts.encode([asked])[0], item)
        assert sum(amount for _, amount in parts) == pytest.approx(found[item], abs=1e-12)
    counts.add(histories, -1)
    assert not counts._counts.any()
    assert not counts._totals.any()
