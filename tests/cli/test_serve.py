import signal
from contextlib import nullcontext
from pathlib import Path

import click
import httpx
import pytest
from tests.cli.running import WAIT, run, started
from tests.forking import ForkedCommand
from tests.server.serving import wait_until_ready

from nearline import Recommender
from nearline.cli.ranges import ByteSize
from nearline.common.budget import LEAST_BYTES, MOST_BYTES
from nearline.testing.servers.ports import free_port


def test_serve_until_a_signal_comes(tmp_path: Path) -> None:
    port = free_port()
    store = tmp_path / "store"
    with started("serve", "--store", store, "--port", str(port), "--json") as process:
        assert process.stdout is not None
        opening = "".join(process.stdout.readline() for _ in range(3))
        assert f'"listening": "http://127.0.0.1:{port}"' in opening
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120.0) as http:
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
    with Recommender(folder) if held else nullcontext(), ForkedCommand(*serve) as process:
        _, err = process.communicate(timeout=WAIT)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert ("is open in process" if held else "cannot be made") in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2GB", 2_000_000_000),
        ("512mb", 512_000_000),
        ("1.5 gb", 1_500_000_000),
        ("200000000", 200_000_000),
        ("2e9", None),
        ("127MB", None),
        ("2GiB", None),
        ("-1GB", None),
    ],
)
def test_sizes_are_read_with_their_units(text: str, size: int | None) -> None:
    kind = ByteSize(LEAST_BYTES, MOST_BYTES)
    if size is not None:
        assert kind.convert(text, None, None) == size
    else:
        with pytest.raises(click.BadParameter, match=r"not a size such as 2GB|128MB to 1000000GB"):
            kind.convert(text, None, None)
