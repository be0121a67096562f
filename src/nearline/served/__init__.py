"""The served log: which lists were shown to whom, and what they led to."""

from nearline.served.attribution import Attributed, LoggedRow, Outcome, attribute, logged_rows
from nearline.served.log import ServedLog
from nearline.served.report import Report, ReportLine, make_report
from nearline.served.rows import Served
from nearline.served.segments import read_segments

__all__ = [
    "Attributed",
    "LoggedRow",
    "Outcome",
    "Report",
    "ReportLine",
    "Served",
    "ServedLog",
    "attribute",
    "logged_rows",
    "make_report",
    "read_segments",
]
