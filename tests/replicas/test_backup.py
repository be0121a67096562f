"""Archives, backups while a store is written, and restoring them up to an offset."""

from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from click.testing import CliRunner
from tests.replicas.conftest import OpenReplica
from tests.replicas.digest import digest

from nearline.cli import main
from nearline.deployment.backup import backup, restore
from nearline.engine import Recommender
from nearline.errors import Damaged, DataNotFound, InvalidInput
from nearline.log import Appended, open_log, url_of
from nearline.log.archive import archive_log
from nearline.schema import Event
from nearline.testing.log_case import WAIT


def events(first: int, count: int = 3) -> list[Event]:
    return [
        Event(user_id=f"u{n % 9}", item_id=f"i{n % 5}", timestamp=float(n), event_id=f"e{n}")
        for n in range(first, first + count)
    ]


def records(folder: Path, until: int | None = None) -> list[object]:
    with open_log(url_of(folder / "log.db"), read_only=True) as log:
        return list(log.read(0, until))


def test_a_backup_while_events_arrive_is_a_prefix_of_the_log(tmp_path: Path) -> None:
    with Recommender(tmp_path / "shop") as shop:
        shop.append_events(events(0, 60)).result(WAIT)
        shop.fit()
        waiting: list[Future[Appended]] = [shop.append_events(events(n)) for n in range(60, 600, 3)]
        done = backup(tmp_path / "shop", tmp_path / "copy")
        assert [future.result(WAIT).accepted for future in waiting] == [3] * 180
        assert done.model == shop.model_id
        assert done.offset % 3 == 0
        assert done.offset >= 60
        back = restore(tmp_path / "copy", tmp_path / "back")
        assert back == type(done)(
            store=str(tmp_path / "back"), offset=done.offset, model=done.model
        )
        assert records(tmp_path / "back") == records(tmp_path / "shop", done.offset)
        with Recommender(tmp_path / "back") as rec:
            assert (rec.offset, rec.model_id) == (done.offset, shop.model_id)
            rec.append_events(events(done.offset, 600 - done.offset)).result(WAIT)
            assert digest(rec)["lists"] == digest(shop)["lists"]


def test_restoring_up_to_an_offset(tmp_path: Path) -> None:
    with Recommender(tmp_path / "shop") as shop:
        shop.append_events(events(0, 60)).result(WAIT)
        shop.forget("u3").result(WAIT)
        shop.fit()
        shop.append_events(events(60)).result(WAIT)
    backup(tmp_path / "shop", tmp_path / "copy")
    late = restore(tmp_path / "copy", tmp_path / "late", until=61)
    early = restore(tmp_path / "copy", tmp_path / "early", until=40)
    assert (late.offset, late.model is None) == (61, False)
    assert (early.offset, early.model) == (40, None)
    assert records(tmp_path / "early") == records(tmp_path / "shop", 40)
    with Recommender(tmp_path / "early") as rec:
        assert rec.append_events(events(38, 2)).result(WAIT).duplicates == 1
        assert rec.recommend("u3") != []
    with pytest.raises(InvalidInput, match="before offset 63"):
        restore(tmp_path / "copy", tmp_path / "never", until=64)
    with pytest.raises(InvalidInput, match="not an empty folder"):
        restore(tmp_path / "copy", tmp_path / "late")
    with pytest.raises(DataNotFound, match="neither a backup"):
        restore(tmp_path, tmp_path / "never")


def test_an_older_log_than_the_checkpoint_is_refused(tmp_path: Path) -> None:
    """Offsets never go back."""
    with Recommender(tmp_path / "shop") as shop:
        shop.append_events(events(0)).result(WAIT)
        backup(tmp_path / "shop", tmp_path / "copy")
        shop.append_events(events(3)).result(WAIT)
    (tmp_path / "copy" / "log.db").replace(tmp_path / "shop" / "log.db")
    with pytest.raises(Damaged, match="ends at offset 3"):
        Recommender(tmp_path / "shop")


def test_an_archive_grows_and_loses_what_is_erased(tmp_path: Path) -> None:
    target = tmp_path / "archive"

    def archive() -> tuple[int, int, int, bool]:
        with open_log(url_of(tmp_path / "shop" / "log.db"), read_only=True) as log:
            done = archive_log(log, target, part_records=10)
        return done.records, done.end, done.parts, done.rewritten

    with Recommender(tmp_path / "shop") as shop:
        shop.append_events(events(0, 25)).result(WAIT)
        assert archive() == (25, 25, 3, False)
        assert archive() == (0, 25, 3, False)
        shop.put_item("i1", title="Tea")
        assert archive() == (1, 26, 4, False)
        shop.forget("u3").result(WAIT)
        assert archive() == (26, 26, 3, True)
    table = ds.dataset(target, format="parquet").to_table()
    assert sorted(table["offset"].to_pylist()) == list(range(26))
    assert table["kind"].to_pylist().count("erased") == 3
    assert "u3" not in table["user_id"].to_pylist()
    restore(target, tmp_path / "back", until=24)
    assert records(tmp_path / "back") == records(tmp_path / "shop", 24)
    with Recommender(tmp_path / "other") as other:
        other.append_events(events(0)).result(WAIT)
    with (
        open_log(url_of(tmp_path / "other" / "log.db"), read_only=True) as log,
        pytest.raises(InvalidInput, match="offsets went back"),
    ):
        archive_log(log, target)
    with (
        open_log(url_of(tmp_path / "other" / "log.db"), read_only=True) as log,
        pytest.raises(InvalidInput, match="neither empty nor an archive"),
    ):
        archive_log(log, tmp_path / "other")


def test_the_commands(tmp_path: Path) -> None:
    with Recommender(tmp_path / "shop") as rec:
        rec.append_events(events(0)).result(WAIT)

    def run(*words: str) -> str:
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output
        return result.output

    store, copy, back = (str(tmp_path / name) for name in ("shop", "copy", "back"))
    assert run("backup", "--store", store, copy) == f"{copy}: 3 records, no model.\n"
    assert "2 records" in run("restore", "--store", back, copy, "--until", "2")
    assert '"records": 3' in run("archive", "--store", store, str(tmp_path / "a"), "--json")


@pytest.mark.servers
def test_backups_of_a_log_in_postgresql(
    replica: OpenReplica, log_url: Callable[[str], str], tmp_path: Path
) -> None:
    first = replica("a")
    first.append_events(events(0, 60)).result(WAIT)
    first.forget("u3").result(WAIT)
    first.fit()
    done = backup(log_url("a"), tmp_path / "copy")
    assert (done.offset, done.model) == (61, first.model_id)
    with Recommender(tmp_path / "copy") as copy:
        assert digest(copy) == digest(first)
    other = log_url("b").replace("schema=", "schema=restored_").replace("snapshots%", "s2%")
    other = other.replace("%2Fsnapshots", "%2Fsnapshots2")
    restore(tmp_path / "copy", other)
    with Recommender(other) as rec:
        assert digest(rec) == digest(first)
        assert rec.append_events(events(59, 2)).result(WAIT).duplicates == 1
    with pytest.raises(InvalidInput, match="not empty"):
        restore(tmp_path / "copy", other)
