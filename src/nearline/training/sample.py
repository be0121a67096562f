"""The sample of users on which settings are searched.

The users with the smallest hashes of their IDs are chosen, with all their interactions. The sample
therefore depends neither on a seed nor on the order of the log, and it changes little as the log
grows.
"""

from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np

from nearline.data import Dataset
from nearline.models.base import Model
from nearline.models.registry import convert_settings

# Interactions of the sample. All are used if there are not more.
SAMPLE_INTERACTIONS = 2_000_000


def sample_of_users(data: Dataset, most: int = SAMPLE_INTERACTIONS) -> Dataset:
    """Return the data of some users with at most `most` interactions; `data` if it has no more.

    Items and their indices are unchanged. The time is O(n_users log n_users).
    """
    if data.n_interactions <= most:
        return data
    digests = b"".join(blake2b(name.encode(), digest_size=8).digest() for name in data.user_ids)
    order = np.argsort(np.frombuffer(digests, dtype="<u8"), kind="stable")
    fits = np.cumsum(np.diff(data.histories.indptr)[order]) <= most
    return data.of_users(np.sort(order[fits]))


def unscaled(model: Model) -> Model:
    """Return a model with the same settings, to be fitted again on much more data.

    The scales of the relations of an item graph depend on the number of interactions; they are
    computed again by the next fit.
    """
    settings = _without_scales(msgspec.to_builtins(model.config))
    model.config = convert_settings(type(model), settings)
    return model


def _without_scales(settings: dict[str, Any]) -> dict[str, Any]:
    """Return settings without scales, also in those of the parts of a hybrid."""
    kept = {name: value for name, value in settings.items() if name != "scales"}
    if "parts" in kept:
        kept["parts"] = [
            {**part, "settings": _without_scales(part["settings"])} for part in kept["parts"]
        ]
    return kept
