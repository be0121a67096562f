"""Blocks of events as rows, and the result of several appends."""

from concurrent.futures import Future

from nearline.log.base import Appended
from nearline.log.block_codec import encode_block
from nearline.log.codec import Coded
from nearline.schema import EventBlock


def coded_rows(block: EventBlock) -> list[Coded]:
    """Return the encoded events of a block."""
    coded = encode_block(block)
    user_keys, events = coded.user_keys[coded.users].tolist(), coded.event_keys
    spans, keyed = coded.spans.tolist(), coded.keyed.tolist()
    return [
        Coded(
            coded.payloads[span >> 32 : (span >> 32) + (span & 0xFFFFFFFF)],
            user_keys[at],
            events[at].tobytes() if keyed[at] else None,
        )
        for at, span in enumerate(spans)
    ]


def sum_of(futures: "list[Future[Appended]]") -> "Future[Appended]":
    """Return a future of the sum of several appends, which are resolved in order."""
    whole: Future[Appended] = Future()
    whole.set_running_or_notify_cancel()

    def done(_: "Future[Appended]") -> None:
        errors = [error for one in futures if (error := one.exception()) is not None]
        if errors:
            whole.set_exception(errors[0])
            return
        answers = [one.result() for one in futures]
        accepted, duplicates = sum(a.accepted for a in answers), sum(a.duplicates for a in answers)
        forgotten = sum(a.forgotten for a in answers)
        whole.set_result(Appended(accepted, duplicates, answers[-1].offset, forgotten))

    futures[-1].add_done_callback(done)
    return whole
