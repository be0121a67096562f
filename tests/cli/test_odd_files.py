"""Files as shops, databases and spreadsheets write them: read rightly, or refused with a reason."""

import gzip
import io
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet
from tests.cli.running import run

import nearline as nl

HEAD = "user_id,item_id,timestamp\n"
ROWS = "ann,tea,1600000000\nben,mug,1600000100\n"
READ = {"ann": ("tea", 1.6e9), "ben": ("mug", 1_600_000_100.0)}


def zipped(name: str, text: str) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, text)
    return packed.getvalue()


def as_parquet(table: pa.Table) -> bytes:
    packed = io.BytesIO()
    parquet.write_table(table, packed)
    return packed.getvalue()


QUOTED = '"' + (HEAD + ROWS).strip().replace(",", '","').replace("\n", '"\n"') + '"'
NANOSECONDS = pa.array([1_600_000_000 * 10**9, 1_600_000_100 * 10**9], pa.timestamp("ns"))


def lines(*texts: str) -> bytes:
    return ("\n".join(texts) + "\n").encode()


def dated(first: str, second: str) -> bytes:
    """A file with two times, in quotes."""
    return (HEAD + f'ann,tea,"{first}"\nben,mug,"{second}"\n').encode()


GOOD = {
    "a byte order mark": ("a.csv", b"\xef\xbb\xbf" + (HEAD + ROWS).encode()),
    "lines of Windows": ("a.csv", (HEAD + ROWS).replace("\n", "\r\n").encode()),
    "lines of old Macs": ("a.csv", (HEAD + ROWS).replace("\n", "\r").encode()),
    "UTF-16 with a mark": ("a.csv", (HEAD + ROWS).encode("utf-16")),
    "UTF-16 without a mark": ("a.csv", (HEAD + ROWS).encode("utf-16-le")),
    "big-endian UTF-16": ("a.csv", (HEAD + ROWS).encode("utf-16-be")),
    "packed": ("a.csv.gz", gzip.compress((HEAD + ROWS).encode())),
    "pipes": ("a.csv", (HEAD + ROWS).replace(",", "|").encode()),
    "spaces": ("a.txt", (HEAD + ROWS).replace(",", " ").encode()),
    "a line that names the separator": ("a.csv", b"sep=,\n" + (HEAD + ROWS).encode()),
    "separators at the end": ("a.csv", (HEAD + ROWS).replace("\n", ",\n").encode()),
    "separators at the end of rows": ("a.csv", (HEAD + ROWS.replace("\n", ",\n")).encode()),
    "empty lines": ("a.csv", ("\n" + HEAD + "\n" + ROWS + "\n\n").encode()),
    "padding": ("a.csv", (HEAD + ROWS).replace(",", " , ").encode()),
    "quoted": ("a.csv", QUOTED.encode()),
    "apostrophes": ("a.csv", lines(HEAD.strip(), "'ann','tea',1.6e9", "'ben','mug',1600000100")),
    "a sum at the end": ("a.csv", (HEAD + ROWS + "Total,,2\n").encode()),
    "the mark of the end of a file": ("a.csv", (HEAD + ROWS + "\x1a").encode()),
    "an index of pandas": (
        "a.csv",
        lines("Unnamed: 0," + HEAD.strip(), "0,ann,tea,1600000000", "1,ben,mug,1600000100"),
    ),
    "columns that repeat": (
        "a.csv",
        lines(HEAD.strip() + ",n,n", "ann,tea,1600000000,1,2", "ben,mug,1600000100,1,2"),
    ),
    "milliseconds as floats": ("a.csv", dated("1.6e12", "1.6000001e12")),
    "zones": ("a.csv", dated("2020-09-13T14:26:40+02:00", "2020-09-13 07:28:20-0500")),
    "dates of mails": (
        "a.csv",
        dated("Sun, 13 Sep 2020 12:26:40 GMT", "Sun, 13 Sep 2020 12:28:20 GMT"),
    ),
    "dates of the United States": (
        "a.csv",
        dated("9/13/2020 12:26:40 PM", "9/13/2020 12:28:20 PM"),
    ),
    "dates of Germany": (
        "a.csv",
        dated("13.09.2020 12:26:40", "13.09.2020 12:28:20").replace(b",", b";"),
    ),
    "an array of JSON": (
        "a.json",
        lines(
            '[{"user_id": "ann", "item_id": "tea", "timestamp": 1600000000},',
            '{"user_id": "ben", "item_id": "mug", "timestamp": 1600000100}]',
        ),
    ),
    "text as bytes": (
        "a.parquet",
        as_parquet(
            pa.table(
                {
                    "user_id": [b"ann", b"ben"],
                    "item_id": [b"tea", b"mug"],
                    "timestamp": [1_600_000_000, 1_600_000_100],
                }
            )
        ),
    ),
    "categories": (
        "a.parquet",
        as_parquet(
            pa.table(
                {
                    "user_id": pa.array(["ann", "ben"]).dictionary_encode(),
                    "item_id": ["tea", "mug"],
                    "timestamp": NANOSECONDS,
                }
            )
        ),
    ),
}


