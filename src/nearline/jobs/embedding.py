"""Encode, in the background, the texts of items that were stored without a vector."""

from nearline.common.counts import count
from nearline.deployment.active import ActiveDeployment
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.jobs.scheduler import NEVER
from nearline.schema import Item, ItemPatched

# Number of texts that are encoded between two appends to the log.
BLOCK = 256
# Time that an item needs at most, as a rule, from its text being missed to being in the log.
SETTLE_SECONDS = 0.1
# After a job, an encoder that failed is left alone for this long.
REST_SECONDS = 60.0


class Embedding:
    """Vectors of items that have none: on request, and when the scheduler finds some missing.

    Once a text has its vector, an `ItemPatched` record without changes is appended for its item:
    the model then reads the vector in the order of the log, as it does again after a restart.
    """

    kind = "embed"

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current, self._jobs = current, jobs
        # Values of `TextVectors.missed`: at the last look, and when the last complete job began.
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
        """Return the seconds from `now` until texts that were missed are to be encoded."""
        texts = self._current.texts
        if texts is None:
            return NEVER
        # A text counts as missed shortly before its item is appended: it is due at a later look.
        due, self._seen = self._seen, texts.missed
        if self._seen == self._done:
            return NEVER
        wait = REST_SECONDS - (now - self._at)
        return wait if due != self._done else max(wait, SETTLE_SECONDS)

    def _embed(self, task: Task, texts: TextVectors, missed: int) -> Outcome:
        task.progress(0, 0, "look for texts")
        parts, done = self._current.open(), 0
        parts.log.append([]).result()  # the state now reflects everything queued before
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
        """Make the model read the vectors of `entries` whose text is unchanged; count them."""
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
