import json
import os
import re
from importlib import import_module
from importlib.metadata import requires
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

from nearline.cli import doctor
from nearline.cli.doctor import PACKAGES
from nearline.common.compiler_cache import cache_folders, is_empty
from nearline.common.counts import count
from nearline.engine import Recommender
from nearline.jobs.training import TRAINING_KERNEL


def check(name: str, *arguments: str | Path) -> dict[str, str]:
    entries = json.loads(run("doctor", *arguments, "--json").stdout)["checks"]
    found: dict[str, str] = next(entry for entry in entries if entry["name"] == name)
    return found


def test_all_checks_pass(shop: Path) -> None:
    found = run_json("doctor", "--store", shop)
    assert found["ok"]
    names = [entry["name"] for entry in found["checks"]]
    assert names == ["python", "packages", "sqlite", "compiler cache", "disk", "store"]
    store = found["checks"][-1]
    assert store["status"] == "ok"
    assert "68 records, 20 users, 8 items" in store["found"]


def test_the_output_as_text_without_a_store() -> None:
    result = run("doctor")
    assert result.exit_code == 0
    assert "sqlite" in result.stdout


def test_a_store_in_use_is_reported_with_its_process(shop: Path) -> None:
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


def test_kernels_are_compiled_on_request() -> None:
    result = run("doctor", "--compile", "--json")
    assert "Compiling" in result.stderr
    assert json.loads(result.stdout)["ok"]


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "LITTLE_DISK", 1 << 80)
    assert check("disk")["status"] == "warning"


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/proc/no-such-folder")
    found = check("compiler cache")
    assert found["status"] == "warning"
    assert "NUMBA_CACHE_DIR" in found["next_step"]


def test_only_required_packages_are_checked() -> None:
    needed = [line for line in requires("nearline") or [] if "extra ==" not in line]
    names = {re.split(r"[^A-Za-z0-9-]", line)[0] for line in needed}
    assert set(PACKAGES) - {"nearline"} <= names


def test_the_singular_is_used_for_one(tmp_path: Path) -> None:
    with Recommender(tmp_path / "store") as engine:
        engine.observe("u", "i")
    assert "1 record, 1 user, 1 item" in check("store", "--store", tmp_path / "store")["found"]


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (0, "user", "0 users"),
        (1, "user", "1 user"),
        (2, "item", "2 items"),
        (1, "entry", "1 entry"),
        (2, "entry", "2 entries"),
        (1_000, "interaction", "1,000 interactions"),
        (2, "day", "2 days"),
        (1, "part file", "1 part file"),
    ],
)
def test_numbers_and_nouns(number: int, noun: str, text: str) -> None:
    assert count(number, noun) == text


def test_whether_kernels_were_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert cache_folders() == [tmp_path]
    assert is_empty()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "slab.append-31.py311.nbi").touch()
    assert not is_empty()
    # Opening a store compiles some kernels, and training others.
    assert is_empty(TRAINING_KERNEL)
    (tmp_path / "sub" / f"{TRAINING_KERNEL}-299.py311.nbi").touch()
    assert not is_empty(TRAINING_KERNEL)


def test_training_compiles_the_kernel_that_is_looked_for() -> None:
    module, function = TRAINING_KERNEL.split(".")
    assert hasattr(import_module(f"nearline.kernels.{module}"), function)


def test_a_store_with_a_model_that_could_not_be_measured_is_trained(tmp_path: Path) -> None:
    table = tmp_path / "one.csv"
    table.write_text("user_id,item_id,timestamp\nu,i,1600000000\n")
    store = tmp_path / "store"
    said = run("import", "--store", store, table).stdout
    assert "1 record stored; " in said
    assert "contains 1 user and 1 item." in said
    said = run("train", "--store", store).stdout
    assert "1 user, 1 item, 1 record." in said
    assert "Accuracy is unknown: no user has two interactions" in said
    assert check("store", "--store", store)["status"] == "ok"


def test_kernels_that_were_compiled_into_a_read_only_folder_are_enough(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("nearline.cli.doctor._writable", lambda folder: False)
    assert check("compiler cache")["status"] == "warning"
    (tmp_path / "slab.append-31.py311.nbi").touch()
    assert check("compiler cache")["status"] == "ok"