@pytest.mark.parametrize(("name", "content"), GOOD.values(), ids=GOOD)
def test_files_that_are_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with nl.Recommender() as rec:
        rec.add(path)
        assert rec.n_users == 2
        found = {user: rec.user(user).history[0] for user in READ}
    assert {user: (past.item_id, past.timestamp) for user, past in found.items()} == READ


REFUSED = {
    "an archive": ("a.zip", zipped("a.csv", HEAD + ROWS), "zip archive or a spreadsheet"),
    "a spreadsheet": ("a.xlsx", zipped("xl/workbook.xml", "<x/>"), "save the sheet as .csv"),
    "an archive called .csv": ("a.csv", zipped("a.csv", HEAD + ROWS), "unpack it"),
    "an old spreadsheet": ("a.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", "save the sheet as .csv"),
    "packed without a name": ("a.csv", gzip.compress(HEAD.encode()), "ends with .gz"),
    "Parquet called .csv": ("a.csv", as_parquet(pa.table({"a": [1]})), "ends with .parquet"),
    "two columns of items": ("a.csv", b"user_id,item_id,item_id\na,b,c\n", "have the same name"),
    "nothing": ("a.csv", b"", "is empty"),
    "a header": ("a.csv", HEAD.encode(), "has a header and no rows"),
    "a page": ("a.csv", b"<!doctype html>\n<p>Not found</p>\n", "'user_id', 'item_id' not found"),
    "a title above": ("a.csv", f"Sales\n\n{HEAD}{ROWS}".encode(), "there are other lines before"),
    "Latin-1": ("a.csv", (HEAD + "zo\u00eb,tea,1\n").encode("latin-1"), "--encoding latin-1"),
    "a file cut off": ("a.csv.gz", gzip.compress((HEAD + ROWS * 99).encode())[:50], "truncated"),
    "times of two kinds": ("a.csv", dated("1600000000", "20210101"), "--time-format"),
    "zones by name": ("a.csv", dated(*2 * ["2021-01-01 10:00 CET"]), "no timestamp can be read"),
    "no header": ("a.csv", ROWS.replace("ann", "1").encode(), "--no-header"),
}


