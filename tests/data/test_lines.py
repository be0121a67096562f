"""Every line of a text file is read as a row or reported."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.data import clean, read_interactions, read_table
from nearline.data.line_repair import repair
from nearline.data.notes import LineNumbers, notes_of
from nearline.errors import InvalidInput


def users_of(path: Path) -> list[str]:
    found: list[str] = read_interactions(path)["user_id"].to_pylist()
    return found


@pytest.mark.parametrize(
    ("name", "rows", "items"),
    [
        ("a.tsv", ['u1\t"Pear', "u2\tplum", 'u3\t"kiwi', "u4\tfig"], ['"Pear', "plum", '"kiwi']),
        ("a.tsv", ['u1\t"Pear', "u2\tplum", 'u3\tkiwi 7"', "u4\tfig"], ['"Pear', "plum"]),
        ("a.csv", ['u1,"Pear', "u2,plum", "u3,fig"], ['"Pear', "plum", "fig"]),
        ("a.csv", ["u1,plum", 'u2,7" nail', "u3,fig"], ["plum", '7" nail', "fig"]),
        ("a.csv", ['u1,"a, b"', 'u2,"Pear', 'u3,"c"', "u4,d"], ["a, b", '"Pear', "c", "d"]),
        ("a.csv", ['u1,"a ""b"""', "u2,c"], ['a "b"', "c"]),
        ("a.csv", ['u1,"a', 'b; c"', "u2,d"], ["a\nb; c", "d"]),
        ("a.csv", ['u1,"a', 'b, c"', 'u2,"d"'], ["a\nb, c", "d"]),
        ("a.csv", ["u1,a", "", "u2,b", "", ""], ["a", "b"]),
        ("a.csv", ['u1,"the \\"best\\" tea"', "u2,b"], ['the "best" tea', "b"]),
        ("a.csv", ['u1,"x" y', "u2,b"], ["x y", "b"]),
    ],
)
def test_quotation_marks(tmp_path: Path, name: str, rows: list[str], items: list[str]) -> None:
    mark = "\t" if name.endswith("tsv") else ","
    path = tmp_path / name
    path.write_text(f"user_id{mark}item_id\n" + "\n".join(rows) + "\n")
    assert read_interactions(path)["item_id"].to_pylist()[: len(items)] == items


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("u2,b,c", "line has 3 fields instead of 2"),
        ("u2", "line has 1 field instead of 2"),
        ("u2,b,", "line has 3 fields instead of 2"),
        ('u2,"b,c', "line has 2 fields instead of 2"),
        ("u2;b", "line has 1 field instead of 2"),
        ('u2,"b",c', "line has 3 fields instead of 2"),
        ("  ", "line has 1 field instead of 2"),
        ("# end of part 1", "line has 1 field instead of 2"),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_an_invalid_line_is_dropped_and_reported(
    tmp_path: Path, bad: str, reason: str, end: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(end.join(["user_id,item_id", "u1,a", bad, "u3,c", ""]).encode())
    kept, report = clean(read_interactions(path), now=1e9)
    assert kept["user_id"].to_pylist() == ["u1", "u3"]
    assert (report.rows_in, report.rows_kept) == (3, 2)
    (dropped,) = report.dropped
    assert dropped.rows == 1
    assert dropped.reason == reason
    assert dropped.example == f"line 3: {bad!r}"


def test_the_error_for_lines_of_different_lengths_names_the_options(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id\n1,2,3\n1,2,3\n")
    with pytest.raises(InvalidInput, match=r"line has 3 fields.*separator=.*header=False"):
        read_table(path)


def test_reports_of_cleaning_contain_the_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('user_id,item_id\nu1,"a\nb"\nu2,b,c\n,c\nu4,d\n')
    _, report = clean(read_interactions(path), now=1e9)
    assert [entry.example[:7] for entry in report.dropped] == ["line 4:", "line 5:"]


def test_invalid_json_lines_are_dropped_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    good = '{"user_id": "u%d", "item_id": "i"}'
    path.write_text("\n".join([good % 1, good[:12], "", "[1]", good % 2, '{"user_id": ']))
    kept, report = clean(read_interactions(path), now=1e9)
    assert kept["user_id"].to_pylist() == ["u1", "u2"]
    (dropped,) = report.dropped
    assert (dropped.reason, dropped.rows) == ("line is not a JSON object", 3)
    assert dropped.example.startswith("line 2: '{\"user_id\":'; line 4: '[1]'; line 6:")


Cells = st.text(alphabet='ab,;"\n é', max_size=6)


@given(rows=st.lists(st.tuples(Cells, Cells, Cells), min_size=1, max_size=8))
@settings(max_examples=150, deadline=None)
def test_quoted_fields_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]
) -> None:
    """The file is written by the standard library, with all fields quoted."""
    path = tmp_path_factory.mktemp("lines") / "a.csv"
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL, lineterminator="\n")
    writer.writerows([("p", "q", "r"), *rows])
    path.write_text(buffer.getvalue(), newline="")
    found = read_table(path)
    assert list(zip(*found.to_pydict().values(), strict=True)) == rows
    assert notes_of(found).dropped == []


Plain = st.text(alphabet="ab c", min_size=1, max_size=4)


