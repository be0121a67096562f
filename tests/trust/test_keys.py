"""Keys: made, verified, rotated and revoked; tokens of users; rates."""

import json
import sqlite3
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.cli import main
from nearline.errors import DataNotFound, InvalidInput, StorageFailed
from nearline.trust.grants import ALL, BITS, SCOPES, scope_bits
from nearline.trust.keyring import Keyring
from nearline.trust.keys import KEY_CHARS, KeyStore
from nearline.trust.rates import MAX_BUCKETS, RequestRates
from nearline.trust.tokens import user_of, user_token


class Clock:
    now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_a_key_is_verified_and_only_its_hash_is_stored(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    assert not store.exists
    assert not Keyring(store, clock).required
    made = store.create(["read", "items"], now=1.0, label="shop", namespaces=["a"], rate=5.0)
    assert len(made.key) == KEY_CHARS
    assert made.token_secret is None
    ring = Keyring(store, clock)
    assert ring.required
    for _ in range(2):  # by its HMAC, then by a look-up
        grant = ring.grant(made.key.encode())
        assert grant is not None
        assert (grant.key_id, grant.scopes) == (made.id, BITS["read"] | BITS["items"])
        assert (grant.namespaces, grant.rate) == (frozenset("a"), 5.0)
    for path in tmp_path.iterdir():
        assert path.stat().st_mode & 0o077 == 0
        assert made.key[-43:].encode() not in path.read_bytes()


def test_no_other_bytes_are_a_key(tmp_path: Path, clock: Clock) -> None:
    made = KeyStore(tmp_path).create(["admin"], now=1.0)
    ring = Keyring(KeyStore(tmp_path), clock)
    key = made.key.encode()
    wrong = [b"", b"nl_", key[:-1], key + b"A", key.upper(), key.replace(b"nl_", b"xx_")]
    wrong += [key[:at] + bytes([key[at] ^ 1]) + key[at + 1 :] for at in range(len(key))]
    wrong += [b"\xff" * KEY_CHARS, b"nl_" + "ü".encode() * 28, b"a" * 100_000]
    assert ring.grant(key) is not None
    assert [ring.grant(one) for one in wrong] == [None] * len(wrong)


def test_a_running_server_follows_expiry_rotation_and_revocation(
    tmp_path: Path, clock: Clock
) -> None:
    store = KeyStore(tmp_path)
    old = store.create(["read"], now=clock.now, expires=clock.now + 100)
    ring = Keyring(store, clock)
    new = store.rotate(old.id, now=clock.now, overlap=10.0)
    ring.follow()
    assert ring.grant(old.key.encode()) is not None
    assert ring.grant(new.key.encode()) is not None
    clock.now += 10.0
    assert ring.grant(old.key.encode()) is None
    assert ring.grant(new.key.encode()) is not None
    with pytest.raises(InvalidInput):
        store.rotate(old.id, now=clock.now, overlap=10.0)
    store.revoke(new.id, now=clock.now)
    ring.follow()
    assert ring.grant(new.key.encode()) is None
    store.revoke(new.id, now=clock.now + 5)
    assert [key.revoked for key in store.listed(clock.now) if key.id == new.id] == [clock.now]
    (tmp_path / "access.db").unlink()
    ring.follow()
    assert ring.required  # a running server does not become open
    assert ring.grant(old.key.encode()) is None


def test_an_access_ends_when_its_key_does(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    made, other = (store.create(["read"], now=1.0, expires=2_000.0) for _ in range(2))
    ring = Keyring(store, clock)
    access = ring.access(made.key.encode())
    assert access is not None
    assert access is ring.access(made.key.encode())
    assert access.ends == 2_000.0
    store.note_used({made.id: 5.0})  # changes the file, and no key
    ring.follow()
    assert access.ends == 2_000.0
    store.revoke(other.id, now=clock.now)
    ring.follow()
    assert access.ends < 0
    again = ring.access(made.key.encode())
    assert again is not None
    assert again.ends == 2_000.0
    clock.now = 2_000.0
    assert ring.access(made.key.encode()) is None


def test_an_access_ends_when_too_many_keys_were_verified(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nearline.trust.keyring.MAX_VERIFIED", 1)
    store = KeyStore(tmp_path)
    first, second = (store.create(["read"], now=1.0) for _ in range(2))
    ring = Keyring(store, clock)
    access = ring.access(first.key.encode())
    assert ring.access(second.key.encode()) is not None
    assert access is not None
    assert access.ends < 0  # nobody keeps it, so nobody misses that the key was revoked
    ring.start()
    ring.stop()
    assert [key.last_used for key in store.listed(clock.now)] == [clock.now] * 2


def test_everybody_may_do_everything_until_the_first_key_is_made(
    tmp_path: Path, clock: Clock
) -> None:
    store = KeyStore(tmp_path)
    ring = Keyring(store, clock)
    ring.follow()
    assert ring.open.ends > clock.now
    made = store.create(["read"], now=1.0)
    ring.follow()
    assert ring.open.ends < clock.now
    assert ring.grant(made.key.encode()) is not None


def test_unreadable_keys_close_a_server(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    ring = Keyring(store, clock)
    store.path.write_bytes(b"x" * 5_000)
    ring.follow()
    assert ring.required
    assert ring.open.ends < clock.now


def test_the_last_use_is_recorded(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    used, unused = (store.create(["read"], now=1.0) for _ in range(2))
    ring = Keyring(store, clock)
    ring.start()
    ring.grant(used.key.encode())
    ring.stop()
    found = {key.id: key.last_used for key in store.listed(clock.now)}
    assert found == {used.id: clock.now, unused.id: None}


def test_without_its_secret_no_key_is_valid(tmp_path: Path, clock: Clock) -> None:
    store = KeyStore(tmp_path)
    made = store.create(["read"], now=1.0)
    (tmp_path / "access.key").unlink()
    ring = Keyring(store, clock)
    assert ring.grant(made.key.encode()) is None
    (tmp_path / "access.key").write_bytes(b"short")
    with pytest.raises(StorageFailed):
        store.create(["read"], now=1.0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["write"]},
        {"scopes": ["read", "events"], "publishable": True},
        {"scopes": ["read"], "origins": ["https://a.example"]},
        {"scopes": ["read"], "expires": 0.5},
        {"scopes": ["read"], "rate": 0.0},
        {"scopes": ["read"], "label": "\n"},
        {"scopes": ["read"], "namespaces": [""]},
    ],
)
def test_wrong_keys_are_not_made(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        KeyStore(tmp_path).create(now=1.0, **wrong)
    assert KeyStore(tmp_path).all() == {}
    with pytest.raises(DataNotFound):
        KeyStore(tmp_path / "no").create(["read"], now=1.0)


def test_a_damaged_database_is_reported(tmp_path: Path) -> None:
    store = KeyStore(tmp_path)
    store.create(["read"], now=1.0)
    store.path.write_bytes(b"x" * 5_000)
    with pytest.raises(StorageFailed):
        store.all()


def test_admin_includes_all_scopes() -> None:
    assert scope_bits(["admin"]) == ALL == scope_bits(SCOPES)
    assert scope_bits(["read"]) & BITS["privacy"] == 0


def test_a_token_names_a_user_until_it_expires() -> None:
    token = user_token("s" * 43, "ann/ü", 100.0).encode()
    assert user_of(token, "s" * 43, 99.0) == "ann/ü"
    assert user_of(token, "s" * 43, 100.0) is None
    assert user_of(token, "t" * 43, 99.0) is None
    for at in range(len(token)):
        assert user_of(token[:at] + bytes([token[at] ^ 1]) + token[at + 1 :], "s" * 43, 0.0) is None
    content = urlsafe_b64encode(b'{"user_id":"eve","expires":1e9}').rstrip(b"=")
    assert user_of(content + b".", "s" * 43, 0.0) is None
    assert user_of(b"", "s" * 43, 0.0) is None
    assert user_of(b"." * 100_000, "s" * 43, 0.0) is None


@settings(deadline=None, max_examples=50)
@given(st.floats(0.1, 1e4), st.floats(0.0, 5.0), st.lists(st.floats(0.0, 1.0), max_size=50))
def test_a_bucket_admits_as_many_as_its_rate_and_burst(
    rate: float, burst: float, waits: list[float]
) -> None:
    rates, now, admitted = RequestRates(rate, burst), 50.0, 0
    for wait in waits:
        now += wait
        for _ in range(3):
            late = rates.take("a", now)
            admitted += not late
            assert late >= 0.0
            if late:  # after that time there is a token again
                assert RequestRates.take(rates, "a", now + late + 1e-6) == 0.0
                admitted += 1
                now += late + 1e-6
    elapsed = now - 50.0
    assert admitted <= rate * (elapsed + max(burst, 1 / rate)) + 1e-3


def test_the_admitted_rate_is_within_one_percent() -> None:
    rates = RequestRates(100.0, burst=0.1)
    admitted = sum(rates.take("k", 0.001 * n) == 0.0 for n in range(100_000))
    assert admitted == pytest.approx(100.0 * 100.0, rel=0.01)


def test_buckets_are_bounded_and_independent() -> None:
    rates = RequestRates(1.0)
    assert rates.take("a", 0.0) == 0.0
    assert rates.take("b", 0.0) == 0.0
    assert rates.take("a", 0.0) == pytest.approx(1.0)
    assert rates.take("a", 0.0, 10.0) > 0
    assert RequestRates(None).take("a", 0.0) == 0.0
    for n in range(MAX_BUCKETS + 10):
        rates.take(n, 0.5)
    assert len(rates) <= MAX_BUCKETS


def test_keys_on_the_command_line(tmp_path: Path) -> None:
    where = ["--store", str(tmp_path), "--json"]

    def run(*words: str) -> Any:
        result = CliRunner().invoke(main, ["keys", *words, *where])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    made = run("create", "--scope", "read", "--scope", "events", "--expires", "90d", "--label", "x")
    assert set(made) == {"id", "key", "token_secret"}
    public = run("create", "--publishable", "--origin", "https://shop.example")
    assert len(public["token_secret"]) == 43
    turned = run("create", "--rotate", made["id"], "--overlap", "1h")
    run("revoke", public["id"])
    keys = {key["id"]: key for key in run("list")["keys"]}
    assert keys[made["id"]]["scopes"] == ["read", "events"]
    assert keys[made["id"]]["expires"] < keys[made["id"]]["created"] + 4_000
    assert keys[turned["id"]]["label"] == "x"
    assert [keys[one["id"]]["valid"] for one in (made, public, turned)] == [True, False, True]
    listed = CliRunner().invoke(main, ["keys", "list", "--store", str(tmp_path)]).stdout
    assert made["id"] in listed
    assert made["key"] not in listed
    for words in (
        ["create"],
        ["create", "--scope", "all"],
        ["create", "--rotate", made["id"], "--scope", "read"],
        ["create", "--scope", "read", "--expires", "soon"],
    ):
        assert CliRunner().invoke(main, ["keys", *words, *where]).exit_code == 2
    assert CliRunner().invoke(main, ["keys", "revoke", "nope", *where]).exit_code == 1
    db = sqlite3.connect(tmp_path / "access.db")
    assert db.execute("SELECT count(*) FROM keys").fetchone() == (3,)
    db.close()
