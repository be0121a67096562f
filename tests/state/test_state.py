import threading
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.state.naive_state import CONFIG, FEW, Log, assert_same, folded, logs, naive_view, view_of

from nearline.kernels import counted_events
from nearline.kernels.counted_events import LIMITS, CountedLimits
from nearline.schema import Erased, Event, Item, ItemDeleted, StoredBlock
from nearline.schema.histories import Histories
from nearline.state import Added, State, StateConfig, UsersChanged
from nearline.state.state import RECORDS_PER_HOLD
from nearline.testing.log_case import block


def event(user: str, item: str, time: float, kind: str = "view") -> Event:
    return Event(user_id=user, item_id=item, timestamp=time, event=kind)


def test_a_small_log_by_hand() -> None:
    state = State(StateConfig(history_length=2))
    state.apply(
        [
            (0, event("ann", "tea", 10.0)),
            (1, Item(item_id="mug", timestamp=11.0, categories=["cups"])),
            (3, event("ann", "mug", 9.0, "purchase")),
            (4, event("ann", "tea", 12.0, "dislike")),
        ]
    )
    history = state.history("ann")
    assert history is not None
    assert state.items.ids_of(history.items) == ["tea", "tea"]
    assert history.weights.tolist() == [1.0, -1.0]
    assert history.times.tolist() == [10.0, 12.0]
    assert history.items.dtype == np.int32
    assert history.weights.dtype == np.float32
    assert history.times.dtype == np.float64
    # The dislike replaces the view of the tea.
    assert state.counters.totals().tolist() == [0, 1]
    assert state.offset == 5


@pytest.mark.parametrize("offsets", [[2], [3, 3], [4, 3]])
def test_offsets_must_be_ascending(offsets: list[int]) -> None:
    state = State()
    state.apply([(2, event("ann", "tea", 1.0))])
    with pytest.raises(ValueError, match="offsets must be ascending"):
        state.apply([(offset, event("bob", "mug", 2.0)) for offset in offsets])
    assert (state.offset, state.users.table()) == (3, ["ann"])


def test_reading_unknown_ids_adds_nothing() -> None:
    state = folded([(0, event("ann", "tea", 1.0))])
    assert state.history("bob") is None
    assert state.histories_of(["bob", "ann"]).indptr.tolist() == [0, 0, 1]
    assert state.catalogue.members("made up").tolist() == []
    assert state.users.table() == ["ann"]
    assert state.items.table() == ["tea"]


def test_a_batch_that_is_folded_in_several_parts() -> None:
    n = 2 * RECORDS_PER_HOLD + 1
    state = folded([(k, event("ann", f"i{k}", float(k))) for k in range(n)], StateConfig())
    history = state.history("ann")
    assert history is not None
    assert history.times.tolist() == [float(k) for k in range(n - 500, n)]
    assert state.counters.totals().sum() == LIMITS.events


@given(log=logs(), cuts=st.lists(st.integers(0, 40), max_size=6))
@settings(max_examples=50, deadline=None)
def test_any_batching_equals_the_naive_fold(log: Log, cuts: list[int]) -> None:
    whole, parts = folded(log), State(CONFIG)
    bounds = [0, *sorted(cuts), len(log)]
    for begin, end in pairwise(bounds):
        parts.apply(log[begin:end])
    assert_same(view_of(parts), view_of(whole))
    assert parts.items.table() == whole.items.table()
    if not any(isinstance(record, Event) and record.event == "dislike" for _, record in log):
        for mine, theirs in zip(parts.counters.copy(), whole.counters.copy(), strict=True):
            assert mine.tobytes() == theirs.tobytes()
    assert_same(view_of(whole), naive_view(log, CONFIG))


@given(log=logs(), more=logs(), user=st.sampled_from(["ann", "bob", "nobody"]))
@settings(max_examples=50, deadline=None)
def test_erasing_equals_a_log_without_the_events(log: Log, more: Log, user: str) -> None:
    mine = [(at, r) for at, r in log if isinstance(r, Event) and r.user_id == user]
    offsets = {offset for offset, _ in mine}
    erased = [(at, Erased() if at in offsets else record) for at, record in log]
    state = folded(log)
    state.forget(user, mine)
    assert user not in state.users
    assert_same(view_of(state), naive_view(erased, CONFIG))
    later = [(state.offset + at, record) for at, record in more]
    state.apply(later)
    assert_same(view_of(state), naive_view(erased + later, CONFIG))


