"""Settings of the engine, and presets."""

import tomllib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct
from msgspec.structs import fields, replace

from nearline.adapters.llm_config import LlmConfig
from nearline.common.budget import LEAST_BYTES, MOST_BYTES
from nearline.data import NONE, CleaningConfig, Order
from nearline.errors import DataNotFound, InvalidInput, MissingExtra
from nearline.expressions import parse
from nearline.models.base import Model
from nearline.models.registry import make_model
from nearline.models.settings import require
from nearline.schema.arguments import mapping
from nearline.schema.definitions import check_rule, check_scenario, nearest
from nearline.schema.retention import check_retention
from nearline.schema.rules import EXCLUDE, check_repeats
from nearline.sealing.master import check_file_source
from nearline.served.attribution import check_windows, kind_of
from nearline.state import StateConfig

MOST_SECONDS = 1e9


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
    search_seconds : float or None
        Seconds after which a search for settings, and the comparison with other models, end with
        the best found so far. Equal data then need not give equal models. None means no limit: the
        number of settings is limited, and those of large data are searched on a sample of users.
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
    least_people : int or None
        Minimum number of users of an item in lists for everybody: items with fewer, but at least
        one, are withheld. None means 20 in a sealed store, and 0 in others.
    privacy_budget : float
        Sum of the epsilons of all statistics that the store releases; see `Recommender.statistics`.
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
    scenarios, rules : dict
        Scenarios and rules by name, each with its fields, that are stored when the recommender is
        opened, unless one of the name is there or was deleted.
    retention : dict of str to str
        How long events of each kind are kept, such as ``{"view": "90d"}``: a whole number with a
        unit (s, m, h, d, w or y). "impression" stands for the items shown to users, and "*" for all
        kinds that are not named. Expired events are removed in the background as if they had never
        been. Empty keeps all events.
    adapt : bool
        Whether the weights of the item graph's relations follow the events; see
        `nearline.engine.adaptation`.
    served_days : float
        Days for which lists with `track` are kept in the served log, at least 1.
    attribution : dict of str to float
        Seconds after a list was served within which an event counts for it, by kind of event, where
        they differ from the standard: an hour for view, click, open and play, seven days for
        purchase, and a day for others.
    seal : str or None
        Source of the master key with which a new store is sealed, and a sealed one is opened:
        ``env:NAME``, ``file:PATH`` or ``command:PROGRAM ARGUMENTS``. None opens a sealed store with
        the source in the variable ``NEARLINE_SEAL``, or else the key in ``NEARLINE_MASTER_KEY``.
    file : str or None
        TOML file with settings that hold where this object has the defaults; None for
        ``nearline.toml`` in the folder of the store, if it exists; an empty string for none.
    """

    state: StateConfig = StateConfig()
    cleaning: CleaningConfig = CleaningConfig()
    model: str = "item_graph"
    settings: dict[str, Any] = {}
    search: int = 0
    search_seconds: float | None = None
    encoder: str | None = None
    exclude_seen: bool = True
    repeats: str = EXCLUDE
    imply_impressions: bool = False
    online: bool = True
    merge_events: int = 30_000
    reserve: bool = False
    keep_snapshots: int = 3
    similar_users: int = 1
    least_people: int | None = None
    privacy_budget: float = 0.0
    trial_users: int = 10_000
    checkpoint_events: int = 100_000
    checkpoint_seconds: float = 300.0
    memory: int | None = None
    llm: LlmConfig | None = None
    scenarios: dict[str, dict[str, Any]] = {}
    rules: dict[str, dict[str, Any]] = {}
    retention: dict[str, str] = {}
    seal: str | None = None
    adapt: bool = False
    served_days: float = 90.0
    attribution: dict[str, float] = {}
    file: str | None = None

    def __post_init__(self) -> None:
        """Validate the memory budget and other settings; raise `InvalidInput`."""
        if self.memory is not None:
            require(self, "memory", LEAST_BYTES, MOST_BYTES)
        if self.least_people is not None:
            require(self, "least_people", 0, 1_000_000)
        if self.search_seconds is not None:
            require(self, "search_seconds", 0, MOST_SECONDS)
        check_repeats(self.repeats)
        check_retention(self.retention)
        require(self, "served_days", 1.0, MAX_DAYS)
        require(self, "privacy_budget", 0, 1_000)
        check_windows(self.attribution)

    @property
    def windows(self) -> dict[str, float]:
        """Attribution windows in seconds by standard kind of event."""
        return {kind_of(kind): seconds for kind, seconds in self.attribution.items()}

    def new_model(self) -> Model:
        """Create the unfitted model.

        Raises
        ------
        InvalidInput
            There is no such model, or it has no such setting.
        """
        return make_model(self.model, self.settings)


# Most days for which served lists are kept.
MAX_DAYS = 3_650.0

SETTINGS_FILE = "nearline.toml"
# Value of `Config.file` for settings that no file adds to.
NO_FILE = ""
# Tables of a file that are not settings of `Config`.
WEIGHTS, LIMITS = "weights", "limits"


class FileSettings(NamedTuple):
    """Content of a file of settings.

    Attributes
    ----------
    path : Path or None
        The file; None if there is none.
    config : dict
        Settings of `Config` that the file sets, by name; those of nested settings are nested.
    limits : dict
        Limits of the server (`nearline.server.Limits`) that it sets.
    """

    path: Path | None
    config: dict[str, Any]
    limits: dict[str, Any]


def read_settings(folder: Path | None, file: str | None) -> FileSettings:
    """Read the file of settings of a store.

    Parameters
    ----------
    folder : Path or None
        Folder of the store, whose ``nearline.toml`` is read if it exists.
    file : str or None
        Another file to read instead; an empty string reads none.

    Raises
    ------
    DataNotFound
        There is no `file`.
    InvalidInput
        The file is not valid TOML, or holds an unknown name or an invalid value.
    """
    path = Path(file) if file else None if folder is None else folder / SETTINGS_FILE
    if file == NO_FILE or path is None or (file is None and not path.is_file()):
        return FileSettings(None, {}, {})
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataNotFound(f"there is no file {path}; name a file of settings") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} is not valid TOML: {error}") from error
    try:
        limits, weights = found.pop(LIMITS, {}), found.pop(WEIGHTS, {})
        check_names(found, Config, extra=(WEIGHTS, LIMITS), without=("file",))
        config = msgspec.to_builtins(msgspec.convert(found, Config))
        known = {name: _given(config[name], value) for name, value in found.items()}
        if weights:
            numbers = _weights(weights)
            state = known.setdefault("state", {})
            state["event_weights"] = {**state.get("event_weights", {}), **numbers}
        for kind, check in (("scenarios", check_scenario), ("rules", check_rule)):
            for name, fields in known.get(kind, {}).items():
                try:
                    _check_syntax(check(name, fields))
                except InvalidInput as error:
                    raise InvalidInput(f"{kind}.{name}: {error.message}") from None
        check_file_source(known.get("seal"))
    except (msgspec.ValidationError, InvalidInput) as error:
        raise InvalidInput(f"{path} is not valid: {error}") from None
    return FileSettings(path, known, mapping(limits, LIMITS, "in_flight = 100"))


def _check_syntax(body: Mapping[str, Any]) -> None:
    """Check the expressions of a definition, without the names of attributes in them."""
    texts = [body[name] for name in ("filter", "boost") if name in body]
    texts += [body[action]["filter"] for action in ("bury", "scale") if action in body]
    for text in texts:
        parse(text)


def _weights(table: object) -> dict[str, float]:
    """Return the weights in the table of a file; raise `InvalidInput` if they are not numbers."""
    try:
        found = msgspec.convert(table, dict[str, float])
    except msgspec.ValidationError as error:
        raise InvalidInput(
            f"[{WEIGHTS}] has something else than a number for each kind of event: {error}"
        ) from None
    return StateConfig(event_weights=found).event_weights


def check_names(
    found: Mapping[str, Any],
    kind: type[Struct],
    where: str = "",
    *,
    extra: tuple[str, ...] = (),
    without: tuple[str, ...] = (),
) -> None:
    """Raise `InvalidInput` for the first name that is no setting; the nearest one is stated."""
    names = [name for name in (*kind.__struct_fields__, *extra) if name not in without]
    for name, value in found.items():
        if name not in names:
            raise InvalidInput(f"{where + name!r:.100} is no setting{nearest(name, names)}")
        default = next((f.default for f in fields(kind) if f.name == name), None)
        inner: type[Any] = LlmConfig if name == "llm" else type(default)
        if isinstance(value, Mapping) and issubclass(inner, Struct):
            check_names(value, inner, f"{where}{name}.")


def with_settings_of(folder: Path | None, config: Config) -> Config:
    """Return `config` with the settings that its file adds; see `read_settings`.

    A setting of `config` that differs from its default has priority over the file. Weights of
    kinds, scenarios and rules are joined.
    """
    found = read_settings(folder, config.file).config
    settings = _merged(config, found) if found else config
    return replace(settings, file=NO_FILE)


def _merged(config: Any, found: Mapping[str, Any]) -> Any:
    """Return a struct with the values of a file for the fields that have their defaults."""
    default, given = type(config)(), dict[str, Any]()
    for name, value in found.items():
        own = getattr(config, name)
        if isinstance(own, Struct):
            given[name] = _merged(own, value)
        elif name in ("event_weights", "scenarios", "rules", "attribution"):
            given[name] = {**value, **own}
        elif own == getattr(default, name):
            given[name] = value
    kinds = {field.name: field.type for field in fields(type(config))}
    return replace(
        config, **{name: msgspec.convert(value, kinds[name]) for name, value in given.items()}
    )


def _given(converted: Any, given: Any) -> Any:
    """Return the converted values of what was given, without the defaults of nested settings."""
    if isinstance(given, Mapping) and isinstance(converted, Mapping):
        return {name: _given(converted[name], value) for name, value in given.items()}
    return converted


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
    for package in ("torch", "onnx", "onnxscript", "lightgbm", "scipy"):
        if find_spec(package) is None:
            raise MissingExtra(
                f"preset 'best' needs {package}, which is not installed: "
                "pip install nearline[neural], or use preset='fast'"
            )
    return replace(config, model=BEST_MODEL, settings=BEST)
