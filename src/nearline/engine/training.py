"""Methods of the recommender that import data and train."""

from collections.abc import Mapping
from typing import Any, Self

from nearline.common.progress import Progress, no_progress
from nearline.data import CleaningReport
from nearline.engine.base import Engine
from nearline.jobs.queue import Job
from nearline.jobs.training import Columns, import_tables


class TrainingMethods(Engine):
    """Import tables, train, and maintain the store."""

    def fit(
        self,
        interactions: object = None,
        items: object = None,
        users: object = None,
        validation: object = None,
        seed: int = 0,
        *,
        columns: Columns | None = None,
        on: str | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> Self:
        """Import the given data, train on the whole log, and activate the model.

        Parameters
        ----------
        interactions : frame, path or None
            `user_id`, `item_id`, optional `timestamp`, `event`, `value`. In memory they replace all
            earlier data; in a folder new rows are appended to the log. None: train on the log.
        items : frame, path or None
            `item_id` and any text, category, number or vector columns.
        users : frame, path or None
            `user_id`, and columns of attributes: texts, numbers, booleans or lists of these.
        validation : frame, path or None
            Interactions for choosing the settings, which are never trained on. None: the last
            interaction of each user, which is trained on afterwards.
        columns : mapping or None
            Maps canonical column names to those in the tables; `options` are the fields of
            `nearline.data.options.ReadOptions`.
        on : str or None
            Cluster of Apache Spark that counts pairs, such as ``spark://host:7077``. The result is
            the same.

        Raises
        ------
        InvalidInput, NotTrained
            No data is left after cleaning; the active model stays active.
        """
        given = (interactions, items, validation, columns, users)
        self._training.fit(*given, seed=seed, on=on, progress=progress, **options)
        if interactions is not None:
            self._like = interactions
            if self.path is None:  # another log, to which served lists do not refer
                self.served.clear()
        return self

    def train(
        self, seed: int = 0, *, model: str | None = None, settings: Mapping[str, Any] | None = None
    ) -> Job:
        """Train on the whole log in the background; activate the model unless it is worse.

        Parameters
        ----------
        model, settings
            Model to train instead of the configured one; without `settings`, with its defaults.

        Returns
        -------
        Job
            The queued job, which `jobs` can follow and cancel. A store is trained in a separate
            process of low priority, a recommender in memory in a thread.

        Raises
        ------
        InvalidInput, Overloaded
            The model or a setting does not exist; too many trainings are queued.
        """
        return self._training.submit(seed, model, settings)

    def merge(self) -> Job:
        """Write a new snapshot with everything that the active model learned since the last one."""
        return self._merging.submit()

    def checkpoint(self) -> Job:
        """Write the state of a store to its checkpoint in the background."""
        return self._checkpoints.submit()

    def expire(self) -> Job:
        """Remove the events that `Config.retention` says are expired, in the background."""
        return self._retention.submit()

    def retain(self) -> int:
        """Remove expired events now; return the number of removed records.

        Lists, counts and the next snapshot are then equal to those without these events.
        """
        with self._current.foreground():
            return self._retention.run()

    def embed(self) -> Job:
        """Encode the texts of items without a vector in the background."""
        return self._embedding.submit()

    def add(
        self,
        interactions: object = None,
        items: object = None,
        users: object = None,
        *,
        columns: Columns | None = None,
        progress: Progress = no_progress,
        **options: Any,
    ) -> CleaningReport | None:
        """Import interactions, items and users without training, and report; as for `fit`."""
        if interactions is not None:
            self._like = interactions
        given = (self._current.open(), interactions, items, columns, progress)
        return import_tables(self._current, *given, users=users, **options)
