"""The lease under which one of several servers trains, merges and promotes."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from nearline.errors import NearlineError, StoreInUse
from nearline.log import Lease, Log, SharedLog

TRAINING = "training"
LEASE_SECONDS, RENEW_SECONDS = 30.0, 5.0


@contextmanager
def training_lease(log: Log) -> Iterator[Lease | None]:
    """Hold the lease for training while the context lasts; None if the log is not shared.

    The lease is renewed in a thread. If that fails for too long and another server takes the lease,
    the promotion at the end is refused with `StaleLease`.

    Raises
    ------
    StoreInUse
        Another server has the lease.
    """
    if not isinstance(log, SharedLog):
        yield None
        return
    lease = log.lease(TRAINING, LEASE_SECONDS)
    if lease is None:
        raise StoreInUse(
            "another server that shares this log is training or merging; its model will be used "
            "here, too: try again later"
        )
    ended = Event()

    def renew() -> None:
        while not ended.wait(RENEW_SECONDS):
            with suppress(NearlineError):
                # Another epoch means that the lease was lost meanwhile: the work is stale.
                renewed = log.lease(TRAINING, LEASE_SECONDS)
                if renewed is not None and renewed != lease:
                    log.release(renewed)
                    return

    thread = Thread(target=renew, name="nearline-lease", daemon=True)
    thread.start()
    try:
        yield lease
    finally:
        ended.set()
        thread.join()
        with suppress(NearlineError):
            log.release(lease)
