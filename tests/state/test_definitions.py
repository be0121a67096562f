"""Definitions in the state: any history of records gives what the last record of each name says."""

import math
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.schema import Defined, Event, Record, Undefined
from nearline.schema.definitions import RULE, SCENARIO
from nearline.state import Definitions, State, StateConfig, load_checkpoint, save_checkpoint
from nearline.state.definitions import MAX_REMOVED

times = st.sampled_from([None, 1.0, 2.0, 3.0])
rules = st.builds(
    lambda position, start, until, scenario: {
        name: value
        for name, value in {
            "pin": {"item_id": "i", "position": position},
            "from": start,
            "until": until,
            "scenario": scenario,
        }.items()
        if value is not None
    },
    st.integers(1, 3),
    times,
    times,
    st.sampled_from([None, "a", "b"]),
)
scenarios = st.builds(
    lambda k, names: {"k": k} | ({} if names is None else {"rules": names}),
    st.integers(1, 9),
    st.one_of(st.none(), st.lists(st.sampled_from("abc"), unique=True)),
)
names = st.sampled_from("abc")
records: st.SearchStrategy[Record] = st.one_of(
    st.builds(Defined, kind=st.just(RULE), name=names, timestamp=st.just(0.0), body=rules),
    st.builds(Defined, kind=st.just(SCENARIO), name=names, timestamp=st.just(0.0), body=scenarios),
    st.builds(Defined, kind=st.just("other"), name=names, timestamp=st.just(0.0), body=scenarios),
    st.builds(
        Undefined, kind=st.sampled_from([RULE, SCENARIO]), name=names, timestamp=st.just(0.0)
    ),
    st.builds(Event, user_id=names, item_id=names, timestamp=st.just(1.0)),
)


def naive(log: list[Record], kind: str) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    for record in log:
        if isinstance(record, Defined | Undefined) and record.kind == kind:
            table.pop(record.name, None)
            if isinstance(record, Defined):
                table[record.name] = record.body
    return table


def naive_active(log: list[Record], scenario: str | None, now: float) -> set[str]:
    chosen = naive(log, SCENARIO).get(scenario or "", {}).get("rules")
    return {
        name
        for name, body in naive(log, RULE).items()
        if body.get("scenario") in (None, scenario)
        and (chosen is None or name in chosen)
        and body.get("from", -math.inf) <= now < body.get("until", math.inf)
    }


@settings(max_examples=60, deadline=None)
@given(log=st.lists(records, max_size=25), cut=st.integers(0, 25))
def test_a_replay_and_a_checkpoint_give_the_same_definitions(
    log: list[Record], cut: int, tmp_path_factory: Any
) -> None:
    state = State()
    numbered = list(enumerate(log))
    state.apply(numbered[:cut])
    path: Path = tmp_path_factory.mktemp("state") / "checkpoint"
    save_checkpoint(state, path, erasures=0)
    restored = load_checkpoint(path, StateConfig(), 0, len(log))
    assert restored is not None
    for one in (state, restored):
        one.apply(numbered[cut:])
        assert one.offset == len(log)
        for kind in (RULE, SCENARIO, "other"):
            assert one.definitions.all(kind) == naive(log, kind)
        for scenario in (None, "a", "b", "unknown"):
            for now in (0.0, 1.0, 1.5, 2.0, 3.0, 4.0):
                for _ in range(2):  # the second time from memory
                    active = one.definitions.active(scenario, now)
                    assert set(active) == naive_active(log, scenario, now)
                    assert list(active) == sorted(active)
    assert restored.definitions.copy() == state.definitions.copy()


def test_periods_change_exactly_at_the_boundaries() -> None:
    definitions = Definitions()
    assert (definitions.boundaries, definitions.period(5.0)) == ((), 0)
    body = {"pin": {"item_id": "i", "position": 1}, "from": 10.0, "until": 20.0}
    definitions.apply(Defined(kind=RULE, name="r", timestamp=0.0, body=body))
    assert definitions.boundaries == (10.0, 20.0)
    assert [definitions.period(now) for now in (9.9, 10.0, 19.9, 20.0)] == [0, 1, 1, 2]


def test_removed_names_are_remembered_up_to_a_bound() -> None:
    definitions = Definitions()
    for number in range(MAX_REMOVED + 1):
        name = str(number)
        definitions.apply(Defined(kind="other", name=name, timestamp=0.0, body={}))
        definitions.apply(Undefined(kind="other", name=name, timestamp=0.0))
    assert definitions.was_removed("other", str(MAX_REMOVED))
    assert not definitions.was_removed("other", "0")
    definitions.apply(Defined(kind="other", name="5", timestamp=0.0, body={}))
    assert not definitions.was_removed("other", "5")
    assert len(definitions.copy()) == MAX_REMOVED


def test_what_another_version_stored_is_kept_but_not_used() -> None:
    definitions = Definitions()
    for kind in (RULE, SCENARIO):
        definitions.apply(Defined(kind=kind, name="x", timestamp=0.0, body={"k": "many"}))
        assert definitions.get(kind, "x") == {"k": "many"}
    assert not definitions.rules
    assert not definitions.scenarios
