"""Settings of the engine, and presets."""

import tomllib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from nearline.adapters.llm_config import LlmConfig
from nearline.common.budget import LEAST_BYTES, MOST_BYTES
from nearline.data import NONE, CleaningConfig, Order
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.base import Model
from nearline.models.registry import make_model
from nearline.models.settings import require
from nearline.schema.rules import EXCLUDE, check_repeats
from nearline.state import StateConfig


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `Recommender`.

    Attributes
    ----------
    state : StateConfig
        Event weights, length of histories, half-life of trending counts.
    cleaning : CleaningConfig
        Interactions that an import drops.
    model : str
        Name of the model to train and serve, one of `nearline.models`.
    settings : dict
        Settings of that model; the starting point if settings are searched.
    search : int
        Trials of a search over the model's search space before it is fitted; 0 disables it. (The
        item graph has its own search, which `settings` can disable.)
    encoder : str or None
        Language model whose vectors of item texts become a relation of the item graph (and
        features of the model `content`): "auto", a folder, a package or a name on the Hugging Face
        hub, see `nearline.encoders.open_encoder`. None uses no language model.
    exclude_seen : bool
        Whether the lists by which training chooses a model and reports its accuracy leave out items
        of the users' histories. Set it to False if users interact with items repeatedly. Requests
        have an option of the same name.
    repeats : str
        Default of the request option of the same name: "exclude", "include" or "auto".
    imply_impressions : bool
        Whether each answer to a user counts as an impression of all its items, so that frequency
        caps and rotation work without `POST /v1/impressions`. Answers are then not cached.
    online : bool
        Whether the serving model learns from each event, if it supports online learning. Histories
        and trending counts are updated in any case.
    merge_events : int
        Number of log records after which online updates are merged into a new snapshot in the
        background.
    reserve : bool
        Whether to preallocate memory for online updates between two merges, about 3 kB per record,
        so that memory is constant while serving (`nearline serve` does this).
    keep_snapshots : int
        Number of snapshots to keep in a store, including the serving one.
    similar_users : int
        Minimum number of users of an item for `similar`. With 2, for example, an item that only one
        person has interacted with has no similar items and is not among those of others, so that
        the list does not show what this person has looked at.
    trial_users : int
        Number of users whose newest event is held out to compare a newly trained model with the
        serving one before promotion; 0 promotes without a comparison.
    checkpoint_events : int
        Number of log records after which the state is checkpointed in the background.
    checkpoint_seconds : float
        Seconds after which the state is checkpointed if there are new records.
    memory : int or None
        Memory budget in bytes, at least 128 MB: half of it bounds the process of a job, and a
        sixteenth, at most 256 MB, the records that wait to be written to the log. None means half
        of the memory of the machine or the container.
    llm : LlmConfig or None
        Language model that reranks lists and writes explanations when a request asks for it; None
        disables both.
    """

    state: StateConfig = StateConfig()
    cleaning: CleaningConfig = CleaningConfig()
    model: str = "item_graph"
    settings: dict[str, Any] = {}
    search: int = 0
    encoder: str | None = None
    exclude_seen: bool = True
    repeats: str = EXCLUDE
    imply_impressions: bool = False
    online: bool = True
    merge_events: int = 30_000
    reserve: bool = False
    keep_snapshots: int = 3
    similar_users: int = 1
    trial_users: int = 10_000
    checkpoint_events: int = 100_000
    checkpoint_seconds: float = 300.0
    memory: int | None = None
    llm: LlmConfig | None = None

    def __post_init__(self) -> None:
        """Validate the memory budget and `repeats`; raise `InvalidInput`."""
        if self.memory is not None:
            require(self, "memory", LEAST_BYTES, MOST_BYTES)
        check_repeats(self.repeats)

    def new_model(self) -> Model:
        """Create the unfitted model.

        Raises
        ------
        InvalidInput
            There is no such model, or it has no such setting.
        """
        return make_model(self.model, self.settings)


SETTINGS_FILE = "nearline.toml"


class _File(Struct, frozen=True, forbid_unknown_fields=True):
    """What the file of settings in a store's folder may hold."""

    weights: dict[str, float] = {}


def with_weights_of(folder: Path | None, config: Config) -> Config:
    """Return `config` with the weights that stand in ``nearline.toml``; its own come first.

    Raises
    ------
    InvalidInput
        The file is not valid TOML, or holds something else than numbers under ``[weights]``.
    """
    path = None if folder is None else folder / SETTINGS_FILE
    if path is None or not path.is_file():
        return config
    try:
        found = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), _File)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise InvalidInput(
            f"{path} is not valid: {error}; it may hold a table [weights] with a number for each "
            "kind of event"
        ) from error
    weights = {**found.weights, **config.state.event_weights}
    return replace(config, state=replace(config.state, event_weights=weights))


# Model of the preset "best", and its parts. Popularity helps users with very short histories.
BEST_MODEL = "learned_ranking"
BEST: dict[str, Any] = {
    "parts": [
        {"model": "item_graph"},
        {"model": "sasrec", "weight": 0.35, "normaliser": "softmax", "temperature": 2.0},
        {"model": "popularity", "weight": 0.05},
    ]
}

# Parts for interactions without order: factors and a filter instead of the transformer, and EASE
# for catalogues of up to `MOST_EASE_ITEMS` items.
BEST_FOR_SETS: dict[str, Any] = {
    "parts": [
        {"model": "item_graph"},
        {"model": "implicit_als", "settings": {"factors": 128}, "weight": 0.4},
        {"model": "spectral_filter", "weight": 0.4},
        {"model": "popularity", "weight": 0.05},
    ]
}
# Parts for histories that are as short as sessions.
BEST_FOR_SESSIONS: dict[str, Any] = {
    "parts": [*BEST["parts"], {"model": "session_knn", "weight": 1.0}],
}
EASE_PART: dict[str, Any] = {"model": "ease", "weight": 0.5}
MOST_EASE_ITEMS = 8_000


def for_order(config: Config, order: Order, n_items: int, *, sessions: bool = False) -> Config:
    """Return the settings to train with, given the order of the interactions.

    They differ from `config` only for the preset "best", and for interactions without order or
    histories that are as short as sessions.
    """
    if config.model != BEST_MODEL or config.settings != BEST:
        return config
    if order != NONE:
        return replace(config, settings=BEST_FOR_SESSIONS) if sessions else config
    ease = [EASE_PART] if n_items <= MOST_EASE_ITEMS else []
    return replace(config, settings={"parts": BEST_FOR_SETS["parts"] + ease})


def configured(config: Config, preset: str, encoder: str | None) -> Config:
    """Return a copy of `config` with the settings of a preset and an encoder.

    Raises
    ------
    MissingExtra
        The preset needs packages that are not installed.
    InvalidInput
        There is no such preset.
    """
    if encoder is not None:
        config = replace(config, encoder=encoder)
    if preset == "fast":
        return config
    if preset != "best":
        raise InvalidInput(f"preset is {preset!r}; allowed are 'fast' and 'best'", field="preset")
    for package in ("torch", "onnx", "onnxscript", "lightgbm"):
        if find_spec(package) is None:
            raise MissingExtra(
                f"preset 'best' needs {package}, which is not installed: "
                "pip install nearline[neural], or use preset='fast'"
            )
    return replace(config, model=BEST_MODEL, settings=BEST)
