"""Online Retail: a few lines checked by hand, and the real file."""

from pathlib import Path

import pyarrow.compute as pc
import pytest

from nearline.data import clean, load_dataset, make_dataset
from nearline.errors import DataNotFound, InvalidInput
from nearline.schema import Item

HEADER = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
LINES = (
    "1,a,RED  LAMP ,2,12/1/2010 8:26,3.5,17850,UK\n"  # 1291191960
    "1,a,RED LAMP,4,12/1/2010 8:26,2.5,17850.0,UK\n"  # merged with the previous line
    "1,p,POSTAGE,1,12/1/2010 8:26,18,17850,UK\n"
    "1,m,Manual,1,12/1/2010 8:26,18,17850,UK\n"
    "2,b,BLUE POT,1,12/1/2010 8:27,1,,UK\n"
    "2,b,,1,12/1/2010 8:27,1,12,UK\n"
    "C3,b,BLUE POT,-1,12/1/2010 8:28,1,12,UK\n"
    "4,b,BLUE POT,5,12/1/2010 8:29,1.25,12,UK\n"
)


def test_lines_of_an_invoice(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(HEADER + LINES)
    for source in (path, tmp_path):
        data = load_dataset("online-retail", source)
        assert data.interactions.to_pydict() == {
            "user_id": ["17850", "12"],
            "item_id": ["RED LAMP", "BLUE POT"],
            "timestamp": [1_291_191_960.0, 1_291_192_140.0],
            "event": ["purchase", "purchase"],
            "value": [6.0, 5.0],
        }
        assert data.items[0] == Item(
            item_id="RED LAMP",
            timestamp=1_291_191_960.0,
            title="RED LAMP",
            attributes={"price": 3.5},
        )
        assert data.report is not None
        assert [(entry.reason.split()[0], entry.rows) for entry in data.report.dropped] == [
            *(("customer", 1), ("description", 1), ("a", 1), ("postage,", 2), ("joined", 1))
        ]


def test_times_as_in_the_original_file(tmp_path: Path) -> None:
    path = tmp_path / "lines.csv"
    path.write_text(HEADER + "4,b,BLUE POT,5,2010-12-01 08:29:00,1.25,12,UK\n")
    data = load_dataset("online-retail", path)
    assert data.interactions["timestamp"].to_pylist() == [1_291_192_140.0]


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(DataNotFound, match="holds 0 CSV and Parquet files"):
        load_dataset("online-retail", tmp_path)
    (tmp_path / "a.csv").write_text("Description\nx\n")
    with pytest.raises(InvalidInput, match="lacks the columns Quantity"):
        load_dataset("online-retail", tmp_path)


def test_the_error_if_the_download_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NEARLINE_DATA", raising=False)
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:1")  # nothing listens there
    notices: list[str] = []
    with pytest.raises(DataNotFound, match=r"cannot be fetched: .* by hand"):
        load_dataset("online-retail", cache=tmp_path, notify=notices.append)
    assert notices[0].endswith("CC BY 4.0.")


def test_the_real_data_set(real_data: Path) -> None:
    data = load_dataset("online-retail", real_data / "online-retail")
    assert data.report is not None
    assert data.report.rows_in == 541_909
    assert data.report.dropped[0].rows == 135_080  # lines without a customer, as UCI counts them
    names = set(data.interactions["item_id"].to_pylist())
    assert not names & {"POSTAGE", "Bank Charges", "Manual", "CARRIAGE"}
    assert pc.min(data.interactions["value"]).as_py() >= 1
    kept, report = clean(data.interactions, now=1_700_000_000.0)
    assert report.rows_dropped == 0
    dataset = make_dataset(kept, data.items)
    assert dataset.n_items == len(data.items) == len(names)
