"""Datasets from encoded records are those from decoded records."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import Dataset, dataset_from_log
from nearline.errors import Damaged
from nearline.kernels.event_payloads import ERASED, EVENT, OTHER, parse_events
from nearline.kernels.interning import Interner
from nearline.log import ReadsPayloads, SQLiteLog
from nearline.log.codec import decode, encode
from nearline.schema import Event, Item, Record, UserPut

IDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
EVENTS = st.builds(
    Event,
    user_id=st.sampled_from(["a", "b", "ü" * 20, "c" * 300]) | IDS,
    item_id=st.sampled_from(["x", "y"]) | IDS,
    timestamp=st.floats(0, 4e9) | st.integers(0, 200).map(float),
    event=st.sampled_from(["view", "purchase", "dislike"]),
    event_id=st.none() | IDS,
    value=st.none() | st.floats(-1e9, 1e9),
    session_id=st.none() | IDS,
)
RECORDS = st.lists(
    EVENTS | st.builds(Item, item_id=IDS, timestamp=st.just(1.0), title=st.just("Tea")),
    max_size=12,
)


def noted(to: list[tuple[int, Record]], offset: int, record: Record) -> None:
    to.append((offset, record))


class Decoded:
    """A log that returns only decoded records."""

    def __init__(self, records: list[Record]) -> None:
        self._records = records

    @property
    def end(self) -> int:
        return len(self._records)

    def read(self, start: int = 0, stop: int | None = None) -> Iterator[tuple[int, Record]]:
        yield from list(enumerate(self._records))[start:stop]


class Encoded(Decoded):
    """The same log, which also returns encoded records, in blocks of three."""

    def payloads(
        self, start: int = 0, stop: int | None = None
    ) -> Iterator[tuple[int, list[bytes]]]:
        found = [encode(record).payload for record in self._records[start:stop]]  # type: ignore[arg-type]
        for first in range(0, len(found), 3):
            yield start + first, found[first : first + 3]


def content(data: Dataset) -> list[Any]:
    rows = data.histories
    arrays = (rows.indptr, rows.items, rows.weights, rows.times, data.values)
    return [data.user_ids, data.item_ids, data.texts, *(array.tolist() for array in arrays)]


@settings(deadline=None)
@given(records=RECORDS)
def test_encoded_and_decoded_records_give_the_same(records: list[Record]) -> None:
    def weight(kind: str) -> float:
        return float(len(kind))

    others: list[list[tuple[int, Record]]] = [[], []]
    log = Encoded(records)
    assert isinstance(log, ReadsPayloads)
    results = [
        content(
            dataset_from_log(
                one,
                len(records),
                weight,
                item_ids=["y", "z"],
                on_other=partial(noted, to),
            )
        )
        for one, to in zip((log, Decoded(records)), others, strict=True)
    ]
    assert repr(results[0]) == repr(results[1])  # as text, NaN equals NaN
    assert others[0] == others[1]
    assert [offset for offset, _ in others[0]] == [
        at for at, record in enumerate(records) if not isinstance(record, Event)
    ]


@settings(deadline=None)
@given(records=st.lists(EVENTS, max_size=8))
def test_fields_of_plain_events_are_recognised(records: list[Event]) -> None:
    payloads = [encode(record).payload for record in records]
    parsed = parse_events(
        np.frombuffer(b"".join(payloads), dtype=np.uint8), np.cumsum([0, *map(len, payloads)])
    )
    assert (parsed.states == EVENT).all()
    assert parsed.times.tolist() == [record.timestamp for record in records]


@settings(deadline=None)
@given(payload=st.binary(max_size=30), cut=st.integers(0, 60))
def test_no_bytes_are_read_past_a_record(payload: bytes, cut: int) -> None:
    whole = encode(Event(user_id="u", item_id="i", timestamp=3.0, value=1.5)).payload
    for data in (payload, whole[:cut], whole[: cut % len(whole)] + payload):
        state = parse_events(np.frombuffer(data, dtype=np.uint8), np.array([0, len(data)])).states
        if state[0] == EVENT:  # the end of the record may be another valid value
            assert isinstance(decode(0, data), Event)
        else:
            assert data != whole
            assert state[0] == (ERASED if data[:1] == b"\0" else OTHER)


def test_other_records_are_left_to_the_decoder() -> None:
    payload = encode(UserPut(user_id="u", attributes={"age": 3}, timestamp=1.0)).payload
    parsed = parse_events(np.frombuffer(payload, dtype=np.uint8), np.array([0, len(payload)]))
    assert parsed.states.tolist() == [OTHER]


@settings(deadline=None)
@given(blocks=st.lists(st.lists(IDS, max_size=6), max_size=5))
def test_texts_are_numbered_in_the_order_of_their_first_occurrence(blocks: list[list[str]]) -> None:
    known = {"first": 0, "second": 1}
    texts = Interner(known)
    for block in blocks:
        encoded = [text.encode() for text in block]
        ends = np.cumsum([0, *map(len, encoded)])
        data = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        found = texts.numbers(data, ends[:-1], np.diff(ends))
        assert found.tolist() == [known.setdefault(text, len(known)) for text in block]
    assert texts.strings() == list(known)
    assert len(texts) == len(known)


def test_many_texts() -> None:
    names = [f"user-{number * 7_919 % 5_000}" for number in range(20_000)]
    encoded = [name.encode() for name in names]
    ends = np.cumsum([0, *map(len, encoded)])
    texts = Interner()
    found = texts.numbers(np.frombuffer(b"".join(encoded), np.uint8), ends[:-1], np.diff(ends))
    assert [texts.strings()[number] for number in found[:100]] == names[:100]
    assert texts.strings() == list(dict.fromkeys(names))


def test_an_id_that_is_no_text_is_reported() -> None:
    class Broken(Encoded):
        def payloads(
            self, start: int = 0, stop: int | None = None
        ) -> Iterator[tuple[int, list[bytes]]]:
            good = encode(Event(user_id="user", item_id="i", timestamp=3.0)).payload
            yield 0, [good.replace(b"user\xa7", b"us\xff\xfe\xa7")]

    with pytest.raises(Damaged, match="no valid text"):
        dataset_from_log(Broken([Event(user_id="u", item_id="i", timestamp=3.0)]), 1)


def test_erased_users_are_left_out() -> None:
    log = SQLiteLog(None)
    events = [Event(user_id=f"u{n % 3}", item_id=f"i{n}", timestamp=float(n)) for n in range(3_000)]
    log.append(events).result(120)
    log.erase("u1").result(120)
    data = dataset_from_log(log, log.end)
    log.close()
    assert data.user_ids == ["u0", "u2"]
    assert data.n_interactions == 2_000
