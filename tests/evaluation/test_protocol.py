"""The protocol: who is evaluated, what a model is held to, and what the report says."""

import json

import numpy as np
import pytest

from nearline.data.dataset import Histories
from nearline.errors import InvalidInput
from nearline.evaluation import Report, compare, evaluate, table
from nearline.models.base import Ranking

COUNTS = np.array([4, 2, 1, 1])
HISTORIES = Histories.from_rows([[0], [1], [0, 1], [2]])
TRUTH = Histories.from_rows([[1], [0, 3], [], [3]])


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


class MostPopular:
    """Items in order of popularity (their index order in `COUNTS`)."""

    def recommend_from(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        items = np.full((len(histories), k), -1, dtype=np.int32)
        for user in range(len(histories)):
            seen = set(histories.row(user).tolist()) if exclude_seen else set()
            best = [item for item in range(len(COUNTS)) if item not in seen][:k]
            items[user, : len(best)] = best
        return Ranking(items, np.zeros(items.shape, dtype=np.float32))


def report(k: int = 2) -> Report:
    return evaluate(MostPopular(), HISTORIES, TRUTH, k=k, popularity=COUNTS, rng=generator())


def test_worked_example() -> None:
    # Lists: user 0 gets 1, 2 (hit first); user 1 gets 0, 2 (one of two); user 3 gets 0, 1 (none).
    got = report()
    assert (got.n_users, got.n_skipped, got.users.tolist()) == (3, 1, [0, 1, 3])
    assert got.per_user["recall@2"].tolist() == [1.0, 0.5, 0.0]
    assert got.means["recall@2"] == 0.5
    assert got.means["mrr@2"] == pytest.approx(2 / 3)
    assert got.means["coverage@2"] == 0.75  # items 0, 1, 2 of 4
    assert got.means["gini@2"] == pytest.approx((-1 * 2 + 1 * 2 + 3 * 2) / (4 * 6))
    assert got.means["novelty@2"] == pytest.approx((2.5 + 2.0 + 1.5) / 3)
    assert "diversity@2" not in got.means
    low, high = got.intervals["recall@2"]
    assert 0.0 <= low < 0.5 < high <= 1.0


def test_seen_items_count_where_they_are_not_masked() -> None:
    got = evaluate(
        MostPopular(), HISTORIES, TRUTH, k=2, popularity=COUNTS, rng=generator(), exclude_seen=False
    )
    assert got.per_user["mrr@2"].tolist() == [0.5, 1.0, 0.0]  # every list is 0, 1


def test_k_beyond_the_catalogue() -> None:
    got = report(k=10)
    assert got.means["recall@10"] == 1.0
    assert got.means["precision@10"] == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_a_callable_is_accepted_and_blocks_do_not_change_the_result() -> None:
    asked: list[tuple[int, int, str]] = []

    def recommend(histories: Histories) -> Ranking:
        return MostPopular().recommend_from(histories, 2)

    got = evaluate(
        recommend,
        HISTORIES,
        TRUTH,
        k=2,
        popularity=COUNTS,
        rng=generator(),
        block=2,
        progress=lambda done, total, what: asked.append((done, total, what)),
    )
    assert asked == [(2, 3, "evaluate"), (3, 3, "evaluate")]
    assert got == report()


def test_diversity_where_features_are_given() -> None:
    got = evaluate(
        MostPopular(), HISTORIES, TRUTH, k=2, popularity=COUNTS, rng=generator(), features=np.eye(4)
    )
    assert got.means["diversity@2"] == 1.0


def test_empty_lists_miss_everything_and_have_no_novelty() -> None:
    def nothing(histories: Histories) -> Ranking:
        return Ranking(
            np.full((len(histories), 1), -1, dtype=np.int32),
            np.zeros((len(histories), 1), dtype=np.float32),
        )

    got = evaluate(nothing, HISTORIES, TRUTH, k=5, popularity=COUNTS, rng=generator())
    assert got.means["ndcg@5"] == 0.0
    assert got.means["coverage@5"] == 0.0
    assert "novelty@5" not in got.means


def fixed(*rows: list[int]) -> Ranking:
    items = np.array(rows, dtype=np.int32)
    return Ranking(items, np.zeros(items.shape, dtype=np.float32))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (fixed([0, 1], [0, 2], [0, 1]), "an item of its user's history"),
        (fixed([1, 2], [0, 2], [0, 4]), "contains item 4, but popularity has 4"),
        (fixed([1, 2], [0, 2]), "2 lists for 3 users"),
        (fixed([1, 1], [0, 2], [0, 1]), "contains an item twice"),
    ],
)
def test_invalid_lists_are_rejected(answer: Ranking, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        evaluate(lambda _: answer, HISTORIES, TRUTH, k=2, popularity=COUNTS, rng=generator())


def test_no_user_with_held_out_items_is_an_error() -> None:
    empty = Histories.from_rows([[], [], [], []])
    with pytest.raises(InvalidInput, match="none of 4 users"):
        evaluate(MostPopular(), HISTORIES, empty, popularity=COUNTS, rng=generator())
    with pytest.raises(InvalidInput, match="4 histories and 1 rows"):
        evaluate(
            MostPopular(),
            HISTORIES,
            TRUTH.select(np.array([0])),
            popularity=COUNTS,
            rng=generator(),
        )


def test_as_dict_is_json() -> None:
    read = json.loads(json.dumps(report().as_dict()))
    assert read["n_users"] == 3
    assert read["means"]["recall@2"] == 0.5
    assert len(read["intervals"]["recall@2"]) == 2
    assert "per_user" not in read


def test_compare_is_zero_against_itself_and_refuses_other_users() -> None:
    assert compare(report(), report(), generator())["ndcg@2"] == (0.0, 0.0, 0.0)
    with pytest.raises(InvalidInput, match="3 users at k=2 and 3 users at k=3"):
        compare(report(), report(k=3), generator())
    other = evaluate(
        MostPopular(),
        HISTORIES,
        Histories.from_rows([[1], [], [2], [3]]),
        k=2,
        popularity=COUNTS,
        rng=generator(),
    )
    with pytest.raises(InvalidInput, match="the same users"):
        compare(report(), other, generator())


def test_table() -> None:
    with_features = evaluate(
        MostPopular(), HISTORIES, TRUTH, k=2, popularity=COUNTS, rng=generator(), features=np.eye(4)
    )
    header, plain, rich = table({"popular": report(), "same": with_features})
    assert header[:3] == ["model", "users", "ndcg@2"]
    assert header[-1] == "diversity@2"
    assert plain[:2] == ["popular", "3"]
    assert plain[header.index("recall@2")].startswith("0.5000 [")
    assert plain[header.index("coverage@2")] == "0.7500"
    assert (plain[-1], rich[-1]) == ("-", "1.0000")
    assert table({}) == [["model", "users"]]


@pytest.mark.parametrize(
    ("histories", "truth", "n_relevant", "n_seen"),
    [
        ([[0], [1]], [[1], [0]], 2, 0),
        ([[0], [1]], [[0], [1]], 2, 2),
        ([[0], [1]], [[0], [0]], 2, 1),
        ([[0, 0], [1]], [[0, 0, 2], []], 2, 1),
        ([[], []], [[0], [1]], 2, 0),
        ([[1], [0]], [[], [0, 1, 2]], 3, 1),
        ([[3], [3]], [[3], [2]], 2, 1),
        ([[0, 1, 2, 3], []], [[0, 1, 2, 3], [3]], 5, 4),
    ],
)
def test_what_stands_in_the_history_is_counted(
    histories: list[list[int]], truth: list[list[int]], n_relevant: int, n_seen: int
) -> None:
    known, held_out = Histories.from_rows(histories), Histories.from_rows(truth)
    options = {"k": 2, "popularity": COUNTS}
    masked = evaluate(MostPopular(), known, held_out, rng=generator(), **options)  # type: ignore[arg-type]
    assert (masked.n_relevant, masked.n_seen, masked.n_unreachable) == (n_relevant, n_seen, n_seen)
    assert masked.as_dict()["n_unreachable"] == n_seen
    shown = evaluate(
        MostPopular(),
        known,
        held_out,
        rng=generator(),
        exclude_seen=False,
        **options,  # type: ignore[arg-type]
    )
    assert (shown.n_relevant, shown.n_seen, shown.n_unreachable) == (n_relevant, n_seen, 0)


def test_a_dislike_of_a_seen_item_is_not_relevant() -> None:
    known = Histories.from_rows([[0]])
    truth = Histories.from_rows([[0, 1]])
    truth.weights[0] = -1.0
    got = evaluate(MostPopular(), known, truth, k=2, popularity=COUNTS, rng=generator())
    assert (got.n_relevant, got.n_seen) == (1, 0)
