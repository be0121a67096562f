"""Training in a process of its own, which takes little from the one that serves.

``python -m nearline.trainer`` reads from standard input what to do, reads the log beside its
writer, trains, writes the snapshot, and tells its progress and the verdict on standard output, one
JSON document a line. It runs at low priority, with threads for half of the cores, and ends when its
standard input does: so it never outlives the process that started it.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from threading import Thread
from typing import IO, cast

import msgspec
from msgspec import Struct

from nearline.errors import NearlineError, TrainingFailed
from nearline.jobs import Task
from nearline.kernels.chunks import available_threads
from nearline.log import LogReader
from nearline.snapshots import SnapshotStore
from nearline.train import Order
from nearline.trial import Verdict, train_and_judge

# A tenth of what a busy core gives to others: serving hardly feels it, and it is never starved.
NICENESS = 10
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SHOWN_BYTES = 2_000


class Places(Struct, frozen=True, kw_only=True):
    """Files of a store that a training needs."""

    log: str
    snapshots: str
    journal: str


class Request(Struct, frozen=True, kw_only=True):
    """What goes in: the order, and the id of the snapshot that serves."""

    places: Places
    order: Order
    serving: str | None


class Step(Struct, frozen=True, tag=True):
    """How far it is."""

    done: int
    total: int
    what: str


class Trained(Struct, frozen=True, tag=True):
    """The snapshot was written; the last line."""

    snapshot_id: str
    verdict: Verdict
    metrics: dict[str, float]


class Failed(Struct, frozen=True, tag=True):
    """There is nothing to train on, or the like; the last line."""

    message: str


def run(request: Request, task: Task) -> Trained:
    """Train in a new process; a cancelled `task` ends it at once.

    Raises
    ------
    TrainingFailed
        It ended without a snapshot; the message has its own last words.
    Cancelled
    """
    threads = max(1, available_threads() // 2)
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    command = [sys.executable, "-m", __name__]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as complaints,
        subprocess.Popen(  # noqa: S603 (the command is this module)
            command, stdin=pipe, stdout=pipe, stderr=complaints, env=environment
        ) as process,
    ):
        give, take = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            with task.cancelled_by(process.kill):
                # A process that is gone already says why below.
                with contextlib.suppress(BrokenPipeError):
                    give.write(msgspec.json.encode(request) + b"\n")
                    give.flush()
                last = _follow(take, task)
        except BaseException:
            process.kill()
            raise
        task.progress(1, 1, "trained")
        if isinstance(last, Trained):
            return last
        if isinstance(last, Failed):
            raise TrainingFailed(last.message)
        raise TrainingFailed(
            f"the training process ended with exit code {process.wait()} and no model; "
            f"what served goes on serving. Its last words: {_tail(complaints) or 'none'}"
        )


def main() -> None:
    """Do what standard input says."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which ends this too
    os.nice(NICENESS)
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        _say(_train(request))
    except NearlineError as error:
        _say(Failed(str(error)))


def _train(request: Request) -> Trained:
    snapshots = SnapshotStore(Path(request.places.snapshots))
    serving = snapshots.load(request.serving) if request.serving else None

    def progress(done: int, total: int, what: str) -> None:
        _say(Step(done, total, what))

    progress(0, 0, "read the log")
    with LogReader(Path(request.places.log)) as log:
        snapshot, verdict = train_and_judge(
            log, request.order, serving, progress=progress, journal=Path(request.places.journal)
        )
    progress(0, 0, "write the snapshot")
    manifest = snapshot.manifest
    snapshots.write(manifest, snapshot.arrays, snapshot.item_ids)
    return Trained(manifest.id, verdict, manifest.metrics)


def _follow(lines: IO[bytes], task: Task) -> Trained | Failed | None:
    """Pass progress on until the end; give the last line, None where it was none of the two."""
    last: Step | Trained | Failed | None = None
    for line in lines:
        last = msgspec.json.decode(line, type=Step | Trained | Failed)
        if isinstance(last, Step):
            task.progress(last.done, last.total, last.what)
    return None if isinstance(last, Step) else last


def _end_with_the_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def _say(line: Step | Trained | Failed) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _tail(file: IO[bytes]) -> str:
    """Last line of what a process wrote to `file`."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - SHOWN_BYTES))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main()
