import shlex
import signal
import socket
from pathlib import Path
from typing import Any

import httpx
import pyarrow.csv
import pytest
from tests.cli.running import WAIT, run, run_json
from tests.forking import ForkedCommand
from tests.server.serving import wait_until_ready

from nearline.data import load_dataset, synthetic_shop
from nearline.errors import DataNotFound
from nearline.testing.servers.ports import free_port

MODELS = ["popularity", "trending", "item graph", "item graph + text"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return the arguments that name the files of a small synthetic shop."""
    folder = tmp_path_factory.mktemp("synthetic")
    shop = synthetic_shop(users=150, items=60, events=3_000, seed=0)
    columns = ["user_id", "item_id", "timestamp", "event"]
    pyarrow.csv.write_csv(shop.interactions.select(columns), folder / "events.csv")
    catalogue = pyarrow.table(
        {
            "item_id": [item.item_id for item in shop.items],
            "title": [item.title for item in shop.items],
        }
    )
    pyarrow.csv.write_csv(catalogue, folder / "items.csv")
    return ["--dataset", str(folder / "events.csv"), "--items", str(folder / "items.csv")]


def check(shown: Any) -> None:
    """Check properties of every demo's document."""
    assert list(shown["after_the_split"]) == list(shown["last_step_live"]) == MODELS
    for name, report in shown["last_step_live"].items():
        low, high = report["intervals"]["ndcg@10"]
        assert low <= report["means"]["ndcg@10"] <= high, name
        assert {"recall@10", "precision@10", "coverage@10", "novelty@10"} <= set(report["means"])
    live = shown["last_step_live"]
    assert live["item graph"]["means"]["ndcg@10"] > live["popularity"]["means"]["ndcg@10"]
    assert len(shown["items"]) == 10
    personal = [line for line in shown["items"] if line["tier"] == "personal"]
    assert personal
    for line in personal:
        amounts = [part["amount"] for part in line["reasons"]]
        assert amounts == sorted(amounts, reverse=True)
        assert 0 < sum(amounts) <= line["score"] * 1.000001
        assert all(part["source"] for part in line["reasons"])


def test_document(files: list[str]) -> None:
    shown = run_json("demo", "--exit", *files)
    check(shown)
    assert shown["trained_on"] == pytest.approx(0.8 * shown["interactions"], rel=0.01)


def test_the_output_as_text(files: list[str]) -> None:
    result = run("demo", "--exit", *files)
    assert result.exit_code == 0
    for word in (*MODELS, "ndcg@10", "novelty@10", "in test part", "transitions with"):
        assert word in result.stdout
    assert "curl" not in result.stdout


def test_data_without_returning_users_is_refused(tmp_path: Path) -> None:
    once = tmp_path / "once.csv"
    rows = [f"u{n},i{n % 7},{1_700_000_000 + n}" for n in range(100)]
    once.write_text("\n".join(["user_id,item_id,timestamp", *rows]))
    result = run("demo", "--exit", "--dataset", once)
    assert result.exit_code == 1
    assert "returning users" in result.stderr


def test_a_port_in_use_is_reported_before_the_training(files: list[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run("demo", "--port", str(other.getsockname()[1]), *files)
    assert result.exit_code == 1
    assert "port" in result.stderr


def test_the_printed_list_is_served_until_an_interrupt(files: list[str]) -> None:
    port = free_port()
    with ForkedCommand("demo", "--port", str(port), *files) as process:
        printed = []
        for line in process.stdout:
            printed.append(line)
            if line.startswith("Listening"):
                break
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as http:
            wait_until_ready(http.get)
            example = next(line for line in printed if line.startswith("  curl"))
            items = http.get(shlex.split(example)[1]).json()["items"]
        assert len(items) == 10
        assert all(f"{item['score']:#.4g}" in "".join(printed) for item in items)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT)
        assert process.returncode == 0


def test_movielens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_CACHE", str(tmp_path))
    try:
        whole = load_dataset("movielens-100k")
    except DataNotFound as error:
        pytest.skip(f"MovieLens-100K cannot be had here: {error}")
    assert whole.interactions.num_rows == 100_000
    n_events = keep_users(tmp_path / "movielens-100k", 100)
    shown = run_json("demo", "--exit")
    check(shown)
    assert shown["interactions"] == n_events
    assert all(line["title"] for line in shown["items"])


def keep_users(cached: Path, n_users: int) -> int:
    """Keep only the ratings of the first users in the cached file; return their number."""
    (ratings,) = (cached / name for name in ("u.data", "ml-100k.inter") if (cached / name).exists())
    lines = ratings.read_text().splitlines(keepends=True)
    kept = [line for line in lines if not line[0].isdigit() or int(line.split()[0]) <= n_users]
    ratings.write_text("".join(kept))
    return sum(line[0].isdigit() for line in kept)
