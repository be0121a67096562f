"""Files of lines as a source: positions, files that grow, and files that were replaced."""

import gzip
from pathlib import Path

import pytest

from nearline.data.line_files import LineFiles
from nearline.errors import DataNotFound, InvalidInput, SourceFailed
from nearline.ingest.source_urls import open_source, read_settings
from nearline.schema.sources import Message


def read(
    source: LineFiles, positions: dict[str, int] | None = None, limit: int = 2
) -> list[Message]:
    source.open(positions or {}, {})
    messages: list[Message] = []
    while not source.caught_up:
        messages += source.poll(limit, 0.0)
    source.close()
    return messages


def test_lines_with_their_positions(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b'{"a"}\n\n  \nb\r\nlast')
    found = read(LineFiles(str(path)))
    assert [(one.position, one.after, one.value) for one in found] == [
        (0, 6, b'{"a"}'),
        (10, 13, b"b"),
        (13, 17, b"last"),
    ]
    for one in found:
        rest = read(LineFiles(str(path)), {"a.ndjson": one.after})
        assert rest == found[found.index(one) + 1 :]


def test_several_files_and_compressed_ones(tmp_path: Path) -> None:
    (tmp_path / "b.ndjson").write_bytes(b"3\n")
    (tmp_path / "a.ndjson").write_bytes(b"1\n2\n")
    with gzip.open(tmp_path / "c.ndjson.gz", "wb") as file:
        file.write(b"4\n5")
    found = read(LineFiles(str(tmp_path / "*.ndjson*")))
    assert [one.value for one in found] == [b"1", b"2", b"3", b"4", b"5"]
    assert [one.partition for one in found][-1] == "c.ndjson.gz"
    rest = read(LineFiles(str(tmp_path / "*.ndjson*")), {"c.ndjson.gz": 2, "a.ndjson": 2})
    assert [one.value for one in rest] == [b"2", b"3", b"5"]


def test_a_file_that_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"1\nhal")
    source = LineFiles(str(tmp_path / "*.ndjson"), follow=True)
    source.open({}, {})
    assert [one.value for one in source.poll(10, 0.0)] == [b"1"]
    assert source.poll(10, 0.0) == []
    with path.open("ab") as file:
        file.write(b"f\n")
    assert [one.value for one in source.poll(10, 0.0)] == [b"half"]
    (tmp_path / "b.ndjson").write_bytes(b"2\n")
    found: list[Message] = []
    while not found:
        found += source.poll(10, 0.0)
    assert found[0].partition == "b.ndjson"
    source.close()


def test_a_long_line_is_one_message(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"x" * 2_500_000 + b"\n1\n")
    long, short = read(LineFiles(str(path)))
    assert (long.after, short.value) == (2_500_001, b"1")
    assert long.value is not None
    assert len(long.value) > 1_000_000


def test_a_file_that_was_replaced_or_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.ndjson"
    path.write_bytes(b"first\nsecond\n")
    source = LineFiles(str(path))
    read(source)
    identity = dict(source.identity)
    grown = LineFiles(str(path))
    path.write_bytes(b"first\nsecond\nthird\n")
    grown.open({"a.ndjson": 13}, identity)
    path.write_bytes(b"other\nsecond\nthird\n")
    with pytest.raises(SourceFailed, match="another one"):
        LineFiles(str(path)).open({"a.ndjson": 13}, identity)
    path.write_bytes(b"first\n")
    cut_off = LineFiles(str(path))
    cut_off.open({"a.ndjson": 13}, {})
    with pytest.raises(SourceFailed, match="fewer"):
        cut_off.poll(1, 0.0)


def test_wrong_sources(tmp_path: Path) -> None:
    for wrong in (str(tmp_path / "none"), f"file://{tmp_path}/none", str(tmp_path)):
        with pytest.raises(DataNotFound):
            open_source(wrong)
    path = tmp_path / "a b.ndjson"
    path.write_bytes(b"1\n")
    assert open_source(path.as_uri()).name == "file:a b.ndjson"
    for options in ({"start": "end"}, {"start": "middle"}, {"settings": {"a": "b"}}):
        with pytest.raises(InvalidInput):
            open_source(str(path), **options)
    for url in ("s3://bucket/key", "kafka://host:1", "kafka:///topic", "kafka://h:1/a/b"):
        with pytest.raises(InvalidInput, match="source is"):
            open_source(url)
    with pytest.raises(InvalidInput, match="password"):
        open_source("kafka://user:secret@host:1/topic")


def test_settings_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "client.properties"
    path.write_text("# comment\n\nsecurity.protocol = SASL_SSL\nsasl.password=a=b\n")
    assert read_settings(path) == {"security.protocol": "SASL_SSL", "sasl.password": "a=b"}
    path.write_text("ok=1\nsecret")
    with pytest.raises(InvalidInput, match="line 2") as raised:
        read_settings(path)
    assert "secret" not in str(raised.value)
