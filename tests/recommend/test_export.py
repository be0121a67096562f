"""Lists to files: the same as asked for at once, and as an uncut run after a cut."""

import os
import signal
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from pyarrow import parquet
from tests.forking import forks

import nearline as nl
from nearline.data import synthetic_shop
from nearline.errors import Damaged, InvalidInput
from nearline.recommend import batch
from nearline.recommend import export as road

CONFIG = nl.Config(settings={"search": {"evaluations": 0}})
K = 4
PART = 50  # users a part file: six parts of the shop's 300 users


def make_store(folder: Path) -> None:
    shop = synthetic_shop(users=300, items=60, events=3_000, seed=0).interactions
    with nl.Recommender(folder, config=CONFIG, clock=lambda: 1.75e9) as rec:
        rec.fit(shop)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export") / "shop"
    make_store(folder)
    return folder


@pytest.fixture
def rec(store: Path) -> Iterator[nl.Recommender]:
    with nl.Recommender(store, config=CONFIG, clock=lambda: 1.75e9) as engine:
        yield engine


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def test_a_data_set_of_everyone(
    rec: nl.Recommender, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(road, "BLOCK", 20)
    monkeypatch.setattr(batch, "BLOCK", 20)
    told: list[tuple[int, int, str]] = []
    done = rec.export(
        tmp_path / "lists", K, part_users=PART, progress=lambda *step: told.append(step)
    )
    at_once = rec.recommend_many(k=K)
    assert ds.dataset(tmp_path / "lists").to_table().equals(at_once.cast(road.SCHEMA))
    assert done == road.Exported(
        path=str(tmp_path / "lists"),
        model=rec.model_id,
        offset=rec.offset,
        users=300,
        rows=at_once.num_rows,
        parts=6,
        resumed=0,
        started_over=False,
    )
    assert told[:3] == [(20, 300, "users"), (40, 300, "users"), (50, 300, "users")]
    assert told[-1] == (300, 300, "users")
    # A row group is a block: nothing larger was held.
    assert parquet.read_metadata(tmp_path / "lists" / "part-00000.parquet").num_row_groups == 3
    assert sorted(contents(tmp_path / "lists")) == [
        road.MANIFEST,
        *(f"part-{part:05d}.parquet" for part in range(6)),
    ]


def test_chosen_users_each_once_in_their_order(rec: nl.Recommender, tmp_path: Path) -> None:
    users = ["u7", "nobody", "u3", "u7"]
    rec.export(tmp_path / "a", K, users)
    table = ds.dataset(tmp_path / "a").to_table()
    assert table["user_id"].unique().to_pylist() == ["u7", "nobody", "u3"]
    file = tmp_path / "users.csv"
    file.write_text("user_id,name\n" + "\n".join(f"{user},x" for user in users))
    rec.export(tmp_path / "b", K, file)
    rec.export(tmp_path / "c", K, pa.table({"user_id": users}))
    for other in "bc":
        assert ds.dataset(tmp_path / other).to_table().equals(table)


class Cut(Exception):
    """The run ends here."""


@pytest.mark.parametrize("cut", [1, 50, 130, 250, 299])
def test_a_run_that_was_cut_goes_on(store: Path, tmp_path: Path, cut: int) -> None:
    """Later, in another process: the files are those of a run that was not cut, byte for byte."""

    def stop(done: int, _total: int, _what: str) -> None:
        if done >= cut:
            raise Cut

    with nl.Recommender(store, config=CONFIG, clock=lambda: 1.75e9) as rec:
        rec.export(tmp_path / "whole", K, part_users=PART)
        with pytest.raises(Cut):
            rec.export(tmp_path / "lists", K, part_users=PART, progress=stop)
    manifest = msgspec.json.decode((tmp_path / "lists" / road.MANIFEST).read_bytes())
    assert manifest["complete"] is False
    with nl.Recommender(store, config=CONFIG, clock=lambda: 1.76e9) as rec:
        done = rec.export(tmp_path / "lists", K, part_users=PART)
    # The part under way when the run was cut is made again.
    assert (done.resumed, done.started_over) == ((max(cut, PART) - 1) // PART, False)
    assert contents(tmp_path / "lists") == contents(tmp_path / "whole")


def test_a_finished_export_is_not_made_again(rec: nl.Recommender, tmp_path: Path) -> None:
    rec.export(tmp_path / "lists", K, part_users=PART)
    before = contents(tmp_path / "lists")
    assert rec.export(tmp_path / "lists", K, part_users=PART).resumed == 6
    assert contents(tmp_path / "lists") == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"k": 3}, "k 4, now 3"),
        ({"users": ["u1"]}, "n_users 300, now 1"),
        ({"exclude_seen": False}, "exclude_seen True, now False"),
    ],
)
def test_other_lists_start_over(
    rec: nl.Recommender,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: dict[str, Any],
    said: str,
) -> None:
    rec.export(tmp_path / "lists", K, part_users=PART)
    done = rec.export(tmp_path / "lists", **({"k": K, "part_users": PART} | change))
    assert (done.started_over, done.resumed) == (True, 0)
    assert said in caplog.text
    table = ds.dataset(tmp_path / "lists").to_table()
    assert table.num_rows == done.rows
    assert table["user_id"].unique().to_pylist() == change.get(
        "users", rec._view().state.user_ids()
    )


