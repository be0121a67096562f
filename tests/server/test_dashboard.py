"""The files of the dashboard: what is served, how, and that they match their sources."""

import gzip
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline.server
from nearline.engine import Recommender
from nearline.server import Gateway, create_app

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "ui"
BUILT = Path(nearline.server.__file__).parent / "static"
MAX_BUNDLE = 80_000
FILES = ("/ui", "/ui/app.js", "/ui/app.css", "/ui/icon.svg")
Client = TestClient[Gateway]


@pytest.fixture
def locked() -> Iterator[Client]:
    app = create_app(Recommender, api_key="secret", log_stream=io.StringIO())
    with TestClient(app, raise_server_exceptions=False) as client:
        wait_until_ready(client.get)
        yield client


def source_hash(folder: Path) -> str:
    """The hash of ui/build.mjs: paths and texts of all sources."""
    names = [path.relative_to(folder) for path in (folder / "src").rglob("*") if path.is_file()]
    digest = hashlib.sha256()
    for name in sorted([*(one.as_posix() for one in names), "package.json", "build.mjs"]):
        digest.update(name.encode() + b"\0" + (folder / name).read_bytes() + b"\0")
    return digest.hexdigest()


def messages(language: str) -> dict[str, str]:
    found: dict[str, str] = json.loads(
        (SOURCES / "src" / "messages" / f"{language}.json").read_text()
    )
    return found


def test_the_bundle_was_made_from_the_sources() -> None:
    first = (BUILT / "app.js").read_text(encoding="utf-8").split("\n", 1)[0]
    assert first == f"/* sources {source_hash(SOURCES)} */", "run `make ui` and commit the result"
    for name in ("index.html", "icon.svg"):
        assert (BUILT / name).read_bytes() == (SOURCES / "src" / name).read_bytes()


def test_a_changed_source_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    for name in ("src/a.js", "package.json", "build.mjs"):
        (tmp_path / name).write_text("1")
    before = source_hash(tmp_path)
    (tmp_path / "src" / "a.js").write_text("2")
    assert source_hash(tmp_path) != before


def test_the_bundle_is_small() -> None:
    assert len(gzip.compress((BUILT / "app.js").read_bytes())) <= MAX_BUNDLE


def test_the_licences_of_the_libraries_are_passed_on() -> None:
    text = (BUILT / "LICENSES.txt").read_text(encoding="utf-8")
    for name in ("preact", "htm", "@preact/signals", "uplot", "d3-force"):
        assert f"\n{name}\n" in f"\n{text}"


def test_the_files_name_no_other_host() -> None:
    allowed = {"http://www.w3.org", "http://www.apache.org", "https://github.com"}
    for path in BUILT.iterdir():
        hosts = set(re.findall(r"https?://[\w.-]+", path.read_text(encoding="utf-8")))
        assert hosts <= allowed, path.name


def test_both_languages_have_the_same_texts_and_placeholders() -> None:
    english, chinese = messages("en"), messages("zh")
    assert english.keys() == chinese.keys()
    for key, text in english.items():
        assert chinese[key], key
        holes = re.findall(r"\{\w+\}", text)
        assert set(re.findall(r"\{\w+\}", chinese[key])) == set(holes), key


def test_every_text_of_the_sources_exists_and_every_text_is_used() -> None:
    code = "\n".join(path.read_text(encoding="utf-8") for path in (SOURCES / "src").rglob("*.js"))
    used = set(re.findall(r'"([a-z_]+(?:\.[a-z0-9_]+)*)"', code))
    asked = set(re.findall(r'\bt\(\s*"([^"]+)"', code))
    families = tuple(re.findall(r"\b(?:t|known)\(`([a-z_.]+\.)\$\{", code))
    english = messages("en")
    assert asked <= english.keys()
    assert {key for key in english if key not in used and not key.startswith(families)} == set()


@pytest.mark.parametrize("path", FILES)
def test_files_may_load_nothing_from_elsewhere(client: Client, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"].split("; ")
    assert policy[0] == "default-src 'self'"
    assert "unsafe" not in " ".join(policy)
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("path", FILES)
def test_an_unchanged_file_is_not_sent_again(client: Client, path: str) -> None:
    first = client.get(path)
    again = client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get(path, headers={"If-None-Match": '"other"'}).content == first.content


def test_files_are_compressed_where_the_client_allows_it(client: Client) -> None:
    packed = client.get("/ui/app.js", headers={"Accept-Encoding": "gzip"})
    plain = client.get("/ui/app.js", headers={"Accept-Encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert packed.content == plain.content == (BUILT / "app.js").read_bytes()
    assert packed.headers["vary"] == "Accept-Encoding"


@pytest.mark.parametrize("name", ["index.html", "missing.js", "..%2Fapp.py", "%2e%2e", "app.js%00"])
def test_no_other_file_is_served(client: Client, name: str) -> None:
    answer = client.get(f"/ui/{name}")
    assert answer.status_code in (400, 404)
    assert answer.headers["content-type"] == "application/problem+json"


def test_files_need_no_key_but_data_does(locked: Client) -> None:
    assert {locked.get(path).status_code for path in FILES} == {200}
    assert locked.get("/ui/missing.js").status_code == 401
    assert locked.get("/v1/snapshots").status_code == 401
    assert locked.get("/v1/snapshots", headers={"X-API-Key": "secret"}).status_code == 200


def test_files_are_for_allowed_hosts_only() -> None:
    app = create_app(Recommender, allowed_hosts=frozenset(), log_stream=io.StringIO())
    with TestClient(
        app, base_url="http://nearline.localhost", raise_server_exceptions=False
    ) as client:
        assert client.get("/ui").status_code == 200
        assert client.get("/ui", headers={"Host": "other.example"}).status_code == 403
