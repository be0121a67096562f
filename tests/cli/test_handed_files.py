"""Files that earlier versions read incorrectly, with the correct values."""

import math
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.cli.running import run, run_json

import nearline as nl
from nearline.data import read_table
from nearline.errors import InvalidInput


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


def test_01_an_unmatched_quote_drops_no_rows(tmp_path: Path) -> None:
    """A lone quotation mark is text: all six rows are read, and the report says so."""
    rows = ["u1\tapple", 'u2\t"Pear', "u3\tplum", "u4\tfig", 'u5\t"kiwi', "u6\tlime"]
    path = write(tmp_path, "plays.tsv", "user_id\titem_id\n" + "\n".join(rows) + "\n")
    with nl.Recommender() as rec:
        report = rec.add(path)
        items = {f"u{n}": rec.user(f"u{n}").history[0].item_id for n in range(1, 7)}
    assert report is not None
    assert (report.rows_in, report.rows_dropped) == (6, 0)
    assert list(items.values()) == ["apple", '"Pear', "plum", "fig", '"kiwi', "lime"]
    assert report.remarks == ("quotation marks read as text in 2 lines (line 3, 6)",)


def test_07_dates_as_numbers_are_dates(tmp_path: Path) -> None:
    """The number 20210131 is 31 January 2021."""
    text = "user_id,item_id,timestamp\na,x,20210131\na,y,20210201\nb,x,20210302\n"
    with nl.Recommender() as rec:
        rec.add(write(tmp_path, "orders.csv", text))
        times = [past.timestamp for past in rec.user("a").history]
    assert times == [datetime(2021, 2, 1, tzinfo=UTC).timestamp(), 1_612_051_200.0]


def test_08_null_is_not_a_user(tmp_path: Path) -> None:
    """Rows whose user or item is NULL, nan or \\N are dropped and reported."""
    text = "user_id,item_id\nNULL,a\nNULL,b\n\\N,c\nnan,d\nann,a\nann,NULL\nben,b\n"
    with nl.Recommender() as rec:
        report = rec.add(write(tmp_path, "e.csv", text))
        assert (rec.n_users, rec.n_items) == (2, 2)
    assert report is not None
    assert report.rows_dropped == 5
    assert "line 2: user_id='NULL', item_id='a'" in str(report)


def test_09_a_column_with_a_dash_remains_numeric(tmp_path: Path) -> None:
    """A dash among prices is a missing price; the other cells stay numbers."""
    rows = "".join(f"i{n},Thing {n},{n}.50,{n % 3 + 1}\n" for n in range(1, 20))
    text = "item_id,title,price,episodes\n" + rows + "z,Odd,\u2014,Unknown\n"
    with nl.Recommender() as rec:
        rec.add(items=write(tmp_path, "goods.csv", text))
        assert rec.item("i2").attributes == {"price": 2.5, "episodes": 3.0}
        assert rec.item("z").attributes == {}


def test_15_only_the_row_inserted_at_the_top_is_new(tmp_path: Path) -> None:
    """Three of four rows are known, wherever the new one stands."""
    old = "ann,tea\nann,pot\nben,tea\n"
    first = write(tmp_path, "a.csv", "user_id,item_id\n" + old)
    second = write(tmp_path, "b.csv", "user_id,item_id\nben,cup\n" + old)
    assert run_json("import", "--store", tmp_path / "s", first)["records_stored"] == 3
    found = run_json("import", "--store", tmp_path / "s", second)
    assert found["records_stored"] == 1
    assert found["report"]["known"] == 3


def test_16_a_second_file_without_times_is_later(tmp_path: Path) -> None:
    """Rows of a later file are later than all rows of an earlier one."""
    with nl.Recommender(tmp_path / "s") as rec:
        rec.add(write(tmp_path, "jan.csv", "user_id,item_id\nann,first\nann,second\n"))
        rec.add(write(tmp_path, "feb.csv", "user_id,item_id\nann,third\nann,fourth\n"))
        history = [(past.item_id, past.timestamp) for past in reversed(rec.user("ann").history)]
    assert [item for item, _ in history] == ["first", "second", "third", "fourth"]
    times = [time for _, time in history]
    assert times == sorted(set(times))
    # Each file has one time, apart from a fraction that training leaves out.
    assert [math.floor(time) for time in times] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2019-10-01 00:00:00 UTC", 1_569_888_000.0), ("2021-01-02 8:05", 1_609_574_700.0)],
)
def test_17_times_as_databases_export_them(tmp_path: Path, text: str, seconds: float) -> None:
    """The suffix UTC and hours of one digit are read."""
    with nl.Recommender() as rec:
        rec.add(write(tmp_path, "t.csv", f"user_id,item_id,timestamp\na,x,{text}\n"))
        assert rec.user("a").history[0].timestamp == seconds


