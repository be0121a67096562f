"""Settings of the engine as a whole; each part's own settings stand beside the part."""

from importlib.util import find_spec
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from nearline.adapters.llm_config import LlmConfig
from nearline.data import CleaningConfig
from nearline.errors import InvalidInput, MissingExtra
from nearline.models.base import Model
from nearline.models.registry import make_model
from nearline.state import StateConfig


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a `Recommender`.

    Attributes
    ----------
    state : StateConfig
        Event weights, length of histories, half-life of what is trending.
    cleaning : CleaningConfig
        What an import drops.
    model : str
        Name of the model that is trained and serves, one of `nearline.models`.
    settings : dict
        Settings of that model, as its own configuration names them; where it is searched, where
        the search starts.
    search : int
        Trials of a search over the model's declared space before it is fitted; 0 for none. (The
        item graph has a search of its own, which `settings` can turn off.)
    encoder : str or None
        Language model whose vectors of item texts become a relation of the item graph (and a block
        of the model `content`): "auto", a folder, a package or a name on the Hugging Face hub, see
        `nearline.encoders.open_encoder`. None does without.
    online : bool
        Whether events change the model that serves as they come, where it can learn; histories and
        what is trending follow them in any case.
    merge_events : int
        Log records after which what the model learned since its snapshot is merged into a new one
        in the background.
    reserve : bool
        Set memory aside for what the model learns between two merges, some 3 kB a record, so that
        it is flat while serving (`nearline serve` does).
    keep_snapshots : int
        Snapshots kept in a store, the serving one included.
    trial_users : int
        Users whose newest event is held out to compare a model that was trained in the background
        with the one that serves; 0 promotes without a comparison.
    checkpoint_events : int
        Log records after which the state is written to its checkpoint in the background.
    checkpoint_seconds : float
        Seconds after which it is, if there was any record.
    llm : LlmConfig or None
        A language model to put lists in order and to word explanations where a request wants it;
        None asks none.
    """

    state: StateConfig = StateConfig()
    cleaning: CleaningConfig = CleaningConfig()
    model: str = "item_graph"
    settings: dict[str, Any] = {}
    search: int = 0
    encoder: str | None = None
    online: bool = True
    merge_events: int = 30_000
    reserve: bool = False
    keep_snapshots: int = 3
    trial_users: int = 10_000
    checkpoint_events: int = 100_000
    checkpoint_seconds: float = 300.0
    llm: LlmConfig | None = None

    def new_model(self) -> Model:
        """Make the model, not yet fitted.

        Raises
        ------
        InvalidInput
            There is no such model, or it has no such setting.
        """
        return make_model(self.model, self.settings)


# Model of preset "best", and its parts. Popularity helps where next to nothing is known of a user.
BEST_MODEL = "learned_ranking"
BEST: dict[str, Any] = {
    "parts": [
        {"model": "item_graph"},
        {"model": "sasrec", "weight": 0.35, "normaliser": "softmax", "temperature": 2.0},
        {"model": "popularity", "weight": 0.05},
    ]
}


def configured(config: Config, preset: str, encoder: str | None) -> Config:
    """Return settings with those of the preset, and with the encoder.

    Raises
    ------
    MissingExtra
        The preset trains with packages that are not installed.
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
                f"preset 'best' is trained with {package}, which is not installed: "
                "pip install nearline[neural], or use preset='fast'"
            )
    return replace(config, model=BEST_MODEL, settings=BEST)
