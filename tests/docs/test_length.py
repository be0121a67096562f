"""No page of the documentation is so long that nobody reads it."""

import pytest
from tests.docs.blocks import ROOT

MAX_LINES = 250
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_at_most_250_lines(page: object) -> None:
    assert len(page.read_text(encoding="utf-8").splitlines()) <= MAX_LINES  # type: ignore[attr-defined]
