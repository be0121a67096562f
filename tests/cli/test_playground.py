"""nearline playground: a file becomes a dashboard with a tour."""

from pathlib import Path

import httpx
import pytest
from tests.cli.running import WAIT, run
from tests.forking import ForkedCommand
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.cli.playground import open_browser, tour_url, tour_user
from nearline.testing.servers.ports import free_port

ROWS = [
    f"u{user},i{(user + step) % 9},{1_700_000_000 + step}" for user in range(6) for step in range(6)
]


def test_a_file_is_served_with_a_tour(tmp_path: Path) -> None:
    file = tmp_path / "events.csv"
    file.write_text("user_id,item_id,timestamp\n" + "\n".join(ROWS) + "\n")
    port, store = free_port(), tmp_path / "store"
    arguments = ("playground", file, "--store", store, "--port", str(port), "--no-browser")
    with ForkedCommand(*arguments) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=WAIT) as http:
            wait_until_ready(http.get)
            assert http.get("/ui").status_code == 200
            assert len(http.get("/v1/users/u0").json()["history"]) == 6
            assert http.get("/v1/snapshots").json()["snapshots"]
        process.terminate()
        output, _ = process.communicate(timeout=WAIT)
        assert process.returncode == 0
    assert f"The tour: http://127.0.0.1:{port}/ui#/tour/u0" in output
    with nl.Recommender.load(store) as rec:
        assert rec.n_users == 6


def test_the_user_of_the_tour_has_reasons() -> None:
    with nl.Recommender() as rec:
        assert tour_user(rec) is None
        rec.observe(user_id="a", item_id="x")
        assert tour_user(rec) == "a"
        for item in "vwxyz":
            rec.observe(user_id="b/c", item_id=item)
        assert tour_user(rec) == "b/c"
    assert tour_url(80, "b/c") == "http://127.0.0.1:80/ui#/tour/b%2Fc"
    assert tour_url(80, None) == "http://127.0.0.1:80/ui#/tour"


def test_no_browser_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    open_browser("http://127.0.0.1:1/ui")
    assert opened == []
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    open_browser("http://127.0.0.1:1/ui")
    assert opened == ["http://127.0.0.1:1/ui"]


def test_a_missing_file_is_reported() -> None:
    result = run("playground", "missing.csv", "--no-browser")
    assert result.exit_code == 1
    assert "missing.csv" in result.stderr
