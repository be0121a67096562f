"""Online learning gives exactly the counts of a recount of the whole log."""

import random
import shutil
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import FEW, assert_same, naive_view, view_of

import nearline as nl
from nearline.config import Config
from nearline.data import LANGUAGE, Histories, dataset_from_log
from nearline.deployment.catch_up import catch_up
from nearline.deployment.changes import EVENTS_AT_ONCE, Waiting, together
from nearline.deployment.online_learner import OnlineLearner, put_entries
from nearline.errors import UnknownUser
from nearline.kernels import counted_events, support
from nearline.log import SQLiteLog
from nearline.models.item_graph import counted_relation
from nearline.models.item_graph.model import ItemGraph
from nearline.state import Added, State, StateConfig
from nearline.testing.inspector import inspect

# Histories are short, so that earlier events must be read from the log.
CONFIG = Config(state=StateConfig(history_length=6))
OBSERVE = st.tuples(
    st.just("observe"),
    st.sampled_from("uvw"),
    st.sampled_from("abcdef"),
    st.integers(0, 9),
    st.sampled_from(["view", "purchase", "dislike"]),
    st.sampled_from([None, None, "1", "2", "3"]),
)
DELETE = st.tuples(st.just("delete"), st.sampled_from("uvw"), st.sampled_from("123"))
FORGET = st.tuples(st.just("forget"), st.sampled_from("uvw"))
PUT = st.tuples(st.just("put"), st.sampled_from("abxy"))
LISTS = st.tuples(st.just("list"), st.lists(OBSERVE, min_size=2, max_size=12))
STEPS = st.lists(st.one_of(OBSERVE, OBSERVE, OBSERVE, DELETE, FORGET, PUT, LISTS), max_size=25)


def event_of(step: Any) -> nl.Event:
    _, user, item, time, kind, number = step
    event_id = number and user + number
    return nl.Event(
        user_id=user, item_id=item, timestamp=float(time), event=kind, event_id=event_id
    )


def act(rec: nl.Recommender, step: Any) -> None:
    if step[0] == "observe":
        rec.append_events([event_of(step)]).result()
    elif step[0] == "list":
        rec.append_events([event_of(one) for one in step[1]]).result()
    elif step[0] == "delete":
        rec.delete_event(step[1] + step[2]).result()
    elif step[0] == "forget":
        rec.forget(step[1]).result()
    else:
        rec.put_item(step[1], text=f"words of {step[1]}", timestamp=1.0)


def without_user(steps: list[Any]) -> list[Any]:
    """Return the steps without those of the user `u`."""
    kept = []
    for step in steps:
        if step[0] == "list":
            mine = [one for one in step[1] if one[1] != "u"]
            kept += [("list", mine)] if mine else []
        elif step[0] == "put" or step[1] != "u":
            kept.append(step)
    return kept


def counted(model: Any) -> dict[str, bytes]:
    """Return counts, edges and popularity as bytes."""
    prefixes = ("popularity", "support", "transitions/", "coengagement/")
    arrays = model.arrays()
    found = {n: a.tobytes() for n, a in arrays.items() if n.startswith(prefixes)}
    # Items of all edges stand in one array, those of counted relations first.
    edges = len(arrays["transitions/values"]) + len(arrays["coengagement/values"])
    return found | {"items": arrays["items"][:edges].tobytes()}


def expected(rec: nl.Recommender) -> dict[str, bytes]:
    """Recount the current log with the same settings."""
    parts = inspect(rec)
    ids = parts.state.items.table()
    weight = rec.config.state.weight
    limits = rec.config.state.limits
    data = dataset_from_log(parts.log, parts.log.end, weight, limits=limits, item_ids=ids)
    assert isinstance(parts.model, ItemGraph)
    model = ItemGraph(parts.model.config)
    histories = data.counted_histories.without_superseded()
    model.rebuild_counts(histories, data.n_items)
    for name, relation in model._counted.items():
        relation.scale = parts.model._counted[name].scale
    return counted(model)


