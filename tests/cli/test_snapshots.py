"""The commands `snapshots`, `promote` and `rollback`."""

from pathlib import Path

from tests.cli.running import run, run_json

from nearline.engine import Recommender


def test_listed_promoted_and_rolled_back(tmp_path: Path, events: Path) -> None:
    store = tmp_path / "store"
    run_json("import", "--store", store, events)
    first = run_json("train", "--store", store)["model"]
    second = run_json("train", "--store", store, "--model", "popularity")["model"]
    shown = run_json("snapshots", "--store", store)["snapshots"]
    assert [(one["id"], one["model"], one["serving"]) for one in shown] == [
        (first, "item_graph", False),
        (second, "popularity", True),
    ]
    table = run("snapshots", "--store", store).stdout
    assert [line.split()[:3] for line in table.splitlines()[2:]] == [
        [first, "promoted", "item_graph"],
        [second, "active", "popularity"],
    ]
    assert run_json("rollback", "--store", store)["id"] == first
    assert run_json("recommend", "--store", store, "u1")["model"] == first
    assert f"Model {second} is active" in run("promote", "--store", store, second).stdout
    assert run_json("recommend", "--store", store, "u1")["model"] == second


def test_if_a_server_has_the_store_open_the_error_names_its_route(
    tmp_path: Path, events: Path
) -> None:
    store = tmp_path / "store"
    run_json("import", "--store", store, events)
    run_json("train", "--store", store)
    with Recommender(store) as rec:
        assert run_json("snapshots", "--store", store)["snapshots"][0]["id"] == rec.model_id
        for command, call in [
            (["train"], 'POST /v1/jobs {"kind": "train"}'),
            (["promote", rec.model_id], f"POST /v1/snapshots/{rec.model_id}:promote"),
            (["rollback"], "POST /v1/snapshots:rollback"),
        ]:
            result = run(*command, "--store", store)
            assert result.exit_code == 1
            assert result.stderr.strip().endswith(f"If a server has it open, send {call}")


def test_invalid_snapshots_are_refused(tmp_path: Path, events: Path) -> None:
    store = tmp_path / "store"
    assert "there is no store" in run("snapshots", "--store", store).stderr
    run_json("import", "--store", store, events)
    assert run_json("snapshots", "--store", store)["snapshots"] == []
    assert "train again" in run("rollback", "--store", store).stderr
    assert (
        "no snapshot 0123456789abcdef"
        in run("promote", "--store", store, "0123456789abcdef").stderr
    )
    assert "16 hex digits" in run("promote", "--store", store, "x").stderr
