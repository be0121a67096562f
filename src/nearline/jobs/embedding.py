"""Encoding in the background of the texts of items that were stored without a vector."""

from nearline.common.counts import count
from nearline.deployment.active import ActiveDeployment
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.schema import Item, ItemPatched

# Number of texts that are encoded between two appends to the log.
BLOCK = 256
# Seconds after which an item whose text was counted as missed is usually in the log.
SETTLE_SECONDS = 0.1
# Minimum seconds between a job whose encoder failed and the next one.
REST_SECONDS = 60.0


class Embedding:
    """Encoding of missing vectors, on request and when the scheduler finds it due.

    After a text is encoded, an `ItemPatched` record without changes is appended for its item, so
    that the model reads the vector in the order of the log, also after a restart.
    """

    kind = "embed"

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current, self._jobs = current, jobs
        # Values of `TextVectors.missed` at the last check, and when the last complete job began.
        self._seen = self._done = 0
        self._at = -REST_SECONDS

    def submit(self) -> Job:
        """Queue the encoding of all texts that have no vector.

        Raises
        ------
        InvalidInput
            There is no encoder.
        """
        self._current.open()
        texts = self._current.texts
        if texts is None:
            raise InvalidInput(
                "there is no encoder; open the recommender with encoder=...", field="kind"
            )
        missed = texts.missed
        job = self._jobs.submit(self.kind, lambda task: self._embed(task, texts, missed))
        self._at = self._current.elapsed()
        return job

    def remaining(self, now: float) -> float:
        """Return the seconds from `now` until a job is due; see `Recurring.remaining`."""
        texts = self._current.texts
        if texts is None:
            return NEVER
        # A text counts as missed shortly before its item is appended, so a later check finds it.
        due, self._seen = self._seen, texts.missed
        if self._seen == self._done:
            return NEVER
        wait = REST_SECONDS - (now - self._at)
        return wait if due != self._done else max(wait, SETTLE_SECONDS)

    def _embed(self, task: Task, texts: TextVectors, missed: int) -> Outcome:
        task.progress(0, 0, "find texts")
        parts, done = self._current.open(), 0
        parts.log.append([]).result()  # waits until the state reflects all queued records
        entries = [entry for _, entry in parts.state.catalogue.entries()]
        lacking = set(texts.missing([entry.content for entry in entries]))
        wanted = [entry for entry in entries if entry.content in lacking]
        for first in range(0, len(wanted), BLOCK):
            some = wanted[first : first + BLOCK]
            task.progress(first, len(wanted), "embed")
            texts.encode([entry.content for entry in some])
            done += self._put(some)
        self._done = missed
        return Outcome(f"encoded the texts of {count(done, 'item')}", {"items": done})

    def _put(self, entries: list[Item]) -> int:
        """Append a record for each of `entries` whose text is unchanged; return their number."""
        current = self._current.open()
        items, catalogue = current.state.items, current.state.catalogue
        now = self._current.clock()
        same: list[ItemPatched] = []
        for entry in entries:
            found = catalogue.get(items[entry.item_id])
            if found is not None and found.content == entry.content:
                same.append(ItemPatched(item_id=entry.item_id, timestamp=now))
        current.log.append(same).result()
        return len(same)