@settings(deadline=None, max_examples=60)
@given(STEPS)
def test_online_counts_equal_a_recount_of_the_log(steps: list[Any]) -> None:
    with nl.Recommender(config=CONFIG) as rec:
        for step in steps:
            act(rec, step)
        assert counted(inspect(rec).model) == expected(rec)


@settings(deadline=None, max_examples=100)
@given(STEPS, FEW)
def test_online_counts_equal_a_recount_where_users_are_beyond_the_limits(
    steps: list[Any], limits: counted_events.CountedLimits
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        with nl.Recommender(config=CONFIG) as rec:
            for step in steps:
                act(rec, step)
            assert counted(inspect(rec).model) == expected(rec)
            parts = inspect(rec)
            view = naive_view(list(parts.log.read(0, parts.log.end)), CONFIG.state)
            assert_same(view_of(parts.state), view)


@settings(deadline=None, max_examples=50)
@given(STEPS, FEW)
def test_after_an_erasure_nothing_is_left_of_a_user_beyond_the_limits(
    steps: list[Any], limits: counted_events.CountedLimits
) -> None:
    def run(rec: nl.Recommender, steps: list[Any]) -> dict[str, Any]:
        for name in "abcdefxy":  # both stores number items alike
            rec.put_item(name, text=f"words of {name}", timestamp=1.0)
        for step in steps:
            act(rec, step)
        rec.forget("u").result()
        counters = inspect(rec).state.counters
        return counted(inspect(rec).model) | {"totals": counters.totals().tolist()}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        with nl.Recommender(config=CONFIG) as seen, nl.Recommender(config=CONFIG) as unseen:
            assert run(seen, steps) == run(unseen, without_user(steps))


@settings(deadline=None, max_examples=30)
@given(STEPS, FEW)
def test_the_same_holds_while_entries_and_erasures_are_learned_in_a_second_thread(
    steps: list[Any], limits: counted_events.CountedLimits
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        patch.setattr("nearline.deployment.online_learner.ITEMS_AT_ONCE", 0)
        patch.setattr("nearline.deployment.online_learner.FORGOTTEN_AT_ONCE", 0)
        with nl.Recommender(config=CONFIG) as rec:
            for step in steps:
                act(rec, step)
            live = inspect(rec).live
            assert live is not None
            live.settle()
            assert counted(inspect(rec).model) == expected(rec)


def test_entries_are_learned_together_up_to_other_changes_and_vectors() -> None:
    calls: list[tuple[list[int], list[str], dict[str, list[list[float]]]]] = []

    class Spy(ItemGraph):
        def put_items(self, items: Any, texts: Any, vectors: Any = None) -> None:
            calls.append((items, texts, {name: rows.tolist() for name, rows in vectors.items()}))

    def item(text: str, **vectors: list[float]) -> nl.Item:
        return nl.Item(item_id="x", timestamp=1.0, text=text, vectors=vectors)

    entries = [
        (0, item("a")),
        (1, None),
        (2, item("b", v=[1.0, 2.0])),
        (3, item("c", v=[3.0, 4.0])),
    ]
    put_entries(Spy(), entries, None)
    assert calls == [
        ([0, 1], ["a", ""], {LANGUAGE: [[], []]}),
        ([2, 3], ["b", "c"], {LANGUAGE: [[], []], "v": [[1.0, 2.0], [3.0, 4.0]]}),
    ]
    event = Histories.from_rows([[0]])
    forgotten = Histories.from_rows([[1]])
    added = Added(0, ["u"], event, event, np.zeros(1, dtype=np.bool_))
    waiting: list[Waiting] = [(4, None), (5, None), added, (6, None), forgotten, (7, None)]
    joined = [what if isinstance(what, list) else type(what) for what in together(waiting)]
    assert joined == [[(4, None), (5, None)], Added, [(6, None)], Histories, [(7, None)]]


def hold_up(live: OnlineLearner, going: threading.Event) -> None:
    """Let the second thread of a learner wait for an event, as if it had much to learn."""
    learn = live._learn

    def held_up(waiting: Any) -> None:
        assert going.wait(120)
        learn(waiting)

    live._learn = held_up  # type: ignore[method-assign]


def test_an_event_does_not_wait_for_entries_and_whoever_put_them_does() -> None:
    """The learner is held up, as very many entries would: the event is stored, the put is not."""
    going = threading.Event()
    with nl.Recommender() as rec:
        live = inspect(rec).live
        assert live is not None
        hold_up(live, going)
        items = [nl.Item(item_id=f"i{n}", timestamp=1.0, text=f"pair{n // 2}") for n in range(200)]
        stored = rec.put_items(items)
        rec.observe("u", "i7")  # returns
        assert [event.item_id for event in rec.user("u").history] == ["i7"]
        assert not stored.done()
        going.set()
        assert stored.result(120).accepted == 200
        # All of it is known now: the words of the put, and the event after it.
        assert [line.item_id for line in rec.similar("i7", 1)] == ["i6"]
        live.settle()
        assert counted(inspect(rec).model) == expected(rec)


def test_an_event_does_not_wait_for_an_erasure_and_whoever_erased_does() -> None:
    """The learner is held up, as for a user with many events."""
    going = threading.Event()
    with nl.Recommender() as rec:
        many = [nl.Event(user_id="bot", item_id=f"i{n}", timestamp=float(n)) for n in range(200)]
        rec.append_events(many).result()
        live = inspect(rec).live
        assert live is not None
        hold_up(live, going)
        erased = rec.forget("bot")
        rec.observe("u", "i7")  # returns
        assert [event.item_id for event in rec.user("u").history] == ["i7"]
        with pytest.raises(UnknownUser):
            rec.user("bot")
        assert not erased.done()
        going.set()
        assert erased.result(120) == 200
        live.settle()
        assert counted(inspect(rec).model) == expected(rec)


def test_a_catalogue_imported_at_once_is_learned_by_the_first_answer() -> None:
    n = 1_500
    table = pa.table({"item_id": [f"i{at}" for at in range(n)],
                      "title": [f"pair{at // 2} shop" for at in range(n)]})  # fmt: skip
    with nl.Recommender() as rec:
        rec.add(items=table)
        assert [line.item_id for line in rec.similar("i7", 1)] == ["i6"]
        rec.add(items=table.slice(0, 100))
        rec.put_item("late", title="pair3")
        assert {line.item_id for line in rec.similar("late", 2)} == {"i6", "i7"}


@settings(deadline=None, max_examples=12)
@given(STEPS, STEPS, STEPS, FEW)
def test_the_same_holds_after_training_and_restarts_where_users_are_beyond_the_limits(
    tmp_path_factory: pytest.TempPathFactory,
    before: list[Any],
    between: list[Any],
    last: list[Any],
    limits: counted_events.CountedLimits,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        patch.setattr(support, "VERY_ACTIVE", 2)
        train_and_restart(tmp_path_factory, before, between, last)


@settings(deadline=None, max_examples=8)
@given(STEPS, STEPS, STEPS)
def test_online_counts_equal_a_recount_after_training_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, before: list[Any], between: list[Any], last: list[Any]
) -> None:
    train_and_restart(tmp_path_factory, before, between, last)


def train_and_restart(
    tmp_path_factory: pytest.TempPathFactory, before: list[Any], between: list[Any], last: list[Any]
) -> None:
    folder = tmp_path_factory.mktemp("store") / "shop"
    with nl.Recommender(folder, config=CONFIG) as rec:
        act(rec, ("observe", "z", "a", 1, "view", None))
        for step in before:
            act(rec, step)
        rec.fit()
        for step in between:
            act(rec, step)
        assert counted(inspect(rec).model) == expected(rec)
        live = counted(inspect(rec).model)
    with nl.Recommender(folder, config=CONFIG) as rec:
        assert counted(inspect(rec).model) == live
        for step in last:
            act(rec, step)
        assert counted(inspect(rec).model) == expected(rec)


@pytest.mark.parametrize("n_repeats", [0, 9])
def test_opinions_since_the_fit_are_learned_at_a_restart(tmp_path: Path, n_repeats: int) -> None:
    """With repeats, not all events of the user count, and they are read from the log."""
    steps: list[Any] = [
        ("observe", "u", item, time, "view", None)
        for time, item in enumerate(["a", "b", "c", "d", *["e"] * n_repeats, "a"])
    ]
    with nl.Recommender(tmp_path / "shop", config=CONFIG) as rec:
        for step in steps:
            act(rec, step)
        rec.fit()
        act(rec, ("observe", "u", "a", 50, "dislike", None))
        act(rec, ("observe", "u", "f", 60, "view", None))
        assert counted(inspect(rec).model) == expected(rec)
        live = counted(inspect(rec).model)
    with nl.Recommender(tmp_path / "shop", config=CONFIG) as rec:
        assert counted(inspect(rec).model) == live


@pytest.mark.parametrize("history_length", [30, 1_000])
@pytest.mark.parametrize("at_once", [1, 1_100, EVENTS_AT_ONCE])
def test_after_a_crash_state_and_model_replay_the_log_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int, history_length: int
) -> None:
    config = Config(state=StateConfig(history_length=history_length))
    monkeypatch.setattr("nearline.deployment.online_learner.EVENTS_AT_ONCE", at_once)
    rng = np.random.default_rng(0)

    def events(n: int) -> list[nl.Event]:
        return [
            nl.Event(user_id=f"u{user}", item_id=f"i{item}", timestamp=float(time))
            for user, item, time in rng.integers(0, 40, (n, 3)).tolist()
        ]

    with nl.Recommender(tmp_path / "shop", config=config) as rec:
        rec.append_events(events(3_000)).result()
        rec.fit()
    with nl.Recommender(tmp_path / "shop", config=config) as rec:
        rec.append_events(events(1_500)).result()
        rec.put_item("new", text="words of new")
        rec.append_events(events(1_200)).result()
        live = counted(inspect(rec).model)
        assert live == expected(rec)
        # The files after a crash: an old checkpoint and the whole log.
        shutil.copytree(tmp_path / "shop", tmp_path / "crashed")
    with nl.Recommender(tmp_path / "crashed", config=config) as rec:
        assert counted(inspect(rec).model) == live
        rec.observe("u1", "new")
        assert counted(inspect(rec).model) == expected(rec)


def test_one_user_cannot_dominate_the_lists_of_others() -> None:
    with nl.Recommender() as rec:
        for n in range(10):
            for item in ("tea", "mug", "pot")[: 2 if n == 0 else 3]:
                rec.observe(f"u{n}", item)
        solo = [
            nl.Event(user_id="solo", item_id=item, timestamp=rec.now())
            for _ in range(400)
            for item in ("tea", "EVIL")
        ]
        rec.append_events(solo).result()
        assert inspect(rec).state.counters.totals().tolist() == [15, 10, 9, 5]
        assert [line.item_id for line in rec.recommend("u0", 2)] == ["pot", "EVIL"]
        assert [line.item_id for line in rec.recommend("newcomer", 1)] == ["tea"]
        assert len(rec.user("solo").history) == 500


def test_a_snapshot_whose_counts_include_every_event_is_counted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update from a version without limits on the events that count."""
    events = [
        nl.Event(user_id="bot", item_id=item, timestamp=float(time))
        for time, item in enumerate(["a", "b"] * 9)
    ]
    with monkeypatch.context() as patch, nl.Recommender(tmp_path / "shop") as rec:
        patch.setattr("nearline.snapshots.manifest.COUNTING", 1)
        patch.setattr(counted_events, "LIMITS", counted_events.CountedLimits(1_000, 1_000))
        rec.append_events([*events, nl.Event(user_id="u", item_id="c", timestamp=1.0)]).result()
        rec.fit()
        assert counted(inspect(rec).model) == expected(rec)
    with nl.Recommender(tmp_path / "shop") as rec:
        assert inspect(rec).state.counters.totals().tolist() == [5, 5, 1]
        assert counted(inspect(rec).model) == expected(rec)
        rec.forget("bot").result()
        assert counted(inspect(rec).model) == expected(rec)
        assert not inspect(rec).model.arrays()["transitions/values"].any()


class Fails(ItemGraph):
    """A model that cannot learn online."""

    def observe(self, before: Histories, events: Histories) -> None:
        raise MemoryError("no room")


def test_an_error_of_background_learning_is_raised() -> None:
    log, state = SQLiteLog(None), State(StateConfig())
    with log:
        live = catch_up(Fails(), log, state, offset=0, erasures=0)
        event = nl.Event(user_id="a", item_id="b", timestamp=1.0)
        with pytest.raises(MemoryError, match="no room"), live.learn_in_background():
            state.apply([(0, event)])


def test_an_event_of_another_user_changes_a_list(tmp_path: Path) -> None:
    with nl.Recommender(tmp_path / "shop") as rec:
        for user in "abc":
            rec.observe(user, "pot")
            rec.observe(user, "tea")
        rec.observe("me", "pot")
        rec.fit()
        assert [line.item_id for line in rec.recommend("me", 2)] == ["tea"]
        rec.observe("other", "pot")
        rec.observe("other", "mug")
        lines = rec.recommend("me", 2)
        assert [(line.item_id, line.tier) for line in lines] == [
            ("tea", "personal"),
            ("mug", "personal"),
        ]
        # The explanation adds up to the score of the new pair.
        explained = rec.explain("me", "mug")
        assert sum(part.amount for part in explained.parts) == pytest.approx(explained.score)
        rec.forget("other").result()
        assert [line.tier for line in rec.recommend("me", 2)] == ["personal", "popular"]


def test_without_online_learning_only_histories_are_updated() -> None:
    with nl.Recommender(config=Config(online=False)) as rec:
        rec.observe("a", "pot")
        rec.observe("a", "tea")
        rec.observe("me", "pot")
        assert [line.tier for line in rec.recommend("me", 1)] == ["popular"]


def test_counts_are_recomputed_if_the_log_grew_a_lot(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.observe("u0", "i0", timestamp=0.0)
        rec.fit()
        events = [
            nl.Event(
                user_id=f"u{rng.integers(9)}", item_id=f"i{rng.integers(9)}", timestamp=float(t)
            )
            for t in range(300)
        ]
        rec.append_events(events).result()
        live = counted(inspect(rec).model)
    with nl.Recommender(tmp_path / "shop") as rec:
        assert counted(inspect(rec).model) == live


def test_changes_that_take_much_memory_are_compacted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No list changes, and the counts are still those of the log, also after an erasure."""
    with nl.Recommender() as whole, nl.Recommender() as packed:
        for rec, least in ((whole, 10**9), (packed, 1_000)):
            monkeypatch.setattr(counted_relation, "COMPACTION_BYTES", least)
            rng = random.Random(0)
            for number in range(300):
                rec.observe(f"u{rng.randrange(20)}", f"i{rng.randrange(30)}", timestamp=number)
                live = inspect(rec).live
                assert live is not None
                live.settle()
            rec.forget("u3").result()
        models = [inspect(rec).model for rec in (whole, packed)]
        assert counted(models[0]) == counted(models[1]) == expected(packed)
        learned = [model.learned_bytes for model in models if isinstance(model, ItemGraph)]
        assert learned[1] < learned[0]
        for user in range(20):
            lines, others = (
                [(line.item_id, pytest.approx(line.score)) for line in rec.recommend(f"u{user}")]
                for rec in (whole, packed)
            )
            assert lines == others
