"""Messages of libraries and uncaught errors as JSON lines, while the server runs.

Without it, Python writes them to standard error as text.
"""

import logging
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

from nearline.server.logs import JsonLog, masked

_LEVELS = {
    logging.DEBUG: "debug",
    logging.INFO: "info",
    logging.WARNING: "warning",
    logging.ERROR: "error",
    logging.CRITICAL: "error",
}


class JsonHandler(logging.Handler):
    """Writes the records of Python's `logging` to a `JsonLog`."""

    def __init__(self, log: JsonLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record, with its traceback if it has one."""
        try:
            message, level = record.getMessage(), _LEVELS.get(record.levelno, "warning")
            error = record.exc_info[1] if record.exc_info else None
            if error is not None:
                self._log.failure(message, error, logger=record.name)
            else:
                shown = message if self._log.show_ids else masked(message)
                self._log.write(level, shown, logger=record.name)
        except Exception:  # a record whose arguments do not fit to its message
            self._log.write("error", str(record.msg), logger=record.name)


def everything_as_json(log: JsonLog) -> Callable[[], None]:
    """Write log records, warnings and uncaught errors as JSON lines until the result is called.

    If the program has configured logging itself, its records are left alone.
    """
    root, handler = logging.getLogger(), JsonHandler(log)
    configured = bool(root.handlers)
    hooks = threading.excepthook, sys.unraisablehook, warnings.showwarning
    threading.excepthook = lambda args: _report(log, "a thread failed", args.exc_value)
    sys.unraisablehook = lambda args: _report(log, args.err_msg or "ignored", args.exc_value)

    def show(message: Warning | str, category: type[Warning], *where: Any, **_: Any) -> None:
        place = ":".join(map(str, where[:2]))
        log.write("warning", str(message), category=category.__name__, place=place)

    warnings.showwarning = show
    if not configured:
        root.addHandler(handler)

    def restore() -> None:
        root.removeHandler(handler)
        threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks

    return restore


def _report(log: JsonLog, message: str, error: BaseException | None) -> None:
    if error is None:
        log.write("error", message)
    else:
        log.failure(message, error)
