"""Worker process for slow work, so that it takes little from the process that serves requests.

``python -m nearline.jobs.worker`` reads a request from standard input: to train, to merge, or to
write a checkpoint. It opens the log by its URL, read-only, and writes its progress and its result
to standard output, one JSON document per line. It runs at low priority, with threads for half of
the cores, and ends when its standard input is closed, so it never outlives its parent process.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import IO, TypeVar, cast

import msgspec
from msgspec import Struct

from nearline import sealing
from nearline.common.budget import process_memory
from nearline.deployment.texts import open_texts
from nearline.encoders import TextVectors
from nearline.errors import Damaged, NearlineError, WorkerFailed
from nearline.ingest import replay
from nearline.ingest.expired import ExpiredUsers, expired_users
from nearline.jobs.queue import Task
from nearline.kernels.chunks import available_threads
from nearline.log import open_log
from nearline.snapshots import SnapshotStore
from nearline.state import State, StateConfig, load_checkpoint, save_checkpoint
from nearline.training.acceptance import Verdict, train_and_judge
from nearline.training.compaction import merge as merge_snapshot
from nearline.training.train import TrainingSpec

# The worker gets about a tenth of the time of a busy core, so it is slow but not starved.
NICENESS = 10
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SHOWN_BYTES = 2_000
# Seconds between two checks of the memory of the process.
WATCH_SECONDS = 0.1


class ToTrain(Struct, frozen=True, kw_only=True, tag=True):
    """Request to train, and to compare the result with the snapshot `serving`.

    `log` is a URL; `snapshots` and `journal` are paths.
    """

    log: str
    snapshots: str
    journal: str
    spec: TrainingSpec
    serving: str | None


class ToMerge(Struct, frozen=True, kw_only=True, tag=True):
    """Request to merge newer records into the snapshot `serving`, or into the untrained model.

    `log` is a URL; `snapshots` is a path.
    """

    log: str
    snapshots: str
    spec: TrainingSpec
    serving: str | None


class ToCheckpoint(Struct, frozen=True, kw_only=True, tag=True):
    """Request to update a checkpoint to the end of the log, with items in the order of `item_ids`.

    `log` is a URL; `checkpoint` is a path.
    """

    log: str
    checkpoint: str
    config: StateConfig
    item_ids: list[str]


class ToExpire(Struct, frozen=True, kw_only=True, tag=True):
    """Request to find users with expired events; `log` is a URL."""

    log: str
    cutoffs: dict[str, float]


class Step(Struct, frozen=True, tag=True):
    """Progress."""

    done: int
    total: int
    what: str


class Trained(Struct, frozen=True, tag=True):
    """Result of a training whose snapshot was written; the last line."""

    snapshot_id: str
    verdict: Verdict
    metrics: dict[str, float]


class Merged(Struct, frozen=True, tag=True):
    """Result of a merge whose snapshot was written; the last line."""

    snapshot_id: str


class Written(Struct, frozen=True, tag=True):
    """Result of a checkpoint that was written; the last line."""

    offset: int


class FoundExpired(Struct, frozen=True, tag=True):
    """Result of a search for expired events; the last line."""

    expired: ExpiredUsers


class Failed(Struct, frozen=True, tag=True):
    """An expected error, such as nothing to train on; the last line."""

    message: str


Request = ToTrain | ToMerge | ToCheckpoint | ToExpire
Line = Step | Trained | Merged | Written | FoundExpired | Failed
Made = TypeVar("Made", Trained, Merged, Written, FoundExpired)


def train(request: ToTrain, task: Task, memory: int) -> Trained:
    """Train in a new process with at most `memory` bytes; cancelling `task` kills it.

    Raises
    ------
    WorkerFailed
        The process ended without a result, or needed more memory; the message says which.
    Cancelled
        The task was cancelled.
    """
    return _run(request, task, memory, Trained)


def merge(request: ToMerge, task: Task, memory: int) -> Merged:
    """Merge in a new process; errors are those of `train`."""
    return _run(request, task, memory, Merged)


def checkpoint(request: ToCheckpoint, task: Task, memory: int) -> Written:
    """Write a checkpoint in a new process; errors are those of `train`.

    The process replays the log since the last checkpoint, so the lock of the state is not held.
    """
    return _run(request, task, memory, Written)


def find_expired(request: ToExpire, task: Task, memory: int) -> ExpiredUsers:
    """Find users with expired events in a new process; errors are those of `train`."""
    return _run(request, task, memory, FoundExpired).expired


def _run(request: Request, task: Task, memory: int, kind: type[Made]) -> Made:
    threads = max(1, available_threads() // 2)
    environment = os.environ | dict.fromkeys(THREADS, str(threads))
    command = [sys.executable, "-m", __name__]
    pipe = subprocess.PIPE
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(  # noqa: S603 (the command is this module)
            command, stdin=pipe, stdout=pipe, stderr=errors, env=environment
        ) as process,
    ):
        requests, responses = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        try:
            with task.cancelled_by(process.kill), _within(memory, process) as watch:
                try:
                    requests.write(msgspec.json.encode(request) + b"\n")
                    requests.write(msgspec.json.encode(sealing.registered()) + b"\n")
                    requests.flush()
                except BrokenPipeError:  # the process has ended already, which is reported below
                    # Drops what was not written; otherwise the last `close` would fail too.
                    with contextlib.suppress(BrokenPipeError):
                        requests.close()
                last = _read_lines(responses, task)
        except BaseException:
            process.kill()
            raise
        task.check()
        if isinstance(last, kind):
            return last
        if isinstance(last, Failed):
            raise WorkerFailed(last.message)
        if watch.exceeded:
            raise WorkerFailed(
                f"the process of this job needed more than {memory:,} bytes of memory, which is "
                "half of the budget; the active model is unchanged: raise `Config.memory` "
                "(nearline serve --memory)"
            )
        raise WorkerFailed(
            f"the process of this job ended with exit code {process.wait()} before it was done; "
            f"the active model is unchanged. Its last error output: {_tail(errors) or 'none'}"
        )


class _Watch:
    """Whether a process has exceeded its memory."""

    exceeded = False


@contextlib.contextmanager
def _within(memory: int, process: "subprocess.Popen[bytes]") -> Iterator[_Watch]:
    """Kill a process that uses more than `memory` bytes."""
    watch, ended = _Watch(), Event()

    def run() -> None:
        while not ended.wait(WATCH_SECONDS):
            if process_memory(process.pid) > memory:
                watch.exceeded = True
                process.kill()
                return

    thread = Thread(target=run, name="nearline-watch", daemon=True)
    thread.start()
    try:
        yield watch
    finally:
        ended.set()
        thread.join()


def main() -> None:
    """Run the request on standard input."""
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # Ctrl-C is handled by the server, which ends this process
    os.nice(NICENESS)
    request = msgspec.json.decode(sys.stdin.buffer.readline(), type=Request)
    for unlocked in msgspec.json.decode(sys.stdin.buffer.readline(), type=list[sealing.Unlocked]):
        sealing.register(unlocked)
    Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        _write(_do(request))
    except NearlineError as error:
        _write(Failed(str(error)))


def _do(request: Request) -> Line:
    if isinstance(request, ToTrain):
        return _train(request)
    if isinstance(request, ToMerge):
        return _merge(request)
    return _checkpoint(request) if isinstance(request, ToCheckpoint) else _expire(request)


def _expire(request: ToExpire) -> FoundExpired:
    with open_log(request.log, read_only=True) as log:
        return FoundExpired(expired_users(log, request.cutoffs, progress=_step))


def _merge(request: ToMerge) -> Merged:
    snapshots = SnapshotStore(Path(request.snapshots))
    _step(0, 0, "read the log")
    with open_log(request.log, read_only=True) as log, _texts(request.spec) as texts:
        serving = snapshots.load(request.serving) if request.serving else None
        snapshot = merge_snapshot(log, request.spec, serving, texts)
    _step(0, 0, "write the snapshot")
    snapshots.write(snapshot.manifest, snapshot.arrays, snapshot.item_ids)
    return Merged(snapshot.manifest.id)


def _train(request: ToTrain) -> Trained:
    snapshots = SnapshotStore(Path(request.snapshots))
    serving = snapshots.load(request.serving) if request.serving else None

    _step(0, 0, "read the log")
    with open_log(request.log, read_only=True) as log, _texts(request.spec) as texts:
        journal = Path(request.journal)
        snapshot, verdict = train_and_judge(
            log, request.spec, serving, texts=texts, progress=_step, journal=journal
        )
    _step(0, 0, "write the snapshot")
    manifest = snapshot.manifest
    snapshots.write(manifest, snapshot.arrays, snapshot.item_ids)
    return Trained(manifest.id, verdict, manifest.metrics)


@contextlib.contextmanager
def _texts(spec: TrainingSpec) -> Iterator[TextVectors | None]:
    texts = open_texts(spec.config, Path(spec.vectors) if spec.vectors else None)
    with contextlib.closing(texts) if texts else contextlib.nullcontext():
        yield texts


def _checkpoint(request: ToCheckpoint) -> Written:
    path = Path(request.checkpoint)
    with open_log(request.log, read_only=True) as log:
        try:
            state = load_checkpoint(
                path, request.config, erasures=log.erasures, end=log.end, seal=log.seal
            )
        except Damaged:
            state = None
        if state is None or state.items.table() != request.item_ids[: len(state.items)]:
            state = State(request.config, item_ids=request.item_ids)
        replay(log, state, progress=_step)
        return Written(save_checkpoint(state, path, erasures=log.erasures, seal=log.seal))


def _read_lines(lines: IO[bytes], task: Task) -> Line | None:
    """Report progress until the end; return the last line."""
    last: Line | None = None
    for line in lines:
        last = msgspec.json.decode(line, type=Line)
        if isinstance(last, Step):
            task.progress(last.done, last.total, last.what)
    return last


def _end_with_the_parent() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os._exit(1)


def _step(done: int, total: int, what: str) -> None:
    _write(Step(done, total, what))


def _write(line: Line) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def _tail(file: IO[bytes]) -> str:
    """Return the last line of a file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - SHOWN_BYTES))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


if __name__ == "__main__":
    main()