@given(
    lines=st.lists(st.lists(Plain, min_size=1, max_size=4), min_size=1, max_size=12),
    lone=st.sets(st.integers(0, 11)),
)
@settings(max_examples=150, deadline=None)
def test_every_line_is_a_row_or_is_reported(lines: list[list[str]], lone: set[int]) -> None:
    texts = [
        "\t".join((*fields[:-1], '"' + fields[-1]) if row in lone else fields)
        for row, fields in enumerate(lines)
    ]
    found = repair([text.encode() for text in texts], 2, b"\t", 3)
    good = [row for row, fields in enumerate(lines) if len(fields) == 3]
    assert found.rows == len(good)
    assert sum(each.rows for each in found.dropped) == len(lines) - len(good)
    assert [found.lines.line(row) for row in range(found.rows)] == [row + 2 for row in good]


def test_line_numbers_skip_dropped_lines() -> None:
    numbers = LineNumbers.of_lines([2, 3, 7, 8, 10])
    assert [numbers.line(row) for row in range(5)] == [2, 3, 7, 8, 10]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", "user_id;item_id\nann;tea, black\nben;mug\n"),
        ("a.csv", "user_id\titem_id\nann\ttea\n"),
        ("a.csv", "user_id|item_id\nann|tea\n"),
        ("a.csv", "user_id::item_id\nann::tea\n"),
        ("a.txt", "user_id,item_id\nann,tea\n"),
        ("a.dat", "user_id\titem_id\nann\ttea\n"),
        ("a.dat", "user_id::item_id\nann::tea: black\n"),
        ("a.tsv", "user_id;item_id\nann;tea\n"),
        ("a.csv", "sep=;\nuser_id;item_id\nann;tea\n"),
        ("a.csv", "user_id, item_id\nann, tea\n"),
        ("a.csv", "user_id,item_id,\nann,tea,\nben,mug,\n"),
        ("a.csv", '"user_id";"item_id"\n"ann";"tea, and; more"\n'),
    ],
)
def test_the_separator_is_found(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    assert read_table(path).column_names == ["user_id", "item_id"]
    assert users_of(path)[0] == "ann"
    assert read_interactions(path)["item_id"].to_pylist()[0][:3] == "tea"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1", "cp1252", "shift-jis"]
)
def test_encodings(tmp_path: Path, encoding: str) -> None:
    name = "ゾエ" if encoding == "shift-jis" else "zoë"
    path = tmp_path / "a.csv"
    path.write_bytes(f"user_id,item_id\n{name},tea\nben,mug,1\n".encode(encoding))
    given = "utf-8" if encoding in ("utf-8-sig", "utf-16") else encoding
    table = read_interactions(path, encoding=given)
    assert table["user_id"].to_pylist() == [name]
    assert notes_of(table).dropped[0].example == "line 3: 'ben,mug,1'"


def test_the_error_for_another_encoding_names_the_option(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes("user_id;item_id\nzoë;Café, black\n".encode("latin-1"))
    with pytest.raises(InvalidInput, match="encoding='latin-1'"):
        read_interactions(path)
    assert users_of_latin(path) == ["zoë"]


def users_of_latin(path: Path) -> list[str]:
    found: list[str] = read_interactions(path, encoding="latin-1")["user_id"].to_pylist()
    return found


@pytest.mark.parametrize("first", ["1,31,2.5,1260759144", "1,1,4.0,964982703", "7,2021-01-01,x,y"])
def test_the_error_for_a_missing_header_names_the_options(tmp_path: Path, first: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{first}\n1,3,4.0,964981247\n")
    with pytest.raises(InvalidInput, match=r"header=False.*'user_id': '1'"):
        read_interactions(path)
    columns = {"user_id": "1", "item_id": "2"}
    assert read_interactions(path, columns, header=False).num_rows == 2


def test_a_separator_at_the_end_of_each_row_adds_no_column(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("user_id,item_id\nann,tea,\nben,mug,\n")
    assert read_table(path).to_pydict() == {"user_id": ["ann", "ben"], "item_id": ["tea", "mug"]}


def test_errors_name_invalid_options() -> None:
    with pytest.raises(InvalidInput, match="headers"):
        read_table("a.csv", headers=False)


def test_fields_inside_objects_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "track.jsonl"
    path.write_text(
        '{"userId": "u1", "properties": {"product": {"id": "p1"}}, "at": "2021-01-01T10:00:00Z"}\n'
        '{"userId": "u2", "properties": {"product": {"id": "p2"}}, "at": "2021-01-01T11:00:00Z"}\n'
    )
    columns = {"user_id": "userId", "item_id": "properties.product.id", "timestamp": "at"}
    table = read_interactions(path, columns)
    assert table["item_id"].to_pylist() == ["p1", "p2"]
    assert table["timestamp"].to_pylist() == [1_609_495_200.0, 1_609_498_800.0]


def test_each_item_of_a_list_becomes_a_row(tmp_path: Path) -> None:
    path = tmp_path / "orders.json"
    path.write_text(
        '[{"who": "ann", "lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}]},'
        ' {"who": "ben", "lines": [{"sku": "a", "n": 5}]}, {"who": "cid", "lines": []}]'
    )
    columns = {"user_id": "who", "item_id": "lines.sku", "value": "lines.n"}
    table = read_interactions(path, columns)
    assert table.select(["user_id", "item_id", "value"]).to_pylist() == [
        {"user_id": "ann", "item_id": "a", "value": 2.0},
        {"user_id": "ann", "item_id": "b", "value": 1.0},
        {"user_id": "ben", "item_id": "a", "value": 5.0},
    ]
