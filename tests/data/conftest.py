"""Folder of the real data sets."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real data sets: ``$NEARLINE_DATA``, or ``shared/data`` beside the project."""
    beside = Path(__file__).parents[3] / "shared" / "data"
    folder = Path(os.environ.get("NEARLINE_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"real data sets are not in {folder}; set NEARLINE_DATA to their folder")
    return folder
