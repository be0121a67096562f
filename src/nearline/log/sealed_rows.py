"""Sealing of encoded records, by the writer of a log, in the order of the log."""

from collections.abc import Sequence
from concurrent.futures import Future

import numpy as np
from msgspec.structs import replace

from nearline.log.block_codec import CodedBlock
from nearline.log.burials import Marker
from nearline.log.codec import Coded, decode
from nearline.log.jobs import EraseJob
from nearline.log.tables import Tables
from nearline.schema import USER_RECORDS, EventBlock, Record
from nearline.sealing import Seal
from nearline.sealing.seal import ADDED_BYTES


def sealed_rows(
    seal: Seal | None, rows: list[Coded], records: Sequence[tuple[int, Record]]
) -> list[Coded]:
    """Return encoded records, each sealed for its user; unchanged without a seal."""
    if seal is None:
        return rows
    owners = [record.user_id if isinstance(record, USER_RECORDS) else None for _, record in records]
    payloads = seal.payloads(owners, (row.payload for row in rows))
    return [replace(row, payload=new) for row, new in zip(rows, payloads, strict=True)]


def sealed_block(seal: Seal | None, coded: CodedBlock, block: EventBlock) -> CodedBlock:
    """Return an encoded block of events, each sealed for its user; unchanged without a seal."""
    if seal is None:
        return coded
    starts, sizes = coded.spans >> 32, coded.spans & 0xFFFFFFFF
    text = coded.payloads
    pieces = (
        text[start:end]
        for start, end in zip(starts.tolist(), (starts + sizes).tolist(), strict=True)
    )
    users = block.columns["user_id"].dictionary_encode()
    parts = seal.parts(users.dictionary.to_pylist(), users.indices.to_pylist(), pieces)
    sizes = sizes + ADDED_BYTES
    ends = np.cumsum(sizes)
    return coded._replace(payloads=b"".join(parts), spans=(ends - sizes) << 32 | sizes)


def destroying(tables: Tables, job: EraseJob) -> "Future[int]":
    """Return the future to resolve when the records of a job are overwritten.

    If the job erases a user, the user's keys are destroyed before the future of the job is
    resolved. What the user does from now on is sealed with another key.
    """
    seal = tables.seal
    if seal is None or job.event_id is not None or job.cutoffs is not None:
        return job.future
    ids = set(seal.keys.retire(job.user_id))
    # After a loss of power, `keys.db` may not know whose some of the keys are, but the log does.
    for key_id, payload in tables.key_ids(Marker.of(job.user_id).user_key):
        record = decode(0, payload)
        if isinstance(record, USER_RECORDS) and record.user_id == job.user_id:
            ids.add(key_id)
    overwritten: Future[int] = Future()

    def destroy(done: "Future[int]") -> None:
        error = done.exception()
        try:
            if error is None:
                seal.keys.destroy(job.user_id, sorted(ids))
        except Exception as failed:
            error = failed
        if error is not None:
            job.future.set_exception(error)
        else:
            job.future.set_result(done.result())

    overwritten.add_done_callback(destroy)
    return overwritten
