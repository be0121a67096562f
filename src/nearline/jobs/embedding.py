"""Encodes, beside serving, the texts of items that went in without a vector."""

from contextlib import suppress

from nearline.deployment.active import ActiveDeployment
from nearline.encoders import TextVectors
from nearline.errors import InvalidInput, Overloaded
from nearline.jobs.queue import Job, Jobs, Outcome, Task
from nearline.schema import Item, ItemPatched

KIND = "embed"
# Texts encoded between two writes to the log; an encoder that failed is given time.
BLOCK = 256
PAUSE_SECONDS = 60.0


class Embedding:
    """Vectors for the items of `current`: on demand, and after some went in without.

    Once a text has its vector, an `ItemPatched` record without changes is appended for its item:
    the model then reads the vector in the order of the log, as it does again after a restart.
    """

    def __init__(self, current: ActiveDeployment, jobs: Jobs) -> None:
        self._current, self._jobs = current, jobs
        # Texts missed before the last write, and those of them that a job has looked after.
        self._missed = self._done = 0
        self._queued = -PAUSE_SECONDS

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
        return self._jobs.submit(KIND, lambda task: self._embed(task, texts, missed))

    def submit_if_due(self) -> None:
        """Queue it if a text was missed, but not all the time: called before each write."""
        texts = self._current.texts
        if texts is None:
            return
        # What the write at hand went without is in the log when the next one comes.
        due, self._missed = self._missed, texts.missed
        if due == self._done:
            return
        now = self._current.clock()
        if now - self._queued >= PAUSE_SECONDS:
            self._queued = now
            with suppress(Overloaded):
                self.submit()

    def _embed(self, task: Task, texts: TextVectors, missed: int) -> Outcome:
        task.progress(0, 0, "look for texts")
        parts, done = self._current.open(), 0
        parts.log.append([]).result()  # whatever was queued before is in the state now
        entries = [entry for _, entry in parts.state.catalogue.entries()]
        lacking = set(texts.missing([entry.content for entry in entries]))
        wanted = [entry for entry in entries if entry.content in lacking]
        for first in range(0, len(wanted), BLOCK):
            some = wanted[first : first + BLOCK]
            task.progress(first, len(wanted), "embed")
            texts.encode([entry.content for entry in some])
            done += self._put(some)
        self._done = missed
        return Outcome(f"{done:,} items have the vectors of their texts now", {"items": done})

    def _put(self, entries: list[Item]) -> int:
        """Make the model read the vectors of `entries` whose text is still the same; count them."""
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
