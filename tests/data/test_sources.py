"""Valid and invalid files and frames of all types."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet

from nearline.data import read_table, to_frame
from nearline.errors import DataNotFound, InvalidInput

TABLE = pa.table({"user_id": ["007", "7"], "n": [1, 2]})


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(("name", "mark"), [("a.csv", ","), ("a.tsv", "\t"), ("a.b.CSV", ",")])
def test_text_columns_remain_text(tmp_path: Path, name: str, mark: str) -> None:
    path = write(tmp_path, name, f'user_id{mark}n\n007{mark}1\n7{mark}"2\n3"\nNA{mark}\n')
    assert read_table(path).to_pydict() == {"user_id": ["007", "7", "NA"], "n": ["1", "2\n3", ""]}


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson"])
def test_compressed_text(tmp_path: Path, suffix: str) -> None:
    text = '{"user_id": "007"}\n' if "js" in suffix or "nd" in suffix else "user_id\n007\n"
    path = write(tmp_path, f"a{suffix}.gz", gzip.compress(text.encode()))
    assert read_table(str(path)).to_pydict() == {"user_id": ["007"]}


def test_parquet_keeps_types(tmp_path: Path) -> None:
    parquet.write_table(TABLE, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").equals(TABLE)


def test_json_lines_keep_text_that_looks_like_a_date(tmp_path: Path) -> None:
    lines = '{"id": "2024-01-01", "n": 3}\n{"id": "2024-01-02", "n": 4}\n'
    path = write(tmp_path, "a.jsonl", lines)
    assert read_table(path).to_pydict() == {"id": ["2024-01-01", "2024-01-02"], "n": [3, 4]}


def test_a_byte_order_mark_is_not_part_of_a_name(tmp_path: Path) -> None:
    assert read_table(write(tmp_path, "a.csv", "é\n1\n".encode("utf-8-sig"))).column_names == ["é"]


def test_encoding_and_separator_are_options(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a;b\né;2\n".encode("latin-1"))
    table = read_table(path, separator=";", encoding="latin-1")
    assert table.to_pydict() == {"a": ["é"], "b": ["2"]}


def test_pick_gets_all_names_and_chooses(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,b\n1,2\n")
    seen: list[str] = []

    def last(names: Any) -> list[str]:
        seen.extend(names)
        return ["b"]

    assert read_table(path, pick=last).to_pydict() == {"b": ["2"]}
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"user_id": pd.Categorical(["007", "7"]), "n": [1, 2]}),
        pl.DataFrame({"user_id": pl.Series(["007", "7"], dtype=pl.Categorical), "n": [1, 2]}),
        pl.LazyFrame({"user_id": ["007", "7"], "n": [1, 2]}),
        TABLE,
        TABLE.set_column(0, "user_id", TABLE["user_id"].dictionary_encode()),
        TABLE.set_column(0, "user_id", TABLE["user_id"].cast(pa.string_view())),
    ],
)
def test_frames_of_every_library(frame: Any) -> None:
    assert read_table(frame).equals(TABLE)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.csv", b"", "empty"),
        ("a.csv", b"user_id,item_id\n", "no rows"),
        ("a.csv", b"a,b\n1\n", "Expected 2 columns"),
        ("a.csv", b"item_id,item_id\n1,2\n", "same name"),
        ("a.csv", b"a\n\xe9\n", "not valid utf-8.*encoding="),
        ("a.csv", b"\xe9\n1\n", "not valid utf-8"),
        ("a.csv.gz", gzip.compress(b"a\n1\n", mtime=0)[:15], "cannot be read as csv"),
        ("a.jsonl", b'{"a":', "cannot be read as jsonl"),
        ("a.jsonl", b'{"a": 1}\n{"a": "1"}\n', "changed from number to string"),
        ("a.parquet", b"PAR1 and nothing else", "truncated"),
        ("a.xlsx", b"x", r"known are \.csv"),
        ("a", b"x", r"known are \.csv"),
        ("a.parquet.gz", b"x", r"known are \.csv"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_table(write(tmp_path, name, content))


def test_truncated_parquet(tmp_path: Path) -> None:
    parquet.write_table(TABLE, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(InvalidInput, match="truncated"):
        read_table(write(tmp_path, "a.parquet", whole[: len(whole) // 2]))


def test_unknown_encoding(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="unknown encoding: klingon"):
        read_table(write(tmp_path, "a.csv", "a\n1\n"), encoding="klingon")


def test_the_error_for_a_missing_file_suggests_similar_names(tmp_path: Path) -> None:
    write(tmp_path, "events.csv", "a\n1\n")
    with pytest.raises(DataNotFound, match=r"did you mean events\.csv\?"):
        read_table(tmp_path / "event.csv")
    with pytest.raises(DataNotFound, match="there is no file"):
        read_table(tmp_path / "nowhere" / "event.csv")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is a folder"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (pd.DataFrame({"a": [1, "1"]}), "'a' mixes types"),
        (pd.DataFrame({"a": ["1", 1]}), "'a' mixes types"),
        (pd.DataFrame({"a": [object()]}), "'a' mixes types"),
        (pd.DataFrame({"a": [2**70]}), "'a' mixes types"),
        (pd.DataFrame({"a": pd.Series(["\ud800"], dtype=object)}), "'a' mixes types"),
        (pd.DataFrame({0: [1]}), r"column names \[0\] are not all text"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "same name"),
        (pa.table([[1], [2]], names=["a", "a"]), "same name"),
        ([{"a": 1}], "the table is a list"),
        (None, "the table is a NoneType"),
    ],
)
def test_bad_frames(frame: Any, says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        read_table(frame)


@pytest.mark.parametrize(
    ("like", "kind"),
    [
        (pd.DataFrame({"a": [1]}), pd.DataFrame),
        (pl.DataFrame({"a": [1]}), pl.DataFrame),
        (pl.LazyFrame({"a": [1]}), pl.DataFrame),
        (pa.table({"a": [1]}), pa.Table),
        ("events.csv", pa.Table),
        (Path("events.csv"), pa.Table),
        (None, pa.Table),
    ],
)
def test_frames_are_returned_in_the_library_of_the_input(like: object, kind: type) -> None:
    frame = to_frame({"user_id": ["a", "b"], "score": np.array([0.5, 0.25])}, like)
    assert isinstance(frame, kind)
    assert read_table(frame).to_pydict() == {"user_id": ["a", "b"], "score": [0.5, 0.25]}