@pytest.mark.parametrize(("name", "content", "says"), REFUSED.values(), ids=REFUSED)
def test_files_that_are_refused(tmp_path: Path, name: str, content: bytes, says: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    result = run("import", "--store", tmp_path / "s", path)
    assert result.exit_code == 1
    assert says in " ".join(result.stderr.split())
    assert not (tmp_path / "s").exists()


DROPPED = {
    "a long cell": ("ann," + "x" * 100_000 + ",1600000000", "item_id has more than 512 bytes"),
    "a NUL": ("an\0n,tea,1600000000", "user_id contains a NUL character"),
    "a far time": ("ann,tea,9999999999", "timestamp is more than a day ahead of now"),
    "no time": ("ann,tea,soon", "timestamp is not a valid time"),
    "no item": ("ann,NULL,1600000000", "item_id is missing"),
    "an empty user": (",tea,1600000000", "user_id is empty"),
    "too many fields": ("ann,tea,1600000000,x,y", "line has 5 fields instead of 3"),
    "too few fields": ("ann,tea", "line has 2 fields instead of 3"),
    "the same again": ("u0,i0,1600000000", "duplicate of an earlier row"),
}


@pytest.mark.parametrize(("line", "reason"), DROPPED.values(), ids=DROPPED)
def test_rows_that_are_dropped(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "a.csv"
    good = "".join(f"u{n},i{n},{1_600_000_000 + n}\n" for n in range(20))
    path.write_text(HEAD + good + line + "\n")
    with nl.Recommender() as rec:
        report = rec.add(path)
        assert report is not None
        assert rec.n_users == 20
    assert (report.rows_in, report.rows_kept) == (21, 20)
    (dropped,) = report.dropped
    assert (dropped.rows, dropped.reason) == (1, reason)
    assert dropped.example.startswith("line 22: ")


CELLS = {
    "decimal commas": ("price", ['"1.299,00 €"', '"12,50 €"'], {"price": 1299.0}, [], ""),
    "a decimal comma in a price": ("price", ['"12,50"', '"3,00"'], {"price": 12.5}, [], ""),
    "codes of currencies": ("price", ["12.50 USD", "3 USD"], {"price": 12.5}, [], ""),
    "one word among numbers": ("price", ["1", "2", "3", "free"], {"price": 1.0}, [], ""),
    "arrays of PostgreSQL": ("genres", ['"{Drama,War}"', "{Drama}"], {}, ["Drama", "War"], ""),
    "quoted arrays": ("genres", ['"{""Sci Fi"",War}"', "{War}"], {}, ["Sci Fi", "War"], ""),
    "objects of Python": ("genres", ["\"[{'id': 1, 'name': 'Drama'}]\"", "[]"], {}, ["Drama"], ""),
    "no genres of MovieLens": ("genres", ["(no genres listed)", "Drama|War"], {}, [], ""),
    "truths": ("sale", ["TRUE", "FALSE"], {"sale": "TRUE"}, ["sale=TRUE"], ""),
    "sizes": ("size", ['"1,5"', '"2,5"'], {}, [], "1,5"),
}


@pytest.mark.parametrize(
    ("column", "cells", "attributes", "labels", "text"), CELLS.values(), ids=CELLS
)
def test_cells_of_a_catalogue(
    tmp_path: Path,
    column: str,
    cells: list[str],
    attributes: dict[str, float | str],
    labels: list[str],
    text: str,
) -> None:
    path = tmp_path / "goods.csv"
    rows = "".join(f"{n},T,{cell}\n" for n, cell in enumerate(cells))
    path.write_text(f"item_id,title,{column}\n{rows}", encoding="utf-8")
    with nl.Recommender() as rec:
        rec.add(items=path)
        item = rec.item("0")
    assert (item.attributes, item.categories, item.text) == (attributes, labels, text)


def test_lists_of_numbers_in_text_are_vectors(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text('item_id,look\na,"[0.1, 0.2]"\nb,"[0.5, -1]"\nc,\n')
    with nl.Recommender() as rec:
        rec.add(items=path)
        assert rec.item("a").vectors == {"look": [0.1, 0.2]}
        assert rec.item("b").vectors == {"look": [0.5, -1.0]}
        assert rec.item("c").vectors == {}


def test_the_report_of_a_catalogue_names_lines_and_columns(tmp_path: Path) -> None:
    path = tmp_path / "goods.csv"
    path.write_text("item_id,title,n,n\na,A,1,2\nb,B,1,2,3,4\nc,C,1,2\nd,D,1,2\n")
    with nl.Recommender() as rec:
        report = rec.add(items=path)
    assert report is not None
    assert (report.rows_in, report.rows_kept) == (4, 3)
    assert "line has 6 fields instead of 4 (line 3: 'b,B,1,2,3,4')" in str(report)
    assert "only the first column 'n' is read" in str(report)
