"""Settings of the engine as a whole; each part's own settings stand beside the part."""

from msgspec import Struct

from nearline.data import CleaningConfig
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.item_graph_config import ItemGraphConfig
from nearline.state import StateConfig


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `Recommender`.

    Attributes
    ----------
    state : StateConfig
        Event weights, length of histories, half-life of what is trending.
    cleaning : CleaningConfig
        What an import drops.
    model : ItemGraphConfig
        Starting point of the search over the item graph's own settings.
    keep_snapshots : int
        Snapshots kept in a store, the serving one included.
    """

    state: StateConfig = StateConfig()
    cleaning: CleaningConfig = CleaningConfig()
    model: ItemGraphConfig = ItemGraphConfig()
    keep_snapshots: int = 3


def check_variant(preset: str, encoder: str | None) -> None:
    """Raise where a preset or encoder is asked for that this version does not have."""
    if preset == "best":
        raise MissingExtra("preset 'best' is not part of this version; use preset='fast'")
    if preset != "fast":
        raise InvalidInput(f"preset is {preset!r}; allowed is 'fast'", field="preset")
    if encoder is not None:
        raise MissingExtra("encoders are not part of this version; leave encoder out")
