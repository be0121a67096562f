"""Summaries of the last imports, in a file in the store's folder."""

import os
from pathlib import Path
from typing import Any

import msgspec

IMPORTS = "imports.json"
_KEPT = 20
_EXAMPLE = "example"


def keep_summary(folder: Path, summary: dict[str, Any], *, examples: bool = True) -> None:
    """Add the summary of an import, with or without examples; only the last twenty are kept."""
    summary = summary if examples else _without_examples(summary)
    _write(folder / IMPORTS, [*kept_summaries(folder), summary][-_KEPT:])


def kept_summaries(folder: Path) -> list[dict[str, Any]]:
    """Return the summaries of the last imports, oldest first."""
    try:
        found = msgspec.json.decode((folder / IMPORTS).read_bytes())
    except (FileNotFoundError, msgspec.DecodeError):
        return []
    return found if isinstance(found, list) else []


def forget_examples(folder: Path) -> None:
    """Remove the examples from all summaries, since they may contain data of an erased user."""
    found = kept_summaries(folder)
    if found:
        _write(folder / IMPORTS, [_without_examples(summary) for summary in found])


def _without_examples(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: "" if name == _EXAMPLE else _without_examples(each)
            for name, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [_without_examples(each) for each in value]
    return value


def _write(path: Path, summaries: list[dict[str, Any]]) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as file:
        file.write(msgspec.json.encode(summaries))
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
