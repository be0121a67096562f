"""Attribution of events to lists, against an obvious oracle and against known truth."""

import random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nearline.schema import Event
from nearline.served import Attributed, Served, attribute, logged_rows, make_report
from nearline.served.attribution import CLICKS, SKEW, window_of
from nearline.served.rows import ItemsSeen

ITEMS = tuple("abcdef")


def listed(name: str, user_id: str | None, time: float, items: tuple[str, ...]) -> Served:
    return Served(
        recommendation_id=name,
        user_id=user_id,
        timestamp=time,
        item_ids=items,
        tiers=("personal",) * len(items),
        model="m",
        offset=0,
    )


def run(entries: list[Served | ItemsSeen], events: list[Event]) -> list[Attributed]:
    return attribute(entries, lambda _: list(enumerate(events)), {})


def oracle(lists: list[Served], event: Event) -> Served | None:
    """The serving of an event by the definition, one condition after the other."""
    window = window_of(event.event, {})
    if event.recommendation_id is not None:
        named = [one for one in lists if one.recommendation_id == event.recommendation_id]
        fit = [one for one in named if one.user_id in (None, event.user_id)]
        fit = [one for one in fit if event.item_id in one.item_ids]
        before = [one for one in fit if event.timestamp - window <= one.timestamp]
        before = [one for one in before if one.timestamp <= event.timestamp]
        after = [one for one in fit if 0 < one.timestamp - event.timestamp <= SKEW]
        if not before and after:
            return min(after, key=lambda one: one.timestamp)
    else:
        own = [one for one in lists if one.user_id == event.user_id]
        before = [
            one for one in own if event.item_id in one.item_ids and one.timestamp <= event.timestamp
        ]
    if not before:
        return None
    last = max(before, key=lambda one: one.timestamp)
    return last if event.timestamp - last.timestamp <= window else None


lists_of = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2", None]),
        st.integers(0, 20_000),
        st.lists(st.sampled_from(ITEMS), min_size=1, max_size=4, unique=True),
    ),
    max_size=6,
    unique_by=lambda one: one[1],
)
events_of = st.lists(
    st.tuples(
        st.sampled_from(["u1", "u2"]),
        st.sampled_from(ITEMS),
        st.integers(0, 20_000),
        st.sampled_from(["view", "cart", "purchase", "viewed"]),
        st.one_of(st.none(), st.integers(0, 7)),
    ),
    max_size=8,
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(lists_of, events_of)
def test_events_belong_to_the_list_that_the_definition_says(
    some: list[tuple[str | None, int, list[str]]],
    happened: list[tuple[str, str, int, str, int | None]],
) -> None:
    lists = [
        listed(f"r{at}", user, float(time), tuple(items))
        for at, (user, time, items) in enumerate(some)
    ]
    events = [
        Event(
            user_id=user,
            item_id=item,
            timestamp=float(time),
            event=kind,
            recommendation_id=None if named is None else f"r{named}",
        )
        for user, item, time, kind, named in happened
    ]
    found = run(list(lists), events)
    plain = {"viewed": "view"}
    expected: dict[str, list[tuple[str, str, float]]] = {}
    for event in events:
        simple = Event(
            user_id=event.user_id,
            item_id=event.item_id,
            timestamp=event.timestamp,
            event=plain.get(event.event, event.event),
            recommendation_id=event.recommendation_id,
        )
        one = oracle(lists, simple)
        if one is not None:
            row = (simple.event, simple.item_id, simple.timestamp)
            expected.setdefault(one.recommendation_id, []).append(row)
    got = {
        one.served.recommendation_id: [(o.kind, o.item_id, o.timestamp) for o in one.outcomes]
        for one in found
        if one.outcomes
    }
    assert got == expected


def test_ten_thousand_visits_give_the_true_rates() -> None:
    rng = random.Random(1)
    entries, events = list[Served | ItemsSeen](), list[Event]()
    clicked = bought = shown = 0
    at_position = [0] * 5
    for visit in range(10_000):
        user, time = f"u{rng.randrange(500)}", 100.0 * visit
        items = tuple(rng.sample([f"i{n}" for n in range(50)], 5))
        entries.append(listed(f"r{visit}", user, time, items))
        seen = rng.randrange(1, 6)
        if visit % 2:  # half of the visits report what was seen
            entries.append(
                ItemsSeen(
                    recommendation_id=f"r{visit}",
                    user_id=user,
                    timestamp=time + 1,
                    item_ids=items[:seen],
                )
            )
        else:
            seen = 5
        shown += seen
        for position in range(seen):
            if rng.random() < 0.3:
                clicked += 1
                at_position[position] += 1
                for _ in range(rng.randrange(1, 3)):  # a second click on a line is no other line
                    events.append(
                        Event(
                            user_id=user,
                            item_id=items[position],
                            timestamp=time + 2,
                            event="click",
                            recommendation_id=f"r{visit}",
                        )
                    )
                if rng.random() < 0.2:
                    bought += 1
                    events.append(
                        Event(
                            user_id=user,
                            item_id=items[position],
                            timestamp=time + 50,
                            event="purchase",
                            recommendation_id=f"r{visit}",
                        )
                    )
        events.append(Event(user_id=user, item_id="elsewhere", timestamp=time + 3))
    rng.shuffle(entries)
    found = run(entries, events)
    report = make_report(found)
    assert (report.total.lists, report.total.items) == (10_000, shown)
    assert (report.total.clicked, report.total.converted) == (clicked, bought)
    assert report.total.click_through == clicked / shown
    assert report.total.conversion == bought / shown
    assert [line.clicked for line in report.by["position"]] == at_position
    assert report.seen == 5_000
    rows = logged_rows(found, CLICKS)
    assert (len(rows), sum(row.reward for row in rows)) == (shown, clicked)


def test_a_report_is_grouped_and_limited() -> None:
    one = listed("r1", "u1", 10.0, ("a", "b"))
    other = Served(
        recommendation_id="r2",
        user_id="u2",
        timestamp=20.0,
        item_ids=("a", "c"),
        tiers=("personal", "popular"),
        model="m2",
        offset=0,
        policy="epsilon",
        propensities=(1.0, 0.05),
        explored=(1,),
        scenario="home",
        experiments={"e": "x", "f": "y"},
    )
    click = Event(user_id="u2", item_id="c", timestamp=21.0, event="view", recommendation_id="r2")
    found = run([one, other], [click])
    report = make_report(found)
    lines = {
        grouping: {line.value: (line.lists, line.items, line.clicked) for line in some}
        for grouping, some in report.by.items()
    }
    assert lines == {
        "position": {"1": (2, 2, 0), "2": (2, 2, 1)},
        "tier": {"personal": (2, 3, 0), "popular": (1, 1, 1)},
        "scenario": {"": (1, 2, 0), "home": (1, 2, 1)},
        "variant": {"e: x": (1, 2, 1), "f: y": (1, 2, 1)},
        "model": {"m": (1, 2, 0), "m2": (1, 2, 1)},
        "policy": {"epsilon": (1, 2, 1), "greedy": (1, 2, 0)},
        "chosen": {},
    }
    assert (report.explored, report.users, report.events) == (1, 2, {"view": 1})
    assert "<td>50.00%</td>" in report._repr_html_()
    assert make_report(found, scenario="home").total.items == 2
    assert make_report(found, since=15.0).total.lists == 1
    assert make_report(found, until=15.0).total.lists == 1
    assert logged_rows(found, ("view",))[-1][3:8] == (2, 0.05, "epsilon", "x", 1.0)
