"""Clients in TypeScript and Python, generated from the OpenAPI document, tell the curl story."""

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.server.serving import LiveServer, start_server, stop_server

HERE = Path(__file__).parent
MODULES = HERE / "node_modules"
SECONDS = 300


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    live = start_server(tmp_path)
    yield live
    assert stop_server(live) == 0


def run(*command: object, cwd: Path) -> str:
    """Run a command that must succeed; return what it prints."""
    given = [str(word) for word in command]
    done = subprocess.run(
        given, cwd=cwd, capture_output=True, text=True, check=False, timeout=SECONDS
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def document(server: LiveServer, folder: Path) -> Path:
    path = folder / "openapi.json"
    path.write_text(httpx.get(f"{server.url}/openapi.json", timeout=60).text, encoding="utf-8")
    return path


@pytest.mark.skipif(
    not MODULES.is_dir() or shutil.which("node") is None,
    reason="needs the packages of tests/clients: npm ci",
)
def test_typescript(server: LiveServer, tmp_path: Path) -> None:
    folder = tmp_path / "typescript"
    folder.mkdir()
    for name in ("story.ts", "package.json"):
        shutil.copy(HERE / name, folder)
    (folder / "node_modules").symlink_to(MODULES)
    binaries = MODULES / ".bin"
    run(binaries / "openapi-typescript", document(server, tmp_path), "-o", "api.d.ts", cwd=folder)
    options = ("--strict", "--skipLibCheck", "--target", "es2022", "--types", "node")
    modules = ("--module", "nodenext", "--moduleResolution", "nodenext")
    run(binaries / "tsc", *options, *modules, "story.ts", cwd=folder)
    assert run("node", "story.js", server.url, cwd=folder) == "told\n"


@pytest.mark.skipif(
    importlib.util.find_spec("openapi_python_client") is None,
    reason="needs openapi-python-client: pip install openapi-python-client",
)
def test_python(server: LiveServer, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(
        json.dumps({"post_hooks": [], "project_name_override": "nearline-client"})
    )
    client = tmp_path / "nearline_client"
    generate = (sys.executable, "-m", "openapi_python_client", "generate", "--meta", "none")
    files = ("--path", document(server, tmp_path), "--output-path", client)
    printed = run(*generate, *files, "--config", tmp_path / "config.json", cwd=tmp_path)
    assert "arning" not in printed, printed
    assert run(sys.executable, HERE / "story.py.txt", client, server.url, cwd=tmp_path) == "told\n"
