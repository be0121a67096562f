"""The master key of the sealed stores of these tests."""

from collections.abc import Iterator

import pytest

from nearline.sealing import finding


@pytest.fixture(autouse=True)
def _master_key(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("NEARLINE_MASTER_KEY", "11" * 32)
    yield
    finding._unlocked.clear()
