"""What a snapshot says of itself; its id is the hash of that, arrays included.

There is no time of creation in it: the same log, settings and seed give the same bytes.
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
ID_PATTERN = r"^[0-9a-f]{16}\Z"
MAX_MANIFEST_BYTES = 16 * 1024 * 1024

Count = Annotated[int, Meta(ge=0)]


class Manifest(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Everything about a snapshot but the arrays themselves.

    Attributes
    ----------
    format : int
        Version of the layout; this code reads and writes 1.
    id : str
        First 16 hex digits of the SHA-256 of all other fields.
    model : str
        Name of the model class.
    config : dict
        Its configuration as JSON values.
    offset : int
        Every log record before it was seen in training.
    erasures : int
        Erasures that the log had seen: an older model may hold traces of a forgotten user.
    data_until : float or None
        Unix seconds of the newest event in training.
    seed : int
        Seed of the fit.
    metrics : dict of str to float
        What evaluation found; finite.
    n_items : int
        Length of the vocabulary.
    arrays : dict of str to ArraySpec
        Arrays of the model, and ``item_ids.bytes`` and ``item_ids.starts``.
    encoder : str
        Fingerprint of the language model whose vectors it was trained on; "", and left out of the
        file, where there was none.
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


class _Versioned(Struct):
    """The only field that every version of a manifest has."""

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
) -> Manifest:
    """Describe a fitted model, stored or not: O(bytes of the arrays).

    The arguments are the fields of `Manifest`; `config` may hold any JSON values (tuples become
    lists).

    Raises
    ------
    InvalidInput
        Something is not finite, not JSON or of a dtype that is not stored; the message names it.
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
    )
    manifest = structs.replace(manifest, id=id_of(manifest))
    try:
        return msgspec.json.decode(encode(manifest), type=Manifest)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"this cannot stand in a manifest: {error}") from None


def stored_arrays(arrays: Mapping[str, Array], item_ids: Sequence[str]) -> dict[str, Array]:
    """Everything that goes into the file of a snapshot, in canonical form, by name."""
    for name in arrays:
        if name.startswith(PREFIX):
            raise InvalidInput(
                f"array name {name!r} starts with {PREFIX!r}, which is kept for item ids; "
                "rename it",
                field=name,
            )
    every = {**arrays, **pack(item_ids)}
    return {name: canonical(name, every[name]) for name in sorted(every)}


def encode(manifest: Manifest) -> bytes:
    """Canonical JSON: keys sorted, no spaces."""
    return msgspec.json.encode(manifest, order="sorted")


def decode(data: bytes, where: object) -> Manifest:
    """Read what `encode` wrote; `where` names the file in errors.

    Raises
    ------
    Damaged
        The bytes are not canonical, not of this format, or do not have the hash in their id.
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
    """Compute the id that a manifest must have from all its other fields."""
    content = msgspec.to_builtins(manifest)
    del content["id"]
    return hashlib.sha256(msgspec.json.encode(content, order="sorted")).hexdigest()[:16]


def _plain(value: Any, field: str) -> Any:
    """Return `value` as JSON gives it back."""
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidInput(
            f"{field} is not JSON with finite numbers ({error}); correct it and build again",
            field=field,
        ) from None


def _damaged(where: object, reason: str) -> Damaged:
    return Damaged(f"manifest {where} is damaged: {reason}; use another snapshot or train again")
