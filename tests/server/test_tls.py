"""TLS: the server's certificate, clients with and without one, and files that cannot be used."""

import shutil
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.forking import NOTHING, Forked
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server import Tls, serve
from nearline.server.run import check_tls
from nearline.testing.servers.ports import free_port


def run_server(folder: Path, number: int) -> None:
    tls = Tls(
        certificate=folder / "server.pem",
        key=folder / "server.key",
        client_authority=folder / "ca.pem",
    )
    serve(Recommender, port=number, tls=tls)


def openssl(*words: str) -> None:
    command = shutil.which("openssl")
    if command is None:
        pytest.skip("openssl is not installed")
    subprocess.run([command, *words], check=True, capture_output=True)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, and certificates of a server and a client that it signed."""
    folder = tmp_path_factory.mktemp("tls")
    new = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    path = {name: str(folder / name) for name in ("ca.pem", "ca.key", "names")}
    basic = ("-addext", "basicConstraints=critical,CA:TRUE")
    usage = ("-addext", "keyUsage=critical,keyCertSign")
    authority = ("-keyout", path["ca.key"], "-out", path["ca.pem"], "-subj", "/CN=authority")
    openssl("req", "-x509", *new, *authority, *basic, *usage)
    Path(path["names"]).write_text(
        "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n"
    )
    for name in ("server", "client"):
        key, request, made = (str(folder / f"{name}.{end}") for end in ("key", "csr", "pem"))
        openssl("req", *new, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        signer = ("-CA", path["ca.pem"], "-CAkey", path["ca.key"], "-CAcreateserial")
        extensions = ("-extfile", path["names"], "-days", "1")
        openssl("x509", "-req", "-in", request, "-out", made, *signer, *extensions)
    return folder


@pytest.fixture(scope="module")
def port(certificates: Path) -> Iterator[int]:
    number = free_port()
    process = Forked(NOTHING, run_server, certificates, number)
    yield number
    process.terminate()
    assert process.wait(timeout=180) == 0


def context_of(folder: Path, *, with_client: bool) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    if with_client:
        context.load_cert_chain(folder / "client.pem", folder / "client.key")
    return context


def test_only_clients_with_a_certificate_are_accepted(certificates: Path, port: int) -> None:
    url = f"https://127.0.0.1:{port}"
    with httpx.Client(
        base_url=url, verify=context_of(certificates, with_client=True), timeout=120.0
    ) as client:
        wait_until_ready(client.get)
        assert client.get("/v1/popular").status_code == 200
    context = context_of(certificates, with_client=False)
    with (
        httpx.Client(base_url=url, verify=context, timeout=120.0) as client,
        pytest.raises(httpx.TransportError),
    ):
        client.get("/v1/popular")
    plain = url.replace("https", "http")
    with httpx.Client(base_url=plain, timeout=120.0) as client, pytest.raises(httpx.TransportError):
        client.get("/v1/popular")


def test_files_that_cannot_be_used_are_reported(certificates: Path, tmp_path: Path) -> None:
    good: dict[str, Any] = {
        "certificate": certificates / "server.pem",
        "key": certificates / "server.key",
    }
    check_tls(Tls(**good))
    text = tmp_path / "text"
    text.write_text("no PEM")
    for wrong in (
        good | {"certificate": tmp_path / "missing"},
        good | {"key": certificates / "client.key"},
        good | {"certificate": text},
        good | {"client_authority": text},
    ):
        with pytest.raises(InvalidInput, match="TLS"):
            check_tls(Tls(**wrong))
