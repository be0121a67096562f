import signal
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest
from tests.cli.running import WAIT, run, started
from tests.server.serving import free_port, wait_until_ready

from nearline import Recommender


def test_serve_until_a_signal_comes(tmp_path: Path) -> None:
    port = free_port()
    store = tmp_path / "store"
    with started("serve", "--store", store, "--port", str(port), "--json") as process:
        assert process.stdout is not None
        opening = "".join(process.stdout.readline() for _ in range(3))
        assert f'"listening": "http://127.0.0.1:{port}"' in opening
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as http:
            wait_until_ready(http.get)
            event = {"user_id": "u1", "item_id": "i1"}
            assert http.post("/v1/events", json=event).json()["accepted"] == 1

        held = run("recommend", "--store", store, "u1")
        assert held.exit_code == 1
        assert f"process {process.pid}" in held.stderr
        assert "HTTP" in held.stderr

        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=WAIT)
        assert process.returncode == 0
    after = run("recommend", "--store", store, "u2", "--json")
    assert '"i1"' in after.stdout


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_other_addresses_need_a_key(tmp_path: Path, host: str) -> None:
    result = run("serve", "--store", tmp_path / "store", "--host", host)
    assert result.exit_code == 1
    assert "API key" in result.stderr


@pytest.mark.parametrize("held", [True, False])
def test_a_store_that_cannot_be_served_is_reported_without_a_traceback(
    tmp_path: Path, held: bool
) -> None:
    """Another process has it open, or its folder cannot be created."""
    folder = tmp_path / "shop" if held else Path("/proc/no-such-folder/shop")
    serve = ("serve", "--store", folder, "--port", str(free_port()))
    with Recommender(folder) if held else nullcontext(), started(*serve) as process:
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert ("is open in process" if held else "cannot be made") in err.splitlines()[-1]
