"""Import of the file with everything that is stored about a user; see `recommend.personal_data`."""

import io
import zipfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec.structs import replace

from nearline.errors import InvalidInput
from nearline.log import Log
from nearline.schema import (
    Consent,
    Critique,
    CritiqueRevoked,
    Event,
    ItemsShown,
    TagDeleted,
    UserPatched,
    UserPut,
    UserRecord,
    check_event,
    check_id,
)
from nearline.schema.profile_rules import check_attributes, check_tag, new_consent, new_critique
from nearline.schema.times import check_time
from nearline.state import State

FORMAT, VERSION, MANIFEST = "nearline user export", 1, "manifest.json"
# Files of records, and what each holds.
FILES: dict[str, Any] = {
    "events.json": Event,
    "attributes.json": UserPut | UserPatched,
    "critiques.json": Critique | CritiqueRevoked,
    "consents.json": Consent,
    "deleted_tags.json": TagDeleted,
    "impressions.json": ItemsShown,
}
_BY_KIND: dict[type[UserRecord], str] = {
    Event: "events.json",
    UserPut: "attributes.json",
    UserPatched: "attributes.json",
    Critique: "critiques.json",
    CritiqueRevoked: "critiques.json",
    Consent: "consents.json",
    TagDeleted: "deleted_tags.json",
    ItemsShown: "impressions.json",
}
_DECODERS = {name: msgspec.json.Decoder(list[kind]) for name, kind in FILES.items()}  # type: ignore[valid-type]
# Largest file, and all files together, in bytes when unpacked.
MAX_FILE, MAX_FILES = 256_000_000, 512_000_000
_encoder = msgspec.msgpack.Encoder(order="sorted")


class ImportedUser(NamedTuple):
    """User of a file, and the numbers of records that were stored and that were known."""

    user_id: str
    stored: int
    known: int


class _Manifest(msgspec.Struct, frozen=True):
    format: str
    version: int
    user_id: str


def file_of(record: UserRecord) -> str:
    """Return the name of the file in which a record is."""
    return _BY_KIND[type(record)]


def import_user(log: Log, state: State, content: bytes, *, now: float) -> ImportedUser:
    """Append the records of an exported file that the log lacks; return once they are durable.

    Raises
    ------
    InvalidInput
        The file is no export of a user, is too large, or holds an invalid record; nothing was
        stored.
    """
    user_id, records = read_export(content, now=now)
    log.append([]).result()
    known = Counter(_same(record) for _, record in log.records_of(user_id))
    new: list[UserRecord] = []
    number = state.showings.number
    for record in records:
        key = _same(record)
        if known[key]:
            known[key] -= 1
            continue
        if isinstance(record, ItemsShown):
            number += 1
            record = replace(record, number=number)
        new.append(record)
    # The person who has the file asks for it, so an earlier erasure does not matter.
    stored = log.append(new, readmit=True).result() if new else None
    accepted = 0 if stored is None else stored.accepted
    return ImportedUser(user_id, accepted, len(records) - accepted)


def is_export(path: Path) -> bool:
    """Return whether a file is a ZIP file with the manifest of an export."""
    try:
        with zipfile.ZipFile(path) as file:
            return MANIFEST in file.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def read_export(content: bytes, *, now: float) -> tuple[str, list[UserRecord]]:
    """Return the user and the records of an exported file; raise `InvalidInput` if it is none."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            sizes = {entry.filename: entry.file_size for entry in file.infolist()}
            if MANIFEST not in sizes or len(sizes) > 100:
                raise _refused(f"it has no {MANIFEST}, or too many files")
            found = [name for name in FILES if name in sizes]
            wanted = [MANIFEST, *found]
            total = sum(sizes[name] for name in wanted)
            if total > MAX_FILES or max(sizes[name] for name in wanted) > MAX_FILE:
                raise _refused(f"its files have {total:,} bytes; at most {MAX_FILE:,} are read")
            manifest = msgspec.json.decode(_read(file, MANIFEST), type=_Manifest)
            if (manifest.format, manifest.version) != (FORMAT, VERSION):
                raise _refused(
                    f"its format is {manifest.format!r:.60}, version {manifest.version}; this "
                    f"version of nearline reads {FORMAT!r}, version {VERSION}"
                )
            user_id = check_id(manifest.user_id, "user_id")
            records: list[UserRecord] = []
            for name in found:
                records += _DECODERS[name].decode(_read(file, name))
    except (zipfile.BadZipFile, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(str(error)) from error
    except (NotImplementedError, RuntimeError, EOFError, OSError, ValueError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise _refused(str(error)) from error
    for position, record in enumerate(records):
        try:
            _check(record, user_id, now)
        except InvalidInput as error:
            raise error.at(position) from None
    return user_id, records


def _read(file: zipfile.ZipFile, name: str) -> bytes:
    """Read a file; its stated size bounds what is unpacked."""
    size = file.getinfo(name).file_size
    with file.open(name) as part:
        content = part.read(size + 1)
    if len(content) > size:
        raise _refused(f"{name} is larger than it says")
    return content


def _check(record: UserRecord, user_id: str, now: float) -> None:
    if record.user_id != user_id:
        raise InvalidInput("the record is about another user", field="user_id")
    check_time(record.timestamp, "timestamp", now=now)
    if isinstance(record, Event):
        check_event(record, now=now)
    elif isinstance(record, UserPut):
        check_attributes(record.attributes)
    elif isinstance(record, UserPatched):
        given: Mapping[str, Any] = record.attributes
        check_attributes({name: value for name, value in given.items() if value is not None})
    elif isinstance(record, Critique):
        fields = {"more_like": record.more_like, "not": record.not_item, "less_of": record.less_of}
        made = new_critique(record.user_id, fields, now=record.timestamp)
        if made.critique_id != record.critique_id:
            raise InvalidInput("critique_id does not belong to the critique", field="critique_id")
    elif isinstance(record, CritiqueRevoked):
        check_id(record.critique_id, "critique_id")
    elif isinstance(record, Consent):
        new_consent(record.user_id, record.profiling, record.purposes, now=now)
    elif isinstance(record, TagDeleted):
        check_tag(record.tag)
    else:
        if len(record.item_ids) != len(record.times):
            raise InvalidInput("item_ids and times have different lengths", field="times")
        for item_id, when in zip(record.item_ids, record.times, strict=True):
            check_id(item_id, "item_ids")
            check_time(when, "times", now=now)


def _same(record: UserRecord) -> bytes:
    """Return bytes that are equal for equal records; numbers of showings do not matter."""
    return _encoder.encode(replace(record, number=0) if isinstance(record, ItemsShown) else record)


def _refused(why: str) -> InvalidInput:
    return InvalidInput(
        f"the file is no export of a user ({why:.200}); give a ZIP file that GET "
        "/v1/users/{user_id}/export returned",
        field="file",
    )
