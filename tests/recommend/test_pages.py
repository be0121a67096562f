"""Pages of lists: no item twice, and no cursor but our own."""

import base64
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from tests.engine.shop import catalogue, clock, shop

import nearline as nl
from nearline.common.signing import Signer
from nearline.deployment.secret import KEY_FILE, secret_of
from nearline.errors import InvalidInput
from nearline.recommend.pages import MAX_SHOWN, make_cursor, read_cursor
from nearline.schema import RecommendationRequest
from nearline.state import State

SIGNER = Signer(bytes(range(32)))
QUESTION = bytes(12)
# The suite draws fewer.
N_USERS = int(os.environ.get("NEARLINE_PAGES_USERS", "3"))


@pytest.fixture
def rec() -> Iterator[nl.Recommender]:
    with nl.Recommender(clock=clock) as engine:
        yield engine.fit(shop(), items=catalogue())


def state_of(n_items: int) -> State:
    return State(item_ids=[f"i{n}" for n in range(n_items)])


STATE = state_of(100_000)


def follow(rec: nl.Recommender, request: RecommendationRequest) -> Iterator[list[str]]:
    """Yield the item IDs of each page."""
    while True:
        answer = rec.answer(request)
        yield [line.item_id for line in answer.items]
        if answer.next is None:
            return
        request = replace(request, cursor=answer.next)


@given(st.sets(st.integers(0, 99_999), max_size=300))
def test_a_cursor_holds_exactly_the_items(items: set[int]) -> None:
    cursor = make_cursor(items, QUESTION, STATE, SIGNER)
    assert read_cursor(cursor, QUESTION, STATE, SIGNER) == items


def test_a_cursor_is_short() -> None:
    items = np.random.default_rng(1).choice(100_000, MAX_SHOWN, replace=False).tolist()
    assert len(make_cursor(items, QUESTION, STATE, SIGNER)) < 3_500


@pytest.mark.parametrize(
    "history", [None, ("shoe-0",), ("tea-1", "shoe-2")], ids=["nobody", "one", "two"]
)
@pytest.mark.parametrize("k", [1, 2, 4])
def test_pages_of_a_list_are_the_list_in_pieces(
    rec: nl.Recommender, history: tuple[str, ...] | None, k: int
) -> None:
    whole = RecommendationRequest(user_id="u", history=history, k=1000)
    pages = list(follow(rec, replace(whole, k=k)))
    assert [item for page in pages for item in page] == next(follow(rec, whole))
    assert all(len(page) == k for page in pages[:-1])


def test_no_item_comes_twice_while_events_a_promotion_and_a_restart_happen(tmp_path: Path) -> None:
    request = RecommendationRequest(user_id="shoe1", k=1, repeats="include")
    seen: list[str] = []
    changes = iter(
        (
            lambda rec: rec.observe("shoe1", "tea-1"),
            lambda rec: rec.fit(seed=5),
            lambda rec: rec.put_item("new", text="blue shoes"),
            lambda rec: rec.delete_item("tea-2").result(),
            lambda rec: rec.forget("tea1").result(),
            lambda rec: rec.fit(seed=6),
        )
    )
    with nl.Recommender(tmp_path / "shop", clock=clock) as engine:
        engine.fit(shop(), items=catalogue())
    while True:
        with nl.Recommender(tmp_path / "shop", clock=clock) as engine:
            answer = engine.answer(request)
            seen += [line.item_id for line in answer.items]
            if answer.next is None:
                break
            request = replace(request, cursor=answer.next)
            next(changes, lambda _: None)(engine)
    assert len(seen) == len(set(seen)) >= 9


