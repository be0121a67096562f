"""Attributes and critiques of users: the fold, erasure, checkpoints and their bounds."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.schema import (
    USER_RECORDS,
    AttributeValue,
    Critique,
    CritiqueRevoked,
    Erased,
    Event,
    ProfileRecord,
    Record,
    UserPatched,
    UserPut,
)
from nearline.schema.profile_rules import check_attributes, new_critique, patched_user
from nearline.state import State, StateConfig, load_checkpoint, save_checkpoint
from nearline.state.profiles import MAX_CRITIQUES

Said = dict[str, list[tuple[str, float]]]

USERS = ["ann", "bob", "çem"]
_values = st.one_of(
    st.sampled_from(["FR", ""]), st.integers(0, 3), st.booleans(), st.just([1, "x"])
)
_names = st.sampled_from(["age", "country", "vip"])
_ids = st.sampled_from(["c1", "c2", "c3"])


def _made(kind: type, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    whole = {"user_id": st.sampled_from(USERS), "timestamp": st.sampled_from([1.0, 2.0])} | fields
    return st.builds(kind, **whole)


RECORDS = st.lists(
    st.one_of(
        _made(UserPut, attributes=st.dictionaries(_names, _values)),
        _made(UserPatched, attributes=st.dictionaries(_names, st.none() | _values)),
        _made(Critique, critique_id=_ids, more_like=st.just("i")),
        _made(CritiqueRevoked, critique_id=_ids),
        _made(Event, item_id=st.sampled_from("ij")),
    ),
    max_size=30,
)


def naive(records: list[Record]) -> tuple[dict[str, dict[str, AttributeValue]], Said]:
    """Attributes and critiques (ID, time) by user."""
    attributes: dict[str, dict[str, AttributeValue]] = {}
    critiques: Said = {}
    for record in records:
        if isinstance(record, UserPut):
            attributes[record.user_id] = dict(record.attributes)
        elif isinstance(record, UserPatched):
            mine = attributes.setdefault(record.user_id, {})
            for name, value in record.attributes.items():
                if value is None:
                    mine.pop(name, None)
                else:
                    mine[name] = value
        elif isinstance(record, Critique | CritiqueRevoked):
            others = [
                one for one in critiques.get(record.user_id, []) if one[0] != record.critique_id
            ]
            if isinstance(record, Critique):
                others.append((record.critique_id, record.timestamp))
            critiques[record.user_id] = others
    return attributes, {user: said for user, said in critiques.items() if said}


def view(state: State) -> tuple[dict[str, dict[str, AttributeValue]], Said]:
    attributes = {user: dict(state.user_attributes(user)) for user in state.profiles.user_ids()}
    said = {u: [(c.critique_id, c.timestamp) for c in state.profiles.critiques(u)] for u in USERS}
    return attributes, {user: some for user, some in said.items() if some}


def test_attributes_by_hand() -> None:
    state = State()
    state.apply(
        [
            (0, UserPut(user_id="ann", timestamp=1.0, attributes={"age": 31, "country": "FR"})),
            (1, UserPatched(user_id="ann", timestamp=2.0, attributes={"age": 32, "country": None})),
            (2, UserPatched(user_id="bob", timestamp=2.0, attributes={"likes": ["tea"]})),
        ]
    )
    assert state.user_attributes("ann") == {"age": 32}
    assert state.user_attributes("bob") == {"likes": ["tea"]}
    assert state.user_attributes("nobody") == {}
    assert "ann" not in state.users


@given(records=RECORDS, cut=st.integers(0, 30))
@settings(max_examples=100, deadline=None)
def test_any_batching_equals_the_naive_fold(records: list[Record], cut: int) -> None:
    log = list(enumerate(records))
    state = State()
    state.apply(log[:cut])
    state.apply(log[cut:])
    assert view(state) == naive(records)


@given(records=RECORDS, more=RECORDS, user=st.sampled_from([*USERS, "nobody"]))
@settings(max_examples=100, deadline=None)
def test_erasing_equals_never_seen(records: list[Record], more: list[Record], user: str) -> None:
    log = list(enumerate(records))
    mine = [(at, record) for at, record in log if getattr(record, "user_id", None) == user]
    state = State()
    state.apply(log)
    state.forget(user, mine)  # type: ignore[arg-type]
    rest = [Erased() if (at, record) in mine else record for at, record in log]
    assert view(state) == naive(rest)
    assert user not in state.users
    state.apply(list(enumerate(more, start=len(log))))
    assert view(state) == naive(rest + more)


@given(records=RECORDS)
@settings(max_examples=30, deadline=None)
def test_the_deletion_of_one_event_keeps_the_profile(records: list[Record]) -> None:
    log = list(enumerate(records))
    events = [(at, record) for at, record in log if isinstance(record, Event)]
    if not events:
        return
    state = State()
    state.apply(log)
    gone = events[0]
    kept = [
        (at, record)
        for at, record in log
        if at != gone[0] and isinstance(record, USER_RECORDS) and record.user_id == gone[1].user_id
    ]
    state.forget(gone[1].user_id, [gone], kept)
    assert view(state) == naive(records)


@given(records=RECORDS)
@settings(max_examples=20, deadline=None)
def test_a_checkpoint_keeps_everything(
    tmp_path_factory: pytest.TempPathFactory, records: list[Record]
) -> None:
    path: Path = tmp_path_factory.mktemp("profiles") / "state"
    state = State()
    state.apply(list(enumerate(records)))
    save_checkpoint(state, path, erasures=0)
    loaded = load_checkpoint(path, StateConfig(), erasures=0, end=len(records))
    assert loaded is not None
    assert view(loaded) == view(state)


def test_critiques_of_a_user_are_bounded() -> None:
    said: list[tuple[int, ProfileRecord]] = [
        (n, Critique(user_id="ann", timestamp=1.0, critique_id=str(n), more_like="i"))
        for n in range(MAX_CRITIQUES + 3)
    ]
    state = State()
    state.apply(said)
    kept = state.profiles.critiques("ann")
    assert [one.critique_id for one in kept] == [str(n) for n in range(3, MAX_CRITIQUES + 3)]


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"a" * 513: 1}, "513 bytes"),
        ({"": 1}, "empty"),
        ({"a": None}, "omit unknown"),
        ({"a": {"b": 1}}, "omit unknown"),
        ({"a": float("nan")}, "finite"),
        ({"a": 10**400}, "1e15"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": "x" * 513}, "513 characters"),
        ({"a": [1] * 101}, "101 values"),
        ({str(n): 1 for n in range(65)}, "65 entries"),
        ({str(n): ["x" * 400] * 2 for n in range(40)}, "bytes"),
    ],
)
def test_bad_attributes_are_refused(attributes: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        check_attributes(attributes)


def test_a_patch_must_leave_valid_attributes() -> None:
    before: dict[str, AttributeValue] = {str(n): 1 for n in range(64)}
    with pytest.raises(InvalidInput, match="65 entries"):
        patched_user("ann", {"more": 1}, before, now=1.0)
    assert patched_user("ann", {"more": 1, "0": None}, before, now=1.0).attributes["0"] is None


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one"),
        ({"more_like": "i", "not": "j"}, "exactly one"),
        ({"more": "i"}, "no field 'more'"),
        ({"less_of": {"a": 1, "b": 2}}, "2 entries"),
        ({"less_of": {"a": [1]}}, "must be a text"),
        ({"less_of": "x"}, "must be a mapping"),
        ({"not": ""}, "empty"),
        ({"not": "i", "lasting": "yes"}, "True or False"),
    ],
)
def test_bad_critiques_are_refused(fields: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        new_critique("ann", fields, now=1.0)


def test_the_same_critique_has_the_same_id() -> None:
    first = new_critique("ann", {"not": "i"}, now=1.0)
    assert (
        new_critique("ann", {"not_": "i", "lasting": True}, now=2.0).critique_id
        == first.critique_id
    )
    assert new_critique("ann", {"more_like": "i"}, now=1.0).critique_id != first.critique_id
    assert new_critique("bob", {"not": "i"}, now=1.0).critique_id != first.critique_id
