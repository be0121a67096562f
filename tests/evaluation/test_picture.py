import sys
from pathlib import Path

import numpy as np
import pytest
from tests.models.synthetic import shop

from nearline.common.pictures import check_picture
from nearline.data import leave_one_out, random_folds
from nearline.errors import InvalidInput, MissingExtra
from nearline.evaluation.comparison import compare_models
from nearline.evaluation.picture import draw
from nearline.evaluation.rating_comparison import compare_ratings
from nearline.models.factors.svd import Svd
from nearline.models.popularity import Popularity, Trending

DATA = shop()[0]


def test_a_comparison_of_lists(tmp_path: Path) -> None:
    found = compare_models([Popularity(), Trending()], leave_one_out(DATA))
    draw(found, tmp_path / "lists.svg", "A shop: every item ranked")
    text = (tmp_path / "lists.svg").read_text()
    best = found.entries[0]
    for words in ("popularity", "trending", "ndcg@10", f"{best.report.means['ndcg@10']:.4f}"):
        assert f"<!-- {words}" in text
    long = "as many words as would not stand on one line " * 4
    draw(found, tmp_path / "long.svg", long)
    text = (tmp_path / "long.svg").read_text()
    assert long.split(maxsplit=3)[0] in text
    assert long.strip() not in text
    draw(found, tmp_path / "lists.png", "the same")
    assert (tmp_path / "lists.png").read_bytes()[:4] == b"\x89PNG"


def test_a_comparison_of_ratings(tmp_path: Path) -> None:
    folds = random_folds(DATA.rated(), 2, np.random.default_rng(0))
    draw(compare_ratings([Svd()], folds), tmp_path / "ratings.SVG", "Ratings")
    text = (tmp_path / "ratings.SVG").read_text()
    assert "<!-- rmse, 95 % interval (lower is better) -->" in text


def test_an_invalid_picture_is_rejected_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InvalidInput, match=r"\.png or \.svg"):
        check_picture(tmp_path / "all.jpg")
    with pytest.raises(InvalidInput, match="there is no folder"):
        check_picture(tmp_path / "none" / "all.png")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtra, match=r"nearline\[plot\]"):
        check_picture(tmp_path / "all.png")
