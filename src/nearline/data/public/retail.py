"""Online Retail: a year of uncleaned invoices of a British gift shop."""

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.columns import to_ids, to_numbers, to_seconds
from nearline.data.public.base import Progress, PublicDataset, download, local_folder
from nearline.data.report import CleaningReport, Sieve
from nearline.data.sources import read_table
from nearline.errors import DataNotFound, InvalidInput
from nearline.schema import Item

NAME = "online-retail"
TERMS = "Online Retail (D. Chen, UCI Machine Learning Repository, 2015), CC BY 4.0."
_URL = "https://archive.ics.uci.edu/static/public/352/data.csv"
_COLUMNS = ("Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID")
# In the file of UCI, 12/1/2010 8:26 is the first of December.
_US_TIME = "%m/%d/%Y %H:%M"
# Lines of an invoice that are not products, in upper case.
_NO_PRODUCT = (
    "POSTAGE",
    "DOTCOM POSTAGE",
    "CARRIAGE",
    "NEXT DAY CARRIAGE",
    "PACKING CHARGE",
    "BANK CHARGES",
    "AMAZON FEE",
    "ADJUST BAD DEBT",
    "CRUK COMMISSION",
    "DISCOUNT",
    "MANUAL",
    "SAMPLES",
    "HIGH RESOLUTION IMAGE",
)


def load(
    path: str | Path | None,
    cache: Path,
    progress: Progress | None,
    notify: Callable[[str], None],
) -> PublicDataset:
    """Read the data set from `path` (a CSV or Parquet file, or its folder), `cache` or UCI."""
    kept = local_folder(NAME, path)
    if kept is None:
        kept = cache / NAME / "online-retail.csv"
        if not kept.exists():
            notify(TERMS)
            _fetch(kept, progress)
    elif kept.is_dir():
        kept = _only_file(kept)
    table, report = _sift(read_table(kept, pick=_pick))
    return PublicDataset(NAME, table.drop_columns("price"), _items(table), TERMS, report=report)


def _fetch(target: Path, progress: Progress | None) -> None:
    try:
        download(_URL, target, progress=progress)
    except DataNotFound as error:
        raise DataNotFound(
            f"{error}. Fetch the data set 352 of the UCI repository by hand, store it as CSV and "
            "pass its path, or use the data set 'synthetic', which needs no network"
        ) from error


def _only_file(folder: Path) -> Path:
    files = sorted([*folder.glob("*.parquet"), *folder.glob("*.csv")])
    if len(files) != 1:
        raise DataNotFound(
            f"{folder} holds {len(files)} CSV and Parquet files; pass the path of the one to read"
        )
    return files[0]


def _pick(found: Sequence[str]) -> Collection[str]:
    missing = [name for name in _COLUMNS if name not in found]
    if missing:
        raise InvalidInput(
            f"{NAME} lacks the columns {', '.join(missing)}; found are {', '.join(found)}. "
            "Pass the file as UCI publishes it, as CSV or Parquet"
        )
    return _COLUMNS


def _sift(raw: pa.Table) -> tuple[pa.Table, CleaningReport]:
    sieve = Sieve(
        pa.table(
            {
                "user_id": pc.replace_substring_regex(
                    to_ids(raw["CustomerID"], "CustomerID"), r"\.0$", ""
                ),
                "item_id": _squeezed(raw["Description"]),
                "timestamp": _times(raw["InvoiceDate"]),
                "event": pa.repeat("purchase", raw.num_rows),
                "value": to_numbers(raw["Quantity"], "Quantity"),
                "price": to_numbers(raw["UnitPrice"], "UnitPrice"),
            }
        ),
        ["user_id", "item_id", "timestamp", "value"],
    )
    for field, what in (("user_id", "customer"), ("item_id", "description")):
        sieve.drop(pc.equal(pc.fill_null(sieve.table[field], ""), ""), f"{what} is missing")
    sieve.drop(
        pc.less_equal(sieve.table["value"], 0), "a return or correction: quantity is not positive"
    )
    name = pc.utf8_upper(sieve.table["item_id"])
    sieve.drop(
        pc.is_in(name, value_set=pa.array(_NO_PRODUCT)), "postage, a charge or a manual line"
    )
    return _join_lines(sieve)


def _join_lines(sieve: Sieve) -> tuple[pa.Table, CleaningReport]:
    """Merge rows with equal customer, product and time, and sum their quantities."""
    keys = ["user_id", "item_id", "timestamp"]
    lines = sieve.table.append_column("row", pa.array(np.arange(sieve.table.num_rows)))
    joined = lines.group_by(keys).aggregate([("row", "min"), ("value", "sum")]).sort_by("row_min")
    later = np.ones(lines.num_rows, dtype=np.bool_)
    later[joined["row_min"].to_numpy()] = False
    sieve.drop(later, "joined to an earlier line of the same customer, product and time")
    column = sieve.table.schema.get_field_index("value")
    return sieve.table.set_column(column, "value", joined["value_sum"]), sieve.report()


def _items(table: pa.Table) -> list[Item]:
    facts = table.group_by("item_id", use_threads=False).aggregate(
        [("timestamp", "min"), ("price", "mean")]
    )
    return [
        Item(
            item_id=row["item_id"],
            timestamp=row["timestamp_min"],
            title=row["item_id"],
            attributes={"price": round(row["price_mean"], 2)},
        )
        for row in facts.to_pylist()
    ]


def _squeezed(column: Any) -> Any:
    return pc.utf8_trim_whitespace(pc.replace_substring_regex(column, r"\s+", " "))


def _times(column: Any) -> Any:
    if pa.types.is_string(column.type):
        times = pc.strptime(column, _US_TIME, "s", error_is_null=True)
        if times.null_count < len(times):
            column = times
    return to_seconds(column, "InvoiceDate")
