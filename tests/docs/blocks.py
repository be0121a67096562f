"""Fenced code blocks of a Markdown page, and what is to become of each.

The rules, the same on every page:

- a block with a title is a file: it is written to the page's folder;
- a `python` or `bash` block is run, in the order of the page;
- a `text` or `json` block directly behind one of those is its output;
- any other `json` or `toml` block must parse;
- what cannot be run says so, with a reason, on the line above: ``<!-- not run: ... -->``;
- an indented block is a drawing, and holds nothing to run.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_FENCE = re.compile(r"(?P<indent>\s*)```(?P<language>\w*)(?P<rest>.*)")
_TITLE = re.compile(r'title="([^"]+)"')
_NOT_RUN = re.compile(r"<!-- not run: (.+) -->")
RUN = ("python", "bash")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    where : str
        Page and line, for messages.
    answers : bool
        Whether it stands directly behind a block that is run, and so is its output.
    not_run : str
        Why it is not run; empty where it is.
    """

    where: str
    language: str
    title: str
    body: str
    answers: bool
    not_run: str


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks_of(page: Path) -> list[Block]:
    return list(parse(page.read_text(encoding="utf-8"), name_of(page)))


def parse(text: str, page: str) -> Iterator[Block]:
    """Yield the blocks of a page; refuse what the rules do not cover."""
    lines = text.splitlines()
    at, run_before = 0, False
    while at < len(lines):
        opening = _FENCE.fullmatch(lines[at])
        if opening is None:
            run_before = run_before and not lines[at].strip()
            at += 1
            continue
        where = f"{page}:{at + 1}"
        assert not opening["indent"], f"{where}: an indented fence is easily overlooked"
        assert opening["language"], f"{where}: a fence names its language"
        end = lines.index("```", at + 1)
        marker = _NOT_RUN.fullmatch(lines[at - 1]) if at else None
        title = _TITLE.search(opening["rest"])
        block = Block(
            where=where,
            language=opening["language"],
            title=title[1] if title else "",
            body="\n".join(lines[at + 1 : end]) + "\n",
            answers=run_before and opening["language"] not in RUN,
            not_run=marker[1] if marker else "",
        )
        yield block
        run_before = block.language in RUN and not (block.title or block.not_run)
        at = end + 1


def drawings_of(page: Path) -> list[str]:
    """First lines of the indented blocks of a page; the lines of a list are none."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    return re.findall(r"^(?![ \d-]).*\n\n {4}(\S.*)", text, flags=re.MULTILINE)
