"""Servers for tests: started, ended at once, frozen, and skipped where a program is missing."""

import pytest

from nearline.testing.servers import PostgresServer, postgres, require

psycopg = pytest.importorskip("psycopg")


def first(server: PostgresServer, query: str) -> object:
    with psycopg.connect(server.url(), autocommit=True) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


@pytest.mark.servers
def test_a_killed_server_starts_again_with_its_data() -> None:
    with postgres(15) as server:
        with psycopg.connect(server.url()) as connection:
            connection.execute("CREATE TABLE t AS SELECT 7 AS x")
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            first(server, "SELECT 1")
        server.start()
        assert first(server, "SELECT x FROM t") == 7
        server.freeze()
        server.thaw()
        assert first(server, "SELECT x FROM t") == 7
    assert not server.folder.exists()


@pytest.mark.servers
def test_the_version_is_the_one_asked_for(postgres18: PostgresServer) -> None:
    assert str(first(postgres18, "SHOW server_version")).startswith("18.")


def test_a_missing_program_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="install the package postgresql-9"):
        postgres(9)
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="thing is missing; to run this test, get it"):
        require("thing", "get it")