@given(log=logs(), more=logs(), limits=FEW, data=st.data())
@settings(max_examples=150, deadline=None)
def test_all_holds_for_users_beyond_the_limits(
    log: Log, more: Log, limits: CountedLimits, data: st.DataObject
) -> None:
    """Any batching, the deletion of one event and the erasure of a user, with later events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counted_events, "LIMITS", limits)
        state = State(CONFIG)
        cut = data.draw(st.integers(0, len(log)))
        for part in (log[:cut], log[cut:]):
            state.apply(part)
        assert_same(view_of(state), naive_view(log, CONFIG))
        present = [(at, record) for at, record in log if isinstance(record, Event)]
        for whole in (False, True):
            if not present:
                break
            at, chosen = data.draw(st.sampled_from(present))
            mine = [pair for pair in present if pair[1].user_id == chosen.user_id]
            gone = mine if whole else [(at, chosen)]
            state.forget(chosen.user_id, gone, kept=[pair for pair in mine if pair not in gone])
            present = [pair for pair in present if pair not in gone]
            offsets = {offset for offset, _ in gone}
            log = [(at, Erased() if at in offsets else record) for at, record in log]
            assert_same(view_of(state), naive_view(log, CONFIG))
        later = [(state.offset + at, record) for at, record in more]
        state.apply(later)
        assert_same(view_of(state), naive_view(log + later, CONFIG))


def test_an_opinion_replaces_events_that_left_the_history() -> None:
    others = [(at, event("ann", f"i{at}", float(at))) for at in range(1, 8)]
    state = folded([(0, event("ann", "tea", 0.0)), *others])
    assert state.counters.totals().tolist() == [1] * 8
    state.apply([(8, event("ann", "tea", 8.0, "dislike"))])
    assert state.counters.totals().tolist() == [0] + [1] * 7
    state.apply([(9, event("ann", "tea", 9.0, "purchase"))])
    assert state.counters.totals().tolist() == [2] + [1] * 7


def test_only_opinions_that_count_replace_events() -> None:
    likes = [(at, event("ann", "tea", float(at))) for at in range(LIMITS.repeats)]
    state = folded([*likes])
    state.apply([(9, event("ann", "tea", 9.0, "dislike"))])  # one more than counts
    assert state.counters.totals().tolist() == [LIMITS.repeats]
    state.apply([(10, event("bob", "tea", 9.0)), (11, event("bob", "tea", 10.0, "dislike"))])
    assert state.counters.totals().tolist() == [LIMITS.repeats]
    # Without one of the likes, the dislike counts.
    state.forget("ann", likes[:1], kept=[*likes[1:], (9, event("ann", "tea", 9.0, "dislike"))])
    assert state.counters.totals().tolist() == [0]


def test_events_that_were_never_folded_are_not_subtracted() -> None:
    first, second = (0, event("ann", "tea", 1.0)), (1, event("bob", "tea", 1.0))
    state = folded([first, second])
    state.forget("ann", [first, (2, event("ann", "tea", 2.0))])
    assert state.counters.totals().tolist() == [1]


def test_the_index_of_an_erased_user_is_reused() -> None:
    state = folded([(0, event("ann", "tea", 1.0)), (1, event("bob", "mug", 1.0))])
    state.forget("ann", [(0, event("ann", "tea", 1.0))])
    state.apply([(2, event("cem", "mug", 2.0))])
    assert state.users.table() == ["cem", "bob"]
    history = state.history("cem")
    assert history is not None
    assert history.items.tolist() == [1]


class Listener:
    """A follower that records all calls."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.items: list[tuple[int, Item | None, bool]] = []
        self.events: list[Added] = []
        self.forgotten: list[list[int]] = []

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        available = self.state.catalogue.available()
        self.items += [(index, item, bool(available[index])) for index, item in changed]

    def add_events(self, added: Added) -> None:
        self.events.append(added)

    def change_users(self, changed: UsersChanged) -> None:
        """Ignore attributes of users."""

    def forget(self, history: Histories) -> None:
        self.forgotten.append(history.items.tolist())


def test_followers_get_new_events_and_earlier_histories() -> None:
    state = folded([(0, event("ann", "tea", 1.0))])
    listener = Listener(state)
    state.followers = (listener,)
    batch = [("bob", "mug", 5.0), ("ann", "mug", 9.0), ("bob", "tea", 2.0)]
    state.apply([(at + 1, event(*fields)) for at, fields in enumerate(batch)])
    (added,) = listener.events
    assert (added.offset, added.user_ids) == (1, ["ann", "bob"])
    assert added.before.indptr.tolist() == [0, 1, 1]
    assert added.before.items.tolist() == [0]
    # Bob's second event is older, but events are in order of arrival.
    assert added.events.indptr.tolist() == [0, 1, 3]
    assert added.events.items.tolist() == [1, 1, 0]
    assert added.events.times.tolist() == [9.0, 5.0, 2.0]
    state.forget("bob", [(1, event("bob", "mug", 5.0)), (3, event("bob", "tea", 2.0))])
    assert listener.forgotten == [[0, 1]]
    assert state.reflected == (4, 1)


