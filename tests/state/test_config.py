import math

import msgspec
import pytest

from nearline.errors import InvalidInput
from nearline.state import StateConfig


def test_weights_override_the_standard_weights() -> None:
    config = StateConfig(event_weights={"listen": 0.25, "purchase": 5.0}, default_event_weight=0.5)
    assert config.weight("listen") == 0.25
    assert config.weight("purchase") == 5.0
    assert config.weight("dislike") == -1.0
    assert config.weight("never heard of") == 0.5


def test_the_defaults() -> None:
    config = StateConfig()
    assert (config.history_length, config.trending_half_life) == (500, 604_800.0)
    assert (config.weight("view"), config.weight("cart"), config.weight("wave")) == (1, 2, 1)


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"history_length": 0}, "history_length"),
        ({"history_length": 100_001}, "history_length"),
        ({"trending_half_life": 0.5}, "trending_half_life"),
        ({"trending_half_life": math.inf}, "trending_half_life"),
        ({"trending_half_life": math.nan}, "trending_half_life"),
        ({"default_event_weight": math.nan}, "default_event_weight"),
        ({"event_weights": {"view": 2e6}}, "event_weights.view"),
        ({"event_weights": {"view": "2"}}, "event_weights.view"),
        ({"default_event_weight": None}, "default_event_weight"),
        ({"history_length": "500"}, "history_length"),
        ({"trending_half_life": None}, "trending_half_life"),
        ({"min_age": "1d"}, "min_age"),
        ({"max_weight_per_user": "1"}, "max_weight_per_user"),
    ],
)
def test_invalid_settings_are_rejected(settings: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput, match="must be") as caught:
        StateConfig(**settings)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_unknown_settings_are_rejected() -> None:
    with pytest.raises(msgspec.ValidationError, match="history_lenght"):
        msgspec.convert({"history_lenght": 3}, StateConfig)
