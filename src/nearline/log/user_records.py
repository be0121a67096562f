"""Records that name a user: reading them, and which of them an erasure removes."""

from contextlib import suppress

from nearline.errors import Damaged
from nearline.log.burials import PIECE, Marker
from nearline.log.codec import decode
from nearline.log.jobs import EraseJob
from nearline.log.tables import Tables
from nearline.schema import USER_RECORDS, Event, UserRecord
from nearline.schema.retention import is_expired

# Records that name a user, with their offsets, in order.
UserRecords = list[tuple[int, UserRecord]]


def split(records: UserRecords, job: EraseJob) -> tuple[UserRecords, UserRecords]:
    """Return the records that an erasure removes, and the others of the user."""
    erased = records_to_erase(records, job)
    if len(erased) == len(records):
        return records, []
    offsets = {offset for offset, _ in erased}
    return erased, [pair for pair in records if pair[0] not in offsets]


def records_to_erase(records: UserRecords, job: EraseJob) -> UserRecords:
    """Return those of a user's records that a job erases, in order."""
    if job.cutoffs is not None:
        # A marker hides all records of a user, so a job without one has at most one piece.
        return [pair for pair in records if is_expired(pair[1], job.cutoffs)][:PIECE]
    if job.event_id is None:
        return records
    return [
        pair for pair in records if isinstance(pair[1], Event) and pair[1].event_id == job.event_id
    ]


def user_records(tables: Tables, user_id: str, start: int = 0) -> list[tuple[int, UserRecord]]:
    """Return (offset, record) of all records that name a user from an offset on, in order.

    Records that are being erased are left out.
    """
    records: list[tuple[int, UserRecord]] = []
    marker = Marker.of(user_id)
    start = max(start, tables.hidden.get(marker.digest, 0))
    for offset, payload in tables.under(marker.user_key, start):
        record = decode(offset, payload)
        # Two users may have the same key.
        if isinstance(record, USER_RECORDS) and record.user_id == user_id:
            records.append((offset, record))
    return records


def marked_records(tables: Tables, marker: Marker, end: int) -> list[tuple[int, UserRecord]]:
    """Return (offset, record) of those that a marker hides and that are not overwritten yet."""
    records: list[tuple[int, UserRecord]] = []
    for offset, payload in tables.under(marker.user_key):
        with suppress(Damaged):  # a record that cannot be read does not prevent the others
            record = decode(offset, payload)
            if isinstance(record, USER_RECORDS) and offset < end and marker.covers(record):
                records.append((offset, record))
    return records
