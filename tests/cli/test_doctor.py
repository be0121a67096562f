import json
import os
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline.cli import doctor
from nearline.engine import Recommender


def check(name: str, *arguments: str | Path) -> dict[str, str]:
    entries = json.loads(run("doctor", *arguments, "--json").stdout)["checks"]
    found: dict[str, str] = next(entry for entry in entries if entry["name"] == name)
    return found


def test_all_is_well(shop: Path) -> None:
    found = run_json("doctor", "--store", shop)
    assert found["ok"]
    names = [entry["name"] for entry in found["checks"]]
    assert names == ["python", "packages", "sqlite", "compiler cache", "disk", "store"]
    store = found["checks"][-1]
    assert store["status"] == "ok"
    assert "68 records, 20 users, 8 items" in store["found"]


def test_words_for_people_without_a_store() -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "sqlite" in result.stdout


def test_a_store_in_use_is_named_with_its_holder(shop: Path) -> None:
    with Recommender(shop):
        found = check("store", "--store", shop)
    assert found["status"] == "warning"
    assert str(os.getpid()) in found["next_step"]


def test_a_store_that_was_never_trained(tmp_path: Path, events: Path) -> None:
    run_json("import", "--store", tmp_path / "store", events)
    found = check("store", "--store", tmp_path / "store")
    assert found["status"] == "warning"
    assert found["next_step"].endswith(f"nearline train --store {tmp_path / 'store'}")


@pytest.mark.parametrize("name", ["none", "damaged"])
def test_a_store_that_cannot_be_opened_fails(tmp_path: Path, name: str) -> None:
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "log.db").write_bytes(b"this is no log" * 1_000)
    result = run("doctor", "--store", tmp_path / name)
    assert result.exit_code == 1
    assert "store: " in result.stdout


def test_a_missing_package_and_an_old_sqlite_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    found = check("packages")
    assert found["status"] == "failed"
    assert found["found"].startswith("numpy ")
    assert "no-such-package missing" in found["next_step"]
    monkeypatch.setattr("apsw.sqlite_lib_version", lambda: "3.50.4")
    found = check("sqlite")
    assert (found["status"], found["found"]) == ("failed", "3.50.4")
    assert "SQLite 3.51.3 or newer" in found["next_step"]
    assert run("doctor").exit_code == 1


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_DISK", 1 << 80)
    assert check("disk")["status"] == "warning"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/no-such-folder")
    found = check("compiler cache")
    assert found["status"] == "warning"
    assert "NUMBA_CACHE_DIR" in found["next_step"]
