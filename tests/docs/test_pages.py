"""Every code block of README and docs is run."""

from pathlib import Path

import pytest
from tests.docs.blocks import PAGES, Block, blocks_of, drawings_of, name_of, parse
from tests.docs.running import Reader, check_output

# Page and beginning of every block that cannot be run here. A new one needs a good reason.
NOT_RUN = {
    ("README.md", "make demo"),
    ("README.md", "python3 -m venv"),
    ("docs/comparison.md", "nearline compare online-retail --large"),
    ("docs/encoders.md", "pip install 'nearline"),
    ("docs/filters.md", "nearline "),
    ("docs/howto-cli.md", "nearline demo"),
    ("docs/howto-container.md", "NEARLINE_API_KEY=... docker compose"),
    ("docs/howto-container.md", "apt-get install"),
    ("docs/howto-container.md", "docker build"),
    ("docs/howto-container.md", "docker run"),
    ("docs/howto-kafka.md", "nearline ingest kafka"),
    ("docs/howto-kafka.md", "nearline serve"),
    ("docs/howto-kafka.md", "pip install"),
    ("docs/howto-keys.md", "nearline keys create --store shop/ --pub"),
    ("docs/howto-keys.md", "nearline keys create --store shop/ --sco"),
    ("docs/howto-keys.md", "nearline serve"),
    ("docs/howto-spark.md", "import numpy"),
    ("docs/howto-spark.md", "pip install"),
    ("docs/howto-statistics.md", "nearline statistics release"),
    ("docs/howto-valkey.md", "import asyncio"),
    ("docs/howto-valkey.md", "pip install"),
    ("docs/quickstart.md", "make setup"),
    ("docs/scaling.md", "pip install"),
    ("docs/sealing.md", "nearline retain"),
    ("docs/sealing.md", "nearline seal --store shop/ --master-key file:master.key\n"),
    ("docs/sealing.md", "nearline seal --store shop/ --master-key file:old.key"),
    ("docs/sealing.md", "openssl rand"),
    ("docs/security.md", "nearline audit profiles"),
}
# Page and beginning of every indented block.
DRAWINGS = {
    ("README.md", "Python  ┐"),
    ("docs/architecture.md", "Python  ┐"),
    ("docs/architecture.md", "score(u, j) ="),
    ("docs/item-graph.md", "A(u, j) = sum"),
    ("docs/item-graph.md", "score(u, j) = rises"),
    ("docs/item-graph.md", "score(u, j) = sum"),
}


@pytest.mark.parametrize("page", [p for p in PAGES if blocks_of(p)], ids=name_of)
def test_every_block_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with Reader(tmp_path) as reader:
        for block in blocks_of(page):
            reader.follow(block)


def test_only_these_blocks_are_not_run() -> None:
    found = [
        (name_of(page), block.body) for page in PAGES for block in blocks_of(page) if block.not_run
    ]
    assert begin_with(found, NOT_RUN)


def test_only_these_blocks_are_drawings() -> None:
    found = [(name_of(page), line) for page in PAGES for line in drawings_of(page)]
    assert begin_with(found, DRAWINGS)


def begin_with(found: list[tuple[str, str]], known: set[tuple[str, str]]) -> bool:
    """Whether the blocks found begin as the known ones do, one for one."""
    pairs = zip(sorted(found), sorted(known), strict=True)
    return all(page == at and text.startswith(start) for (page, text), (at, start) in pairs)


PAGE = """
```csv title="a.csv"
x
```

```python
print(1, 2.345)
```

```text
1 2...
```

```bash
cat a.csv; printf '{"a": [1, 7]}' > b.json; cat b.json >&2
```

Some words.

```json
{"a": 1}
```

<!-- not run: it would not end -->
```bash
yes
```
"""


def test_what_becomes_of_blocks(tmp_path: Path) -> None:
    blocks = list(parse(PAGE, "page.md"))
    told = [(b.where, b.language, b.title, b.answers, b.not_run) for b in blocks]
    assert told == [
        ("page.md:2", "csv", "a.csv", False, ""),
        ("page.md:6", "python", "", False, ""),
        ("page.md:10", "text", "", True, ""),
        ("page.md:14", "bash", "", False, ""),
        ("page.md:20", "json", "", False, ""),
        ("page.md:25", "bash", "", False, "it would not end"),
    ]
    with Reader(tmp_path) as reader:
        for block in blocks:
            reader.follow(block)
    assert (tmp_path / "a.csv").read_text() == "x\n"


@pytest.mark.parametrize(
    ("language", "shown", "found", "right"),
    [
        ("text", "a\nb\n", "a\nb\n", True),
        ("text", "a\n", "a\nb\n", False),
        ("text", "a  b\n...\n", "a b \nc\nd\n", True),
        ("json", '{"a": [1, "..."]}', '{"a": [1, {"b": 2}]}', True),
        ("json", '{"a": [1, 2]}', '{"a": [1]}', False),
        ("json", '{"a": 1}', '{"a": 1, "b": 2}', False),
    ],
)
def test_output_is_compared(language: str, shown: str, found: str, right: bool) -> None:
    block = Block("page.md:1", language, "", shown, answers=True, not_run="")
    if right:
        check_output(block, found)
    else:
        with pytest.raises(AssertionError, match=r"page\.md:1"):
            check_output(block, found)


@pytest.mark.parametrize(
    "text", ["```python\n1 / 0\n```", "```bash\nfalse\n```", "```toml\na =\n```", "```ini\na\n```"]
)
def test_what_fails_is_noticed(text: str, tmp_path: Path) -> None:
    with Reader(tmp_path) as reader, pytest.raises(Exception):  # noqa: B017
        reader.follow(*parse(text, "page.md"))


@pytest.mark.parametrize("text", ["  ```python\n```", "```\nx\n```"])
def test_blocks_that_could_be_overlooked_are_refused(text: str) -> None:
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        list(parse(text, "page.md"))
