"""Statistics with noise over HTTP and on the command line, within the privacy budget."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.cli import main
from nearline.server import create_app
from nearline.server.security import Security
from nearline.trust.audit import LOG
from nearline.trust.keys import KeyStore

URL = "/v1/statistics"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "nearline.toml").write_text("privacy_budget = 1.0\n")
    with nl.Recommender(tmp_path / "shop") as rec:
        rec.put_item("tea", text="tea", categories=["drinks"])
        for user in range(400):
            rec.observe(f"u{user}", "tea")
    return tmp_path / "shop"


def test_release_and_budget(folder: Path) -> None:
    key = KeyStore(folder).create(["privacy"], now=time.time())
    security, headers = Security(audit=True), {"Authorization": f"Bearer {key.key}"}
    app = create_app(lambda: nl.Recommender(folder), keys=folder, security=security)
    with TestClient(app) as client:
        wait_until_ready(client.get)
        asked: dict[str, Any] = {"of": "items", "epsilon": 0.75, "per_user": 2}
        assert client.post(URL, json=asked).status_code == 401
        answer = client.post(URL, json=asked, headers=headers)
        assert answer.status_code == 200
        found = answer.json()
        (line,) = found.pop("counts")
        assert line["name"] == "tea"
        # The probability of more noise is exp(-200 * 0.75 / 2), below 1e-32.
        assert abs(line["users"] - 400) < 200
        assert found == {
            **{"of": "items", "epsilon": 0.75, "per_user": 2, "left": 0.25},
            "noise": pytest.approx(2 / 0.75),
        }
        refused = client.post(URL, json=asked, headers=headers)
        assert (refused.status_code, refused.json()["type"]) == (
            409,
            "urn:nearline:problem:budget-spent",
        )
        budget = client.get(URL, headers=headers).json()
        assert (budget["total"], budget["spent"], budget["left"]) == (1.0, 0.75, 0.25)
        assert [one["statistic"] for one in budget["releases"]] == ["items"]
        for wrong in (
            {"of": "secrets", "epsilon": 0.1},
            {"of": "items", "epsilon": 0},
            {"of": "items", "epsilon": 0.1, "per_user": 0},
            {"of": "items", "epsilon": 0.1, "k": 0},
            {"of": "items", "epsilon": 0.1, "seed": 1},
            {"of": "items"},
        ):
            assert client.post(URL, json=wrong, headers=headers).status_code == 400
        assert client.get(URL, headers=headers).json() == budget
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    audited = [
        (line["phase"], line["method"], line["status"] if line["phase"] == "end" else 0)
        for line in lines
        if line.get("route") == URL and line.get("key") == key.id
    ]
    assert audited[:4] == [
        *(("begin", "POST", 0), ("end", "POST", 200)),
        *(("begin", "POST", 0), ("end", "POST", 409)),
    ]


def test_on_the_command_line(folder: Path) -> None:
    def run(*given: str) -> Any:
        return CliRunner().invoke(main, ["statistics", *given, "--store", str(folder)])

    released = run("release", "--of", "users", "--epsilon", "0.5", "--json")
    assert released.exit_code == 0, released.output
    assert abs(json.loads(released.output)["counts"][0]["users"] - 400) < 200
    assert "Left of the budget: 0.25" in run("release", "--of", "items", "--epsilon", ".25").output
    refused = run("release", "--of", "items", "--epsilon", "0.3")
    assert refused.exit_code == 1
    assert "0.25 of the privacy_budget of 1 is left" in refused.output
    shown = run("budget").output
    assert "Spent: 0.75 of 1. Left: 0.25." in shown
    assert json.loads(run("budget", "--json").output)["spent"] == 0.75


def test_there_is_no_budget_by_default() -> None:
    with TestClient(create_app(nl.Recommender)) as client:
        wait_until_ready(client.get)
        refused = client.post(URL, json={"of": "users", "epsilon": 0.1})
        assert refused.status_code == 409
        assert "privacy_budget is 0" in refused.json()["detail"]
