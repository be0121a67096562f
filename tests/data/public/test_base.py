"""Downloads from a real HTTPS server and with pip, and their failures."""

import hashlib
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from nearline.data.public.base import (
    check_digest,
    download,
    download_wheel,
    read_members,
    store_members,
)
from nearline.errors import DataNotFound, InvalidInput

CONTENT = b"0123456789" * 20_000


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Address of a server with ``file.bin``, whose certificate is trusted here."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed; it makes the certificate of the test server")
    site = tmp_path / "site"
    site.mkdir()
    (site / "file.bin").write_bytes(CONTENT)
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-keyout", str(key), "-out", str(certificate), "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(command, check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("no_proxy", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    http = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site)))
    http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = Thread(target=http.serve_forever)
    thread.start()
    yield f"https://localhost:{http.server_port}"
    http.shutdown()
    thread.join()
    http.server_close()


def test_download(server: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int, str]] = []
    target = tmp_path / "new" / "file.bin"
    digest = hashlib.sha256(CONTENT).hexdigest()
    download(f"{server}/file.bin", target, sha256=digest, progress=lambda *step: seen.append(step))
    assert target.read_bytes() == CONTENT
    assert seen[-1] == (200_000, 200_000, "file.bin")
    assert [path.name for path in target.parent.iterdir()] == ["file.bin"]


def test_a_file_with_another_checksum_is_not_kept(server: str, tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.bin"
    with pytest.raises(DataNotFound, match="expected is 00"):
        download(f"{server}/file.bin", target, sha256="00")
    assert not any(target.parent.iterdir())


def test_a_file_that_the_server_does_not_have(server: str, tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="cannot be fetched: HTTP Error 404"):
        download(f"{server}/other.bin", tmp_path / "x")


def test_no_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "localhost")
    with pytest.raises(DataNotFound, match="cannot be fetched"):
        download("https://localhost:1/x", tmp_path / "x")


def test_only_https(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="not https"):
        download("file:///etc/passwd", tmp_path / "x")


def test_pip_has_a_time_limit(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="took more than"):
        download_wheel("nearline-no-such==1", tmp_path, sha256="", timeout=0.01)


def test_digests() -> None:
    check_digest("x", "ab", None)
    check_digest("x", "ab", "ab")
    with pytest.raises(DataNotFound, match="changed or damaged"):
        check_digest("x", "ab", "cd")


def test_folders_appear_atomically_and_the_first_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "set"
    store_members(folder, {"a": b"1", "b": b"2"})
    assert read_members(folder, ["a", "b", "c"]) == {"a": b"1", "b": b"2"}
    store_members(folder, {"a": b"3"})
    assert read_members(folder, ["a"]) == {"a": b"1"}
    assert [path.name for path in folder.parent.iterdir()] == ["set"]
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file"):
        store_members(tmp_path / "file", {"a": b"1"})