def test_followers_get_catalogue_changes_in_order() -> None:
    state = State()
    listener = Listener(state)
    received = listener.items
    state.followers = (listener,)
    mug = Item(item_id="mug", timestamp=1.0, vectors={"v": [1.0]})
    gone = ItemDeleted(item_id="tea", timestamp=1.0)
    state.apply([(0, event("ann", "tea", 1.0)), (1, mug), (2, gone), (3, Erased())])
    # Followers are called when the state includes the whole batch.
    assert received == [(0, None, False), (1, mug, True), (0, None, False)]
    state.apply([(4, event("ann", "mug", 2.0)), (5, event("ann", "jar", 3.0))])
    assert received[3:] == [(2, None, True)]


def test_indices_of_items_can_be_given() -> None:
    state = State(item_ids=["pot", "mug"])
    assert state.catalogue.available().tolist() == [True, True]
    assert state.counters.popular(5).items.tolist() == [0, 1]
    state.apply([(0, event("ann", "tea", 1.0)), (1, event("ann", "mug", 2.0))])
    assert state.items.table() == ["pot", "mug", "tea"]
    assert state.counters.totals().tolist() == [0, 1, 1]


def test_concurrent_reads_see_complete_histories() -> None:
    state = State(StateConfig(history_length=16))
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            history = state.history("u0")
            if history is not None and not (
                len(history.items) <= 16 and (history.items == history.times).all()
            ):
                wrong.append(str(history))
            state.counters.popular(3)
            state.histories_of(["u0", "u1"])

    reader = threading.Thread(target=read)
    reader.start()
    # Item i is always seen at time i, so a torn read would show.
    log: Log = [(k, event(f"u{k % 3}", f"i{k % 50}", float(k % 50))) for k in range(3_000)]
    for begin in range(0, len(log), 7):
        state.apply(log[begin : begin + 7])
    done.set()
    reader.join()
    assert not wrong


@given(log=logs(), cuts=st.lists(st.integers(0, 40), max_size=4))
@settings(max_examples=60, deadline=None)
def test_blocks_are_folded_like_their_events(log: Log, cuts: list[int]) -> None:
    """Bit by bit, including the order of indices and the calls of followers."""
    # A block contains no contexts.
    events = [replace(e, context=None) for _, e in log if isinstance(e, Event)]
    catalogue = [record for _, record in log if not isinstance(record, Event)]
    one_by_one, by_blocks = State(CONFIG), State(CONFIG)
    listeners = Listener(one_by_one), Listener(by_blocks)
    for listener in listeners:
        listener.state.followers = (listener,)
        listener.state.apply(list(enumerate(catalogue)))
    start = len(catalogue)
    one_by_one.apply(list(enumerate(events, start)))
    edges = [0, *sorted(min(cut, len(events)) for cut in cuts), len(events)]
    for first, last in pairwise(edges):
        by_blocks.apply(StoredBlock(start + first, block(*events[first:last])))
    assert_same(view_of(by_blocks), view_of(one_by_one))
    assert by_blocks.items.table() == one_by_one.items.table()
    assert by_blocks.users.table() == one_by_one.users.table()
    if not any(event.event == "dislike" for event in events):
        for mine, other in zip(by_blocks.copy().counters, one_by_one.copy().counters, strict=True):
            assert mine.tobytes() == other.tobytes()
    received = [[(index, item) for index, item, _ in listener.items] for listener in listeners]
    assert received[0] == received[1]


def test_a_block_that_is_folded_in_several_parts() -> None:
    n = 2 * RECORDS_PER_HOLD + 1
    events = [event(f"u{at % 7}", f"i{at % 1_500}", float(at)) for at in range(n)]
    by_block = State()
    by_block.apply(StoredBlock(3, block(*events)))
    assert_same(view_of(by_block), view_of(folded(list(enumerate(events, 3)), StateConfig())))
    with pytest.raises(ValueError, match="offsets must be ascending"):
        by_block.apply(StoredBlock(n, block(events[0])))
