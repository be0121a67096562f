"""Names of kinds of events in other programs."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nearline as nl
from nearline.config import Config
from nearline.errors import InvalidInput
from nearline.state import STANDARD_WEIGHTS, StateConfig
from nearline.state.kinds import standard_kind

PLAIN = StateConfig()


@pytest.mark.parametrize(
    ("kind", "standard"),
    [
        ("Purchase", "purchase"),
        ("PURCHASE", "purchase"),
        ("addtocart", "cart"),
        ("add_to_cart", "cart"),
        ("Add to Cart", "cart"),
        ("add-to-cart", "cart"),
        ("remove_from_cart", "remove"),
        ("Product Removed", "remove"),
        ("Product Viewed", "view"),
        ("page_view", "view"),
        ("view_item", "view"),
        ("Order Completed", "purchase"),
        ("transaction", "purchase"),
        ("refund", "refund"),
        ("cancelled", "refund"),
        ("thumbs_down", "dislike"),
        ("Thumbs-Up", "like"),
        ("not interested", "hide"),
        ("wishlist", "save"),
        ("watched", "play"),
        ("Review", "rating"),
    ],
)
def test_other_names(kind: str, standard: str) -> None:
    assert standard_kind(kind) == standard
    assert PLAIN.weight(kind) == STANDARD_WEIGHTS[standard]
    assert PLAIN.knows(kind)


@pytest.mark.parametrize("kind", ["impression", "0", "", "viewpoint", "purchased?no", "_", "ärger"])
def test_unknown_names(kind: str) -> None:
    assert not PLAIN.knows(kind)
    assert PLAIN.weight(kind) == 1.0


@given(
    kind=st.sampled_from(sorted(STANDARD_WEIGHTS)),
    mark=st.sampled_from(["_", "-", " ", "", "__", "."]),
    style=st.sampled_from([str.upper, str.title, str.lower]),
)
def test_case_and_punctuation_are_ignored(
    kind: str, mark: str, style: Callable[[str], str]
) -> None:
    written = style(kind.replace("_", mark))
    assert PLAIN.weight(written) == STANDARD_WEIGHTS[kind]


def test_kinds_that_revoke_or_complain_have_negative_weights() -> None:
    against = {kind for kind, weight in STANDARD_WEIGHTS.items() if weight < 0}
    assert against == {"remove", "skip", "low_rating", "dislike", "hide", "refund"}


def test_configured_weights_override_standard_weights() -> None:
    config = StateConfig(event_weights={"cart": 7.0, "Impression": 0.0, "buy": 9.0})
    assert config.weight("add_to_cart") == 7.0
    assert config.weight("impression") == 0.0
    assert config.knows("IMPRESSION")
    assert config.weight("buy") == 9.0
    assert config.weight("purchase") == 3.0


def weights_in(store: Path, kind: str, config: Config | None = None) -> float:
    with nl.Recommender(store, config=config) as rec:
        return rec.config.state.weight(kind)


def test_the_file_in_the_folder_of_a_store(tmp_path: Path) -> None:
    (tmp_path / "nearline.toml").write_text("[weights]\nimpression = 0\ncart = 5.5\n")
    assert weights_in(tmp_path, "impression") == 0.0
    assert weights_in(tmp_path, "add_to_cart") == 5.5
    own = Config(state=StateConfig(event_weights={"cart": 1.5}))
    assert weights_in(tmp_path, "cart", own) == 1.5
    assert weights_in(tmp_path, "impression", own) == 0.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[weights", "TOML"),
        ("[weights]\ncart = 'much'\n", r"\[weights\].*`\$\[\.\.\.\]`"),
        ("[wights]\ncart = 2\n", "did you mean 'weights'"),
        ("weights = 3\n", r"\[weights\]"),
    ],
)
def test_an_invalid_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "nearline.toml").write_text(text)
    with pytest.raises(InvalidInput, match=rf"nearline\.toml is not valid.*{message}"):
        nl.Recommender(tmp_path)


def test_other_weights_fold_the_log_again(tmp_path: Path) -> None:
    """A checkpoint made with other weights is not used."""
    with nl.Recommender(tmp_path) as rec:
        rec.observe("ann", "tea", "impression")
        assert rec._current.deployment.state.counters.events == 1
    (tmp_path / "nearline.toml").write_text("[weights]\nimpression = 0\n")
    with nl.Recommender(tmp_path) as rec:
        assert rec._current.deployment.state.counters.events == 0
