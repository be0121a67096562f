"""Counts that are kept up to date equal those of everything, also with late and erased events."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from tests.served.naive_outcomes import Counts, naive_counts

import nearline as nl
from nearline.schema import DAY, Event, Record
from nearline.served import Served
from nearline.served.outcome_counts import MAX_PLACES, UNITS, OutcomeCounts
from nearline.served.rows import ItemsSeen

NOW, HOUR, DAYS = 1_700_000_000.0, 3_600.0, 3
ITEMS = "abc"


class Source:
    """Entries and records that grow, and the counts that read them."""

    def __init__(self) -> None:
        self.all: list[Served | ItemsSeen] = []
        self.records: list[Record] = []
        self.read_from: list[int] = []
        self._given = 0
        self.counts = OutcomeCounts(self._entries, self._read, self._end, {}, DAYS)

    def _entries(self, since: float | None) -> list[Served | ItemsSeen]:
        begin, self._given = (0 if since is not None else self._given), len(self.all)
        return [one for one in self.all[begin:] if one.timestamp >= (since or 0.0)]

    def _read(self, offset: int) -> Iterator[tuple[int, Record]]:
        self.read_from.append(offset)
        return iter(list(enumerate(self.records))[offset:])

    def _end(self) -> int:
        return len(self.records)

    def serve(self, name: str, user: str | None, items: str, time: float, **fields: Any) -> None:
        fields.setdefault("offset", len(self.records))
        self.all.append(
            Served(
                recommendation_id=name,
                user_id=user,
                timestamp=time,
                item_ids=tuple(items),
                tiers=("personal",) * len(items),
                model="m",
                **fields,
            )
        )

    def see(self, name: str, items: str, time: float) -> None:
        self.all.append(
            ItemsSeen(recommendation_id=name, user_id="u", timestamp=time, item_ids=tuple(items))
        )

    def click(self, user: str, item: str, name: str | None, time: float) -> None:
        self.records.append(
            Event(user_id=user, item_id=item, event="click", timestamp=time, recommendation_id=name)
        )

    def expected(self, at: float) -> Counts:
        events = [record for record in self.records if isinstance(record, Event)]
        return naive_counts(self.all, events, at, DAYS)


def found(counts: OutcomeCounts) -> Counts:
    """The counts by day, item and position: all other days get the weight 0."""
    rows: Counts = {}
    for day in range(int(NOW // DAY) - 10, int(NOW // DAY) + 20):
        own = counts.counted(lambda begin, day=day: float(begin == day * DAY))  # type: ignore[misc]
        lines = zip(own.items, own.places, own.shown, own.clicked, strict=True)
        for item, place, shown, clicked in lines:
            if shown:
                key = day, counts.item_ids[int(item)], int(place)
                rows[key] = int(shown), int(clicked)
    return rows


moments = st.sampled_from([0.0, 20.0, 70.0, 1_800.0, HOUR, 3 * HOUR, 20 * HOUR, DAY, 2 * DAY])
users = st.sampled_from(["u", "v"])
steps = st.lists(
    st.one_of(
        st.tuples(st.just("serve"), st.integers(0, 3), st.permutations(ITEMS)),
        st.tuples(st.just("see"), st.integers(0, 3), st.sampled_from(["a", "bc", "abc"])),
        st.tuples(
            st.just("click"),
            users,
            st.sampled_from(ITEMS),
            st.one_of(st.none(), st.integers(0, 3)),
            st.one_of(moments, moments.map(lambda late: -min(late, 70.0))),
        ),
        st.tuples(st.just("pass"), moments),
        # A window can have ended before the last events.
        st.tuples(st.just("count"), st.sampled_from([0.0, 30.0, HOUR])),
    ),
    max_size=30,
)
# The user of a list never changes.
OWNERS = ("u", "v", None, "u")


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=300)
@given(steps)
@example([("click", "u", "a", None, -20.0), ("serve", 0, "abc"), ("pass", 20.0)])
def test_counts_are_those_of_everything(some: list[tuple[Any, ...]]) -> None:
    """In any order of lists, reports, and events that are early, late or without a list."""
    source, now, at = Source(), NOW, NOW
    served = set[int]()
    for kind, *given_ in [*some, ("pass", 10.0), ("count", 0.0)]:
        now += 0.01
        if kind == "serve":
            number, items = given_
            served.add(number)
            source.serve(f"r{number}", OWNERS[number], "".join(items), now)
        elif kind == "see":
            source.see(f"r{given_[0]}", given_[1], now)
        elif kind == "click":
            user, item, number, late = given_
            if number is None or number in served:
                source.click(user, item, None if number is None else f"r{number}", now - late)
        elif kind == "pass":
            now += given_[0]
        else:
            at = max(at, now - given_[0])
            source.counts.advance(at)
            assert found(source.counts) == source.expected(at)


def test_only_news_is_read() -> None:
    source = Source()
    for number in range(50):
        time = NOW + number * HOUR
        source.serve(f"r{number}", "u", "ab", time)
        source.click("u", "a", f"r{number}", time + 10)
        source.click("u", "c", None, time + 20)  # not from a list
        source.counts.advance(time + HOUR)
    assert source.read_from == [0] + [2 * number for number in range(1, 50)]
    assert found(source.counts) == source.expected(NOW + 50 * HOUR)
    assert len(source.counts._servings.all) < 5
    source.click("u", "b", "r40", NOW + 40 * HOUR + 5)  # belongs to a list that is closed
    source.counts.advance(NOW + 53 * HOUR)
    # Once more from the first list of the day on.
    day = (NOW + 40 * HOUR) // DAY
    first = min(number for number in range(50) if (NOW + number * HOUR) // DAY == day)
    assert source.read_from[50:] == [100, 2 * first]
    assert found(source.counts) == source.expected(NOW + 53 * HOUR)


def test_a_list_from_before_the_last_count_counts() -> None:
    source = Source()
    source.serve("r0", "u", "ab", NOW)
    source.click("u", "a", None, NOW + 100)
    source.counts.advance(NOW + HOUR)
    source.serve("r1", "u", "ba", NOW + 50)  # the clock was set back
    source.counts.advance(NOW + 2 * HOUR)
    assert found(source.counts) == source.expected(NOW + 2 * HOUR)
    assert sum(clicked for _, clicked in found(source.counts).values()) == 1


def test_parts_are_summed_exactly() -> None:
    """Sums of products of the parts, by relations; a click and a report change them."""
    source = Source()
    rng = np.random.default_rng(1)
    rows = rng.integers(-UNITS, UNITS, (40, 2, 3)) / UNITS
    for number, (x, y) in enumerate(rows):
        parts = {"x": tuple(x.tolist()), "y": tuple(y.tolist())}
        source.serve(f"r{number}", "u", "abc", NOW + number, parts=parts)
        source.click("u", "b", f"r{number}", NOW + number + 0.5)
        source.counts.advance(NOW + number + 0.7)
        source.see(f"r{number}", "ab", NOW + number + 0.8)
    source.counts.advance(NOW + 100)
    squares, clicked = source.counts.counted(lambda _: 1.0).linear["x", "y"]
    seen = rows[:, :, :2].transpose(0, 2, 1).reshape(-1, 2)
    assert squares.tolist() == (seen.T @ seen).tolist()
    assert clicked.tolist() == rows[:, :, 1].sum(axis=0).tolist()
    assert MAX_PLACES > 1_000  # the longest list


def test_erased_users_and_events_do_not_count() -> None:
    now = NOW
    rec = nl.Recommender(clock=lambda: now)
    rec.put_items(
        [nl.Item(item_id=f"i{n}", text="some words", timestamp=NOW) for n in range(6)]
    ).result()
    rec.put_scenario("home", k=3, repeats="include", explore={"method": "thompson"})
    for user in ("u", "v", "w"):
        rec.observe(user, "i0")
    for step in range(4):
        for user in ("u", "v", "w"):
            now += 60.0
            answer = rec.recommend(user, scenario="home").answer
            rec.append_events(
                [
                    nl.Event(
                        user_id=user,
                        item_id=answer.items[0].item_id,
                        event="click",
                        timestamp=now + 1,
                        event_id=f"{user}-{step}",
                        recommendation_id=answer.recommendation_id,
                    )
                ]
            ).result()
    now += HOUR
    rec.refresh_outcomes()

    def totals() -> tuple[float, float]:
        assert rec._counts is not None
        own = rec._counts[1].counted(lambda _: 1.0)
        return float(own.shown.sum()), float(own.clicked.sum())

    assert totals() == (36.0, 12.0)
    rec.forget("u").result()
    rec.delete_event("v-2").result()
    now += HOUR
    rec.refresh_outcomes()
    assert totals() == (24.0, 7.0)
    rec.close()
