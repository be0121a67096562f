"""Validation of attributes of users and of critiques."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any

import msgspec

from nearline.errors import InvalidInput
from nearline.schema.arguments import as_list, flag, mapping, plain
from nearline.schema.records import (
    AttributeValue,
    Consent,
    Critique,
    Scalar,
    TagDeleted,
    UserPatched,
    UserPut,
)
from nearline.schema.rules import MAX_LABEL_BYTES, check_id, check_number, check_text

MAX_ATTRIBUTES = 64
MAX_ATTRIBUTE_BYTES = 16_384
MAX_ATTRIBUTE_VALUES = 100
MAX_PURPOSES = 50
ID_BYTES = 8
KINDS = ("more_like", "not", "less_of")
_EXAMPLE = "{'age': 31, 'country': 'FR'}"


def new_user(user_id: object, attributes: object, *, now: float) -> UserPut:
    """Create and validate the record of all attributes of a user.

    Parameters
    ----------
    now : float
        Current time in Unix seconds.

    Raises
    ------
    InvalidInput
        The ID, a name or a value is invalid; the error names it.
    """
    user_id = check_id(user_id, "user_id")
    given = plain(mapping(attributes, "attributes", _EXAMPLE))
    check_attributes(given)
    return UserPut(user_id=user_id, timestamp=now, attributes=given)


def patched_user(
    user_id: object, changes: object, before: Mapping[str, AttributeValue], *, now: float
) -> UserPatched:
    """Create the record of some attributes of a user, given the previous ones; see `new_user`.

    None removes an attribute. The attributes after the change must be valid, too.
    """
    user_id = check_id(user_id, "user_id")
    given = plain(mapping(changes, "attributes", _EXAMPLE))
    check_attributes({name: value for name, value in given.items() if value is not None})
    for name in given:
        check_id(name, "attributes")
    record = UserPatched(user_id=user_id, timestamp=now, attributes=given)
    check_attributes(record.applied_to(before))
    return record


def check_attributes(attributes: Mapping[Any, Any]) -> None:
    """Raise `InvalidInput` unless names and values of attributes of a user are valid.

    There are at most 64 attributes of 16 KiB in total. A value is a text of at most 512 characters,
    a number, a boolean, or a list of at most 100 of these.
    """
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidInput(
            f"attributes has {len(attributes):,} entries; at most {MAX_ATTRIBUTES} are allowed",
            field="attributes",
        )
    for name, value in attributes.items():
        check_id(name, "attributes")
        values = value if isinstance(value, list) else [value]
        if len(values) > MAX_ATTRIBUTE_VALUES:
            raise InvalidInput(
                f"attributes.{name} has {len(values):,} values; at most {MAX_ATTRIBUTE_VALUES} are "
                "allowed",
                field=f"attributes.{name}",
            )
        for entry in values:
            _check_scalar(entry, f"attributes.{name}")
    size = len(msgspec.msgpack.encode(attributes))
    if size > MAX_ATTRIBUTE_BYTES:
        raise InvalidInput(
            f"attributes takes {size:,} bytes; at most {MAX_ATTRIBUTE_BYTES:,} are allowed: shorten"
            " the values",
            field="attributes",
        )


def new_critique(user_id: object, fields: Mapping[str, object], *, now: float) -> Critique:
    """Create and validate a critique.

    Parameters
    ----------
    fields : mapping
        One of ``more_like``, ``not`` (or ``not_``) and ``less_of``, and optionally ``lasting``.
    now : float
        Current time in Unix seconds.

    Raises
    ------
    InvalidInput
        There is not exactly one of the three, or a value is invalid.
    """
    user_id = check_id(user_id, "user_id")
    given = {name.removesuffix("_"): value for name, value in fields.items() if value is not None}
    lasting = flag(given.pop("lasting", False), "lasting")
    unknown = sorted(given.keys() - set(KINDS))
    if unknown:
        raise InvalidInput(
            f"a critique has no field {unknown[0]!r:.50}; give one of {', '.join(KINDS)}, and "
            "optionally lasting",
            field=unknown[0],
        )
    if len(given) != 1:
        raise InvalidInput(
            f"a critique has {' and '.join(sorted(given)) or 'no kind'}; give exactly one of "
            f"{', '.join(KINDS)}",
            field=max(given, default="more_like"),
        )
    ((kind, value),) = given.items()
    checked = _less_of(value) if kind == "less_of" else check_id(plain(value), kind)
    said = msgspec.msgpack.encode((user_id, kind, checked))
    return Critique(
        user_id=user_id,
        timestamp=now,
        critique_id=blake2b(said, digest_size=ID_BYTES).hexdigest(),
        lasting=lasting,
        **{"not_item" if kind == "not" else kind: checked},  # type: ignore[arg-type]
    )


def new_consent(
    user_id: object, profiling: object, purposes: object = (), *, now: float
) -> Consent:
    """Create and validate the choice of a user.

    Parameters
    ----------
    profiling : bool
        Whether the user allows that lists and models use what is stored.
    purposes : sequence of str
        Names of purposes to which the user agreed: at most 50, of at most 512 bytes each.
    now : float
        Current time in Unix seconds.

    Raises
    ------
    InvalidInput
        A value is invalid; the error names the field.
    """
    names = [check_id(name, "purposes") for name in as_list(purposes, "purposes", "names")]
    if len(names) > MAX_PURPOSES:
        raise InvalidInput(
            f"purposes has {len(names):,} entries; at most {MAX_PURPOSES} are allowed",
            field="purposes",
        )
    return Consent(
        user_id=check_id(user_id, "user_id"),
        timestamp=now,
        profiling=flag(profiling, "profiling"),
        purposes=list(dict.fromkeys(names)),
    )


def deleted_tag(user_id: object, tag: object, *, now: float) -> TagDeleted:
    """Create and validate the record of the deletion of a tag."""
    user_id, tag = check_id(user_id, "user_id"), check_tag(tag)
    return TagDeleted(user_id=user_id, timestamp=now, tag=tag)


def check_tag(tag: object) -> str:
    """Return a tag, a category or ``name=value``; raise `InvalidInput` if it can't be one."""
    if not isinstance(tag, str) or not tag or "\0" in tag:
        raise InvalidInput(f"tag is {tag!r:.50}; it must be a text, such as brand=x", field="tag")
    check_text(tag, "tag", 2 * MAX_LABEL_BYTES)
    return tag


def _less_of(value: object) -> dict[str, Scalar]:
    given = plain(mapping(value, "less_of", '{"brand": "x"}'))
    if len(given) != 1:
        raise InvalidInput(
            f"less_of has {len(given)} entries; give one name and value, such as "
            '{"brand": "x"}, and send several critiques',
            field="less_of",
        )
    ((name, wanted),) = given.items()
    check_id(name, "less_of")
    _check_scalar(wanted, f"less_of.{name}")
    return {name: wanted}


def _check_scalar(value: object, field: str) -> None:
    if isinstance(value, str):
        check_text(value, field, MAX_LABEL_BYTES)
    elif not isinstance(value, bool | int | float):
        raise InvalidInput(
            f"{field} is {value!r:.50}; it must be a text, a number or a boolean: omit unknown "
            "values",
            field=field,
        )
    elif not isinstance(value, bool):
        check_number(value, field)
