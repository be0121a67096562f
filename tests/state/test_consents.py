"""The state is at any time as if users who object to profiling had no event in the log."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.state.naive_state import naive_view, view_of

from nearline.data import dataset_from_log
from nearline.ingest import follow, replay
from nearline.log import MEMORY, Log, Readable, open_log
from nearline.log.base import Appendable
from nearline.schema import Consent, Event, EventBlock, Record, UserPut
from nearline.state import State, StateConfig, load_checkpoint, save_checkpoint
from nearline.testing.log_case import block

CONFIG = StateConfig(history_length=4)
USERS, ITEMS = st.sampled_from("abc"), st.sampled_from("ijkl")
EVENTS = st.builds(
    Event,
    user_id=USERS,
    item_id=ITEMS,
    timestamp=st.integers(1, 900).map(float),
    event=st.sampled_from(["view", "purchase", "dislike"]),
    context=st.sampled_from([None, {"page": "home"}]),
)
CONSENTS = st.builds(Consent, user_id=USERS, timestamp=st.just(1.0), profiling=st.booleans())
ATTRIBUTES = st.builds(UserPut, user_id=USERS, timestamp=st.just(1.0), attributes=st.just({"a": 1}))
ACTIONS = st.lists(st.one_of(EVENTS, EVENTS, CONSENTS, ATTRIBUTES, USERS), max_size=25)


def objecting(records: list[tuple[int, Record]]) -> set[str]:
    last = {one.user_id: one.profiling for _, one in records if isinstance(one, Consent)}
    return {user for user, profiling in last.items() if not profiling}


def without(records: list[tuple[int, Record]]) -> list[tuple[int, Record]]:
    """The records that count: no event of a user who objects at the end."""
    out = objecting(records)
    return [(at, one) for at, one in records if not (isinstance(one, Event) and one.user_id in out)]


def check(state: State, log: Readable) -> None:
    records = list(log.read())
    expected, found = naive_view(without(records), CONFIG), view_of(state)
    assert found.histories == expected.histories
    assert {i: n for i, n in found.totals.items() if n} == {
        i: n for i, n in expected.totals.items() if n
    }
    assert {pair: {i: n for i, n in c.items() if n} for pair, c in found.contexts.items()} == (
        expected.contexts
    )
    assert state.profiles.objecting == objecting(records)


@settings(deadline=None, max_examples=60)
@given(ACTIONS)
def test_the_state_equals_that_of_a_log_without_the_events(
    actions: list[Appendable | str],
) -> None:
    log, state = open_log(MEMORY), State(CONFIG)
    follow(log, state)
    for action in actions:
        if isinstance(action, str):
            log.erase(action).result()
        else:
            log.append([action]).result()
    check(state, log)
    again = State(CONFIG)
    replay(log, again)  # in large batches, and without an index of users
    check(again, log)
    log.close()


def test_blocks_of_events_follow_the_choice() -> None:
    log, state = open_log(MEMORY), State(CONFIG)
    follow(log, state)
    events = [Event(user_id=u, item_id=i, timestamp=5.0) for u in "ab" for i in "ij"]
    log.append([Consent(user_id="a", timestamp=1.0, profiling=False)]).result()
    given_block: EventBlock = block(*events)
    log.append(given_block).result()
    check(state, log)
    assert state.user_ids() == ["b"]
    log.append([Consent(user_id="a", timestamp=1.0, profiling=True)]).result()
    check(state, log)
    assert sorted(state.user_ids()) == ["a", "b"]
    log.close()


def test_a_choice_survives_a_checkpoint(tmp_path: Path) -> None:
    log, state = open_log(MEMORY), State(CONFIG)
    follow(log, state)
    log.append([Event(user_id="a", item_id="i", timestamp=1.0)]).result()
    log.append([Consent(user_id="a", timestamp=1.0, profiling=False, purposes=["x"])]).result()
    save_checkpoint(state, tmp_path / "state", erasures=0)
    loaded = load_checkpoint(tmp_path / "state", CONFIG, erasures=0, end=log.end)
    assert loaded is not None
    assert loaded.profiles.objecting == {"a"}
    said = loaded.profiles.consent("a")
    assert said is not None
    assert said.purposes == ["x"]
    check(loaded, log)
    log.close()


@pytest.mark.parametrize("known", [[], ["l", "k"]])
def test_training_data_equal_those_of_a_log_without_the_events(known: list[str]) -> None:
    def log_of(keep: Callable[[Event], bool]) -> Log:
        log = open_log(MEMORY)
        log.append([UserPut(user_id="a", timestamp=1.0, attributes={"x": 1})] * keep(rows[0]))
        log.append([event for event in rows if keep(event)]).result()
        return log

    rows = [
        Event(user_id=user, item_id=item, timestamp=float(at))
        for at, (user, item) in enumerate(zip("abcbcba", "ijkilkm", strict=True))
    ]
    whole, never = log_of(lambda _: True), log_of(lambda event: event.user_id != "a")
    whole.append([Consent(user_id="a", timestamp=1.0, profiling=False)]).result()
    found, expected = (dataset_from_log(log, log.end, item_ids=known) for log in (whole, never))
    assert found.user_ids == expected.user_ids
    assert found.item_ids == expected.item_ids
    assert found.histories.items.tolist() == expected.histories.items.tolist()
    assert found.histories.times.tolist() == expected.histories.times.tolist()
    for log in (whole, never):
        log.close()