def test_twenty_pages_of_many_users_under_events_a_promotion_and_restarts(tmp_path: Path) -> None:
    """NEARLINE_PAGES_USERS=1000 is the full size."""
    rng = np.random.default_rng(2)
    users = [f"u{n}" for n in range(N_USERS)]
    items = [f"i{n}" for n in range(120)]
    rows = 8 * max(N_USERS, 20)
    table = pa.table(
        {
            "user_id": [f"u{n}" for n in rng.integers(0, max(N_USERS, 20), rows)],
            "item_id": [items[n] for n in rng.integers(0, len(items), rows)],
            "timestamp": 1e5 + np.arange(rows) * 10.0,
        }
    )
    config = nl.Config(settings={"search": {"evaluations": 0}})
    with nl.Recommender(tmp_path / "shop", config=config, clock=clock) as engine:
        engine.fit(table)
    cursors: dict[str, str | None] = dict.fromkeys(users)
    seen: dict[str, list[str]] = {user: [] for user in users}
    for page in range(20):
        with nl.Recommender(tmp_path / "shop", config=config, clock=clock) as engine:
            for user in users:
                found = engine.recommend(user, k=5, repeats="include", cursor=cursors[user])
                seen[user] += [line.item_id for line in found]
                cursors[user] = found.next
            for user in users[:: max(len(users) // 10, 1)]:
                engine.observe(user, items[int(rng.integers(0, len(items)))])
            engine.put_item(f"new{page}", text="new")
            if page == 9:
                engine.fit(seed=1)  # promotes another model
    for user in users:
        assert len(seen[user]) == len(set(seen[user])) == 100


def test_rerunning_makes_the_same_cursor(rec: nl.Recommender) -> None:
    request = RecommendationRequest(user_id="u", k=2)
    assert rec.answer(request) == rec.answer(request)


def test_a_cursor_belongs_to_its_request(rec: nl.Recommender) -> None:
    request = RecommendationRequest(user_id="u", k=2)
    cursor = rec.answer(request).next
    for other in (
        replace(request, user_id="v"),
        replace(request, category="teas"),
        replace(request, exclude=("tea-1",)),
        replace(request, history=("tea-1",)),
        replace(request, context={"a": 1}),
    ):
        with pytest.raises(InvalidInput, match="belongs to another request") as error:
            rec.answer(replace(other, cursor=cursor))
        assert error.value.field == "cursor"
    longer = rec.answer(replace(request, cursor=cursor, k=3, explain=True))
    assert len(longer.items) == 3


def test_forged_cursors_are_refused(rec: nl.Recommender) -> None:
    request = RecommendationRequest(user_id="u", k=2)
    cursor = rec.answer(request).next
    assert cursor is not None
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    changed = [raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :] for at in range(len(raw))]
    texts = [base64.urlsafe_b64encode(one).rstrip(b"=").decode() for one in changed]
    texts += [
        "",
        "x",
        "é",
        "=",
        cursor[:-1],
        cursor + "A",
        cursor + "=",
        cursor + "\n",
        "A" * 99_999,
    ]
    texts += [
        cursor.replace("-", "+").replace("_", "/") + " ",
        make_cursor([1], QUESTION, STATE, SIGNER),
    ]
    for text in texts:
        with pytest.raises(InvalidInput, match="did not make") as error:
            rec.answer(replace(request, cursor=text))
        assert error.value.field == "cursor"
        assert len(str(error.value)) < 300


@given(st.text(max_size=60))
def test_no_text_is_a_cursor(text: str) -> None:
    with pytest.raises(InvalidInput):
        read_cursor(text, QUESTION, STATE, SIGNER)


def test_another_purpose_is_another_token() -> None:
    token = SIGNER.sign("other", b"content")
    assert SIGNER.verify("other", token, "cursor") == b"content"
    with pytest.raises(InvalidInput):
        SIGNER.verify("cursor", token, "cursor")


def test_items_that_were_numbered_again_end_the_list() -> None:
    cursor = make_cursor([3, 5], QUESTION, STATE, SIGNER)
    for other in (State(item_ids=["x"] * 6), state_of(4), State()):
        with pytest.raises(InvalidInput, match="too old"):
            read_cursor(cursor, QUESTION, other, SIGNER)


def test_a_list_ends_at_the_bound() -> None:
    cursor = make_cursor(range(MAX_SHOWN + 1), QUESTION, STATE, SIGNER)
    with pytest.raises(InvalidInput, match="behind 2,000 items"):
        read_cursor(cursor, QUESTION, STATE, SIGNER)
    last = make_cursor(range(MAX_SHOWN), QUESTION, STATE, SIGNER)
    assert len(read_cursor(last, QUESTION, STATE, SIGNER)) == MAX_SHOWN


def test_copies_of_a_store_share_the_secret(tmp_path: Path, rec: nl.Recommender) -> None:
    request = RecommendationRequest(user_id="u", k=2)
    cursor = rec.answer(request).next
    rec.save(tmp_path / "copy")
    assert (tmp_path / "copy" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    with nl.Recommender.load(tmp_path / "copy", clock=clock) as other:
        assert other.answer(replace(request, cursor=cursor)).items
    with nl.Recommender(tmp_path / "other", clock=clock) as another:
        another.add(shop(), catalogue())
        with pytest.raises(InvalidInput, match="did not make"):
            another.answer(replace(request, cursor=cursor))


def test_the_secret_is_made_once(tmp_path: Path) -> None:
    first = secret_of(tmp_path)
    assert secret_of(tmp_path) == first
    assert len(first) == 32
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


def test_a_secret_of_the_wrong_size_is_not_used(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).write_bytes(b"")
    assert len(secret_of(tmp_path)) == 32
    assert secret_of(tmp_path) != secret_of(tmp_path)


def test_a_table_is_refused_as_a_cursor(rec: nl.Recommender) -> None:
    with pytest.raises(InvalidInput, match="cursor"):
        rec.recommend("u", cursor=pa.table({}))
    with pytest.raises(InvalidInput, match="cursor"):
        rec.answer(RecommendationRequest(user_id="u", cursor=7))  # type: ignore[arg-type]
