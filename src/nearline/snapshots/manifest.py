"""Manifest of a snapshot: its metadata, and an ID that is the hash of metadata and arrays.

A manifest contains no creation time: the same log, settings and seed give the same bytes.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct, structs

from nearline.errors import Damaged, InvalidInput
from nearline.snapshots.arrays import Array, ArraySpec, canonical, describe
from nearline.snapshots.item_ids import PREFIX, pack

FORMAT = 1
# In version 0, every event was counted, and in version 1 all but superseded ones; before version 3,
# the support of items was not counted. Increase it with each change of `kernels.counted_events`,
# including `LIMITS`, of `kernels.opinions`, and of `kernels.support`.
COUNTING = 3
ID_PATTERN = r"^[0-9a-f]{16}\Z"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

Count = Annotated[int, Meta(ge=0)]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Metadata of a snapshot.

    Attributes
    ----------
    format : int
        Version of the format; this version of Nearline reads and writes 1.
    id : str
        First 16 hex digits of the SHA-256 of all other fields.
    model : str
        Name of the model class.
    config : dict
        Settings of the model, with JSON values.
    offset : int
        Log offset of training: every record before it was used.
    erasures : int
        Number of erasures in the log at training. A model with fewer erasures than the log may
        contain traces of an erased user.
    data_until : float or None
        Time of the newest training event, in Unix seconds.
    seed : int
        Seed of the random numbers in training.
    metrics : dict of str to float
        Evaluation metrics; finite.
    n_items : int
        Length of the vocabulary.
    arrays : dict of str to ArraySpec
        Specs of the model's arrays, and of ``item_ids.bytes`` and ``item_ids.starts``.
    encoder : str
        Fingerprint of the language model whose vectors were used in training; "" without one.
    counting : int
        Version of the rules by which events are counted. A model with an older version is served
        with counts that are recomputed from the log.
    order : str
        What ordered the interactions of a user: "times", "positions" or "none"; "" in snapshots of
        earlier versions.
    limits : str
        `CountedLimits.protective` of the training. With other limits, a model is served with counts
        that are recomputed from the log.
    """

    format: int
    id: Annotated[str, Meta(pattern=ID_PATTERN)]
    model: str
    config: dict[str, Any]
    offset: Count
    erasures: Count
    data_until: float | None
    seed: int
    metrics: dict[str, float]
    n_items: Count
    arrays: dict[str, ArraySpec]
    encoder: str = ""
    counting: int = 0
    order: str = ""
    limits: str = ""


class _Versioned(Struct):
    """Fields that manifests of every version have."""

    format: int


def build(
    *,
    model: str,
    config: Mapping[str, Any],
    arrays: Mapping[str, Array],
    item_ids: Sequence[str],
    offset: int,
    erasures: int,
    seed: int,
    metrics: Mapping[str, float],
    data_until: float | None,
    encoder: str = "",
    order: str = "",
    limits: str = "",
) -> Manifest:
    """Build the manifest of a fitted model.

    The parameters are described in `Manifest`, except `arrays`, the model's arrays by name, and
    `item_ids`, the ID of each item by index. Tuples in `config` become lists. The running time
    is proportional to the bytes of the arrays, which are hashed.

    Raises
    ------
    InvalidInput
        A number is not finite, a setting is not JSON, or an array cannot be stored; the message
        names the value.
    """
    stored = stored_arrays(arrays, item_ids)
    manifest = Manifest(
        format=FORMAT,
        id="",
        model=model,
        config=_plain(config, "config"),
        offset=offset,
        erasures=erasures,
        data_until=None if data_until is None else _plain(float(data_until), "data_until"),
        seed=seed,
        metrics=_plain({name: float(value) for name, value in metrics.items()}, "metrics"),
        n_items=len(item_ids),
        arrays={name: describe(array) for name, array in stored.items()},
        encoder=encoder,
        counting=COUNTING,
        order=order,
        limits=limits,
    )
    manifest = structs.replace(manifest, id=id_of(manifest))
    try:
        return msgspec.json.decode(encode(manifest), type=Manifest)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"the manifest is invalid: {error}") from None


def stored_arrays(arrays: Mapping[str, Array], item_ids: Sequence[str]) -> dict[str, Array]:
    """Return the arrays of a snapshot file by name, in canonical form.

    Parameters
    ----------
    arrays : dict of str to array
        Arrays of the model.
    item_ids : sequence of str
        ID of each item by index; it is stored as two more arrays.

    Raises
    ------
    InvalidInput
        An array or an ID cannot be stored, or a name starts with ``item_ids.``.
    """
    for name in arrays:
        if name.startswith(PREFIX):
            raise InvalidInput(
                f"array name {name!r} starts with {PREFIX!r}, which is reserved for item ids; "
                "rename it",
                field=name,
            )
    every = {**arrays, **pack(item_ids)}
    return {name: canonical(name, every[name]) for name in sorted(every)}


def encode(manifest: Manifest) -> bytes:
    """Encode a manifest as canonical JSON: keys are sorted, and there is no whitespace."""
    return msgspec.json.encode(manifest, order="sorted")


def decode(data: bytes, where: object) -> Manifest:
    """Decode the output of `encode`; `where` names the file in error messages.

    Raises
    ------
    Damaged
        The bytes are not a canonical manifest of this format, or the ID does not match the hash.
    """
    try:
        found = msgspec.json.decode(data, type=_Versioned).format
        if found != FORMAT:
            raise Damaged(
                f"manifest {where} has format {found}; this version of nearline reads {FORMAT}: "
                "train again, or use the version that wrote it"
            )
        manifest = msgspec.json.decode(data, type=Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _damaged(where, f"it is not a manifest ({error})") from error
    if encode(manifest) != data or manifest.id != id_of(manifest):
        raise _damaged(where, "its content does not have the hash that is its id")
    return manifest


def id_of(manifest: Manifest) -> str:
    """Compute the ID of a manifest: the first 16 hex digits of the SHA-256 of all other fields."""
    content = msgspec.to_builtins(manifest)
    del content["id"]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:16]


def _plain(value: Any, field: str) -> Any:
    """Return `value` after a round trip through JSON."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{field} is not JSON with finite numbers ({error}); correct it and build again",
            field=field,
        ) from None


def _damaged(where: object, reason: str) -> Damaged:
    return Damaged(f"manifest {where} is damaged: {reason}; use another snapshot or train again")