def test_events_erasures_and_models_start_over(tmp_path: Path) -> None:
    make_store(tmp_path / "shop")
    with nl.Recommender(tmp_path / "shop", config=CONFIG, clock=lambda: 1.75e9) as rec:
        for change, over in (
            (lambda: None, False),
            (lambda: rec.observe("u1", "i9"), True),
            (lambda: rec.forget("u2").result(), True),
            (lambda: rec.fit(), True),
            (lambda: None, False),
        ):
            change()
            done = rec.export(tmp_path / "lists", K)
            assert (done.model, done.offset) == (rec.model_id, rec.offset)
            assert done.started_over is over
            table = ds.dataset(tmp_path / "lists").to_table()
            assert table.equals(rec.recommend_many(k=K).cast(road.SCHEMA))


def run_until_killed(store: Path, folder: Path, told: Connection) -> None:
    with nl.Recommender(store, config=CONFIG, clock=lambda: 1.75e9) as rec:
        rec.export(folder, K, part_users=PART, progress=lambda done, *_: told.send(done))


@pytest.mark.parametrize("at", [50, 200])
def test_a_killed_process_loses_one_part_at_most(store: Path, tmp_path: Path, at: int) -> None:
    """SIGKILL: the next run ends with the files of a run that nobody killed."""
    context = forks()
    listening, telling = context.Pipe(duplex=False)
    process = context.Process(
        target=run_until_killed, args=(store, tmp_path / "lists", telling), daemon=True
    )
    process.start()
    telling.close()
    while listening.recv() < at:
        pass
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join(120)
    # Whether the process was faster than the signal or not, what is there is whole.
    for part in (tmp_path / "lists").glob("part-*.parquet"):
        assert parquet.read_metadata(part).num_row_groups == 1
    with nl.Recommender(store, config=CONFIG, clock=lambda: 1.75e9) as rec:
        done = rec.export(tmp_path / "lists", K, part_users=PART)
        rec.export(tmp_path / "whole", K, part_users=PART)
    assert done.resumed >= at // PART - 1
    assert contents(tmp_path / "lists") == contents(tmp_path / "whole")


def test_where_no_export_may_go(rec: nl.Recommender, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(InvalidInput, match="is a file; give a folder"):
        rec.export(tmp_path / "file")
    with pytest.raises(InvalidInput, match="not empty and contains no export"):
        rec.export(tmp_path)
    with pytest.raises(InvalidInput, match="k is 0"):
        rec.export(tmp_path / "new", 0)
    with pytest.raises(InvalidInput, match="part_users is 0"):
        rec.export(tmp_path / "new", part_users=0)
    with pytest.raises(InvalidInput, match="users is empty"):
        rec.export(tmp_path / "new", users=[""])
    with pytest.raises(InvalidInput, match="user_id is missing in row 1"):
        rec.export(tmp_path / "new", users=pa.table({"user_id": ["a", None]}))
    assert not (tmp_path / "new").exists()
    with (
        nl.Recommender() as empty,
        pytest.raises(InvalidInput, match="there are no users to recommend to"),
    ):
        empty.export(tmp_path / "new")


def test_what_is_damaged(rec: nl.Recommender, tmp_path: Path) -> None:
    rec.export(tmp_path, K, part_users=PART)
    (tmp_path / "part-00002.parquet").write_bytes(b"rubbish")
    with pytest.raises(Damaged, match=r"part-00002.parquet cannot be read .* delete it"):
        rec.export(tmp_path, K, part_users=PART)
    (tmp_path / road.MANIFEST).write_bytes(b"rubbish")
    assert rec.export(tmp_path, K, part_users=PART).started_over