def test_17_the_error_for_ambiguous_dates_names_the_option(tmp_path: Path) -> None:
    """12/1/2010 is refused with the option that settles it, and read with that option."""
    path = write(tmp_path, "t.csv", "user_id,item_id,timestamp\na,x,12/1/2010 8:26\n")
    refused = run("import", "--store", tmp_path / "s", path)
    assert refused.exit_code == 1
    assert "--day-first or --month-first" in refused.stderr
    found = run_json("import", "--store", tmp_path / "s", path, "--month-first")
    assert found["report"]["times"]["first"] == 1_291_191_960.0


def test_19_a_separator_of_two_characters(tmp_path: Path) -> None:
    """A separator may have two characters."""
    table = read_table(write(tmp_path, "r.csv", "user_id::item_id\n1::10\n"), separator="::")
    assert table.to_pylist() == [{"user_id": "1", "item_id": "10"}]


def test_20_semicolons_in_latin_1(tmp_path: Path) -> None:
    """The error names the encoding; with it, the comma inside a field stays."""
    text = "user_id;item_id\nzo\u00eb;Caf\u00e9, black\nben;mug\n"
    path = write(tmp_path, "old.csv", text, "latin-1")
    refused = run("import", "--store", tmp_path / "s", path)
    assert refused.exit_code == 1
    assert "--encoding latin-1" in refused.stderr
    found = run_json("import", "--store", tmp_path / "s", path, "--encoding", "latin-1")
    assert (found["report"]["rows_kept"], found["users"], found["items"]) == (2, 2, 2)
    with nl.Recommender(tmp_path / "s") as rec:
        assert rec.user("zo\u00eb").history[0].item_id == "Caf\u00e9, black"


@pytest.mark.parametrize(
    "text",
    [
        "1,31,2.5,1260759144\n1,32,3.0,1260759179\n2,31,3.0,1260759182\n",
        "1,1,4.0,964982703\n1,3,4.0,964981247\n",
    ],
)
def test_21_a_file_without_a_header(tmp_path: Path, text: str) -> None:
    """The error names the options that read the file, and with them no row is lost."""
    path = write(tmp_path, "a.csv", text)
    refused = run("import", "--store", tmp_path / "s", path)
    assert "the file has no header" in refused.stderr
    options = ("--no-header", "--column", "user_id=1", "--column", "item_id=2")
    assert "--no-header" in refused.stderr
    assert "--column user_id=1 --column item_id=2" in refused.stderr
    found = run_json("import", "--store", tmp_path / "s", path, *options)
    assert found["records_stored"] == text.count("\n")


def test_24_unknown_kinds_are_listed_and_can_be_weighed(tmp_path: Path) -> None:
    """Each kind is listed with its weight; unknown ones are marked and can be weighted."""
    kinds = ("addtocart", "remove_from_cart", "refund", "Purchase", "0")
    rows = "".join(f"a,i{n},160000000{n},{kind}\n" for n, kind in enumerate(kinds))
    path = write(tmp_path, "e.csv", "user_id,item_id,timestamp,event\n" + rows)
    report = run_json("import", "--store", tmp_path / "s", path)["report"]
    found = {kind["event"]: (kind["weight"], kind["known"]) for kind in report["kinds"]}
    assert found == {
        "addtocart": (2.0, True),
        "remove_from_cart": (-0.5, True),
        "refund": (-1.0, True),
        "Purchase": (3.0, True),
        "0": (1.0, False),
    }
    for command in ("import", "train", "serve"):
        assert "--weights" in run(command, "--help").stdout


def test_27_json_lines_in_a_json_file(tmp_path: Path) -> None:
    """A .json file with one object on each line is read as JSON lines."""
    text = '{"user_id": "a", "item_id": "x"}\n{"user_id": "b", "item_id": "x"}\n'
    found = run_json("import", "--store", tmp_path / "s", write(tmp_path, "reviews.json", text))
    assert (found["records_stored"], found["users"], found["items"]) == (2, 2, 1)


def test_30_items_inside_objects(tmp_path: Path) -> None:
    """A field inside an object is mapped by OBJECT.FIELD."""
    path = write(
        tmp_path,
        "track.jsonl",
        '{"event": "Product Viewed", "userId": "u1", "timestamp": "2021-01-01T10:00:00.000Z", '
        '"properties": {"product_id": "p1"}}\n',
    )
    options = ("--column", "user_id=userId", "--column", "item_id=properties.product_id")
    assert run_json("import", "--store", tmp_path / "s", path, *options)["records_stored"] == 1
    with nl.Recommender(tmp_path / "s") as rec:
        (past,) = rec.user("u1").history
    assert (past.item_id, past.timestamp) == ("p1", 1_609_495_200.0)
    with pytest.raises(InvalidInput, match=r"properties\.product_id"):
        nl.Recommender().add(path, columns={"user_id": "userId", "item_id": "properties"})
