"""HTML of lists, explanations, reports and jobs: what it shows, and that it escapes all text."""

import copy
import json
import pickle
import pprint
import sys
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import httpx
import msgspec
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearline as nl
from nearline.errors import InvalidInput
from nearline.jobs.queue import Job, Outcome
from nearline.notebook import score_bar, scores_html, table
from nearline.notebook.html import Share
from nearline.notebook.live import live_output
from nearline.notebook.reports import bars_html, curves_html
from nearline.schema import Part, Recommendation, ScoredItem
from nearline.schema.answers import ScoredList, TitledList

EVIL = "<script>alert('x')</script> & \""


class Texts(HTMLParser):
    """Collects tags and text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


def read(value: Any) -> Texts:
    parser = Texts()
    parser.feed(value if isinstance(value, str) else value._repr_html_())
    return parser


@pytest.fixture(scope="module")
def rec() -> Iterator[nl.Recommender]:
    engine = nl.Recommender()
    for item, title in (("x", EVIL), ("y", "Yes"), ("z", "")):
        engine.put_item(item, title=title, text="green tea", categories=["tea"])
    for user in "abc":
        for item in ("x", "y"):
            engine.observe(user_id=user, item_id=item)
    engine.observe(user_id="d", item_id="x")
    yield engine
    engine.close()


def test_a_list_shows_titles_tiers_and_the_item_it_is_because_of(rec: nl.Recommender) -> None:
    lines = rec.recommend("d", k=2, explain=True)
    found = read(lines)
    assert "Yes" in found.text
    assert "personal" in found.text
    assert EVIL in found.text
    assert "script" not in found.tags


@pytest.mark.parametrize("make", ["similar", "rank", "search", "popular", "trending", "explain"])
def test_other_lists_show_titles(rec: nl.Recommender, make: str) -> None:
    values: dict[str, Callable[[], object]] = {
        "similar": lambda: rec.similar("x"),
        "rank": lambda: rec.rank("d", ["y", "z"]),
        "search": lambda: rec.search("tea"),
        "popular": rec.popular,
        "trending": rec.trending,
        "explain": lambda: rec.explain("d", "y"),
    }
    found = read(values[make]())
    assert "Yes" in found.text
    assert "script" not in found.tags


def test_an_empty_list_says_so(rec: nl.Recommender) -> None:
    assert "no items" in read(rec.recommend("d", category="none")).text


def test_frames_have_one_column_a_field(rec: nl.Recommender) -> None:
    lines = rec.recommend("d", k=2, explain=True)
    for frame in (pd.DataFrame(lines), pl.DataFrame(lines)):
        assert list(frame.columns) == list(Recommendation.__struct_fields__)
        assert list(frame["item_id"]) == [line.item_id for line in lines]
        assert list(frame["score"]) == [line.score for line in lines]
    scores = pd.DataFrame(rec.similar("x"))
    assert list(scores.columns) == ["item_id", "score", "fields"]


def test_answers_can_be_copied_pickled_and_printed(rec: nl.Recommender) -> None:
    answers = [
        rec.recommend("d", k=2, explain=True),
        rec.popular(k=2),
        rec.similar("x"),
        rec.explain("d", "y"),
        rec.user("d"),
        rec.recommend("d", k=2).answer,
    ]
    for answer in answers:
        for copied in (
            copy.copy(answer),
            copy.deepcopy(answer),
            pickle.loads(pickle.dumps(answer)),
        ):
            assert copied == answer
            assert type(copied) is type(answer)
            if hasattr(answer, "_repr_html_"):
                assert read(copied).text
        assert pprint.pformat(answer, width=20)


def test_values_are_encoded_as_before(rec: nl.Recommender) -> None:
    line = Recommendation(item_id="a", score=1.0, tier="personal")
    assert json.loads(msgspec.json.encode(TitledList([line], "of"))) == [
        {"item_id": "a", "score": 1.0, "tier": "personal"}
    ]
    explained = rec.explain("d", "y")
    assert "title" not in msgspec.to_builtins(explained)
    assert explained == msgspec.structs.replace(explained)


@given(st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_no_text_becomes_a_tag(item: str, title: str, score: float) -> None:
    line = ScoredItem(item_id=item, score=score, fields={"price": title})
    allowed = {"div", "table", "thead", "tbody", "tr", "th", "td", "span", "i", "code"}
    assert set(read(ScoredList([line]).titled(lambda _: title)).tags) <= allowed
    part = Part(source=item, relation=title, amount=score)
    row = Recommendation(item_id=item, score=score, tier=title, reasons=(part,))
    assert set(read(TitledList([row], title, lambda _: title)).tags) <= allowed


def test_a_bar_never_grows_beyond_its_width() -> None:
    bar = score_bar([Share("a", 3.0, "red"), Share("b", -1.0, "blue")], 2.0)
    assert "width:100.00%" in bar
    assert "width:50.00%" in bar
    assert "repeating-linear-gradient" in bar
    assert "width:0.00%" in score_bar([Share("a", 1.0, "red")], 0.0)


def test_a_table_escapes_cells() -> None:
    assert read(table([EVIL], [[EVIL]])).text == EVIL * 2


def test_empty_values_have_html() -> None:
    assert read(scores_html([], str)).tags
    assert "svg" in read(curves_html("none", {"a": []}, "b")).tags


def test_a_job_shows_its_state_and_progress() -> None:
    job = Job(id="1", kind="train", state="running", created=0.0, done=1, total=4, what="fit")
    found = read(job)
    assert "running" in found.text
    assert "1 of 4" in found.text


def test_an_import_shows_what_was_left_out(rec: nl.Recommender) -> None:
    found = read(rec.add(pa.table({"user_id": ["e", ""], "item_id": ["x", "y"]})))
    assert "user_id is empty" in found.text


def test_progress_is_drawn_in_notebooks_only(
    rec: nl.Recommender, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []
    live_output()("nothing")
    handle = SimpleNamespace(update=lambda shown: drawn.append(shown._repr_html_()))
    display = SimpleNamespace(display=lambda *_, **__: handle)
    fake = SimpleNamespace(get_ipython=lambda: object(), display=display)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    job = rec.jobs.watch(rec.jobs.submit("train", lambda _: Outcome("made", {})).id)
    assert job.state == "done"
    assert drawn[-1] == ""


def test_show_serves_the_open_recommender_and_leaves_it_open(rec: nl.Recommender) -> None:
    with nl.show(rec) as dashboard:
        assert dashboard.url in repr(dashboard)
        assert dashboard.url in read(dashboard).text
        base = dashboard.url.removesuffix("/ui")
        assert httpx.get(dashboard.url, timeout=60).status_code == 200
        sent = {"user_id": "fresh", "item_id": "y"}
        assert httpx.post(f"{base}/v1/events", json=sent, timeout=60).status_code == 200
    dashboard.close()
    assert [event.item_id for event in rec.user("fresh").history] == ["y"]
    assert "users" in read(rec).text


def test_show_needs_a_recommender() -> None:
    with pytest.raises(InvalidInput, match="give a Recommender"):
        nl.show("shop/")  # type: ignore[arg-type]


def test_values_of_another_unit_do_not_shrink_the_bars() -> None:
    html = bars_html("Evaluation", {"ndcg@10": 0.2, "novelty@10": 6.6}, {"ndcg@10": (0.1, 0.4)})
    assert html.count("position:relative") == 1
    assert "width:50.00%" in html
    assert "6.6000" in html
