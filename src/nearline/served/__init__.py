"""The served log: which lists were shown to whom, and what they led to."""

from nearline.served.attribution import Attributed, Led, LoggedRow, attribute, logged_rows
from nearline.served.log import ServedLog
from nearline.served.report import ReportLine, ServedReport, make_report
from nearline.served.rows import ItemsSeen, Served
from nearline.served.segments import read_segments

__all__ = [
    "Attributed",
    "ItemsSeen",
    "Led",
    "LoggedRow",
    "ReportLine",
    "Served",
    "ServedLog",
    "ServedReport",
    "attribute",
    "logged_rows",
    "make_report",
    "read_segments",
]
