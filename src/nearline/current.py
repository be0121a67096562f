"""The parts that answer now: one reference, swapped in one step."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

from nearline import store
from nearline.config import Config
from nearline.errors import Closed


class Current:
    """What the engine, its jobs and its versions share.

    A request takes `parts` once and keeps them to its end, whatever is swapped meanwhile.

    Attributes
    ----------
    path, config, clock
        Of the recommender.
    parts : Parts
        What serves.
    training : Lock
        Held by whoever trains.
    """

    def __init__(self, path: Path | None, config: Config, clock: Callable[[], float]) -> None:
        self.path, self.config, self.clock = path, config, clock
        self.training = Lock()
        self.parts = store.open_memory(config) if path is None else store.open_folder(path, config)
        self._swapping = Lock()
        self._closed = False

    def open(self) -> store.Parts:
        """Return the parts; raise `Closed` once there are none."""
        if self._closed:
            raise Closed("this recommender was closed; open the store again")
        return self.parts

    def swap(self, make: Callable[[store.Parts], store.Parts]) -> store.Parts:
        """Let `make` turn the parts that serve into others, and let these serve from then on.

        One swap at a time; requests go on meanwhile.
        """
        with self._swapping:
            old = self.open()
            self.parts = make(old)
            store.retire(old)
            return self.parts

    def close(self) -> None:
        """Finish what is queued, write the checkpoint, release the store; safe to call twice."""
        with self._swapping:
            if self._closed:
                return
            self._closed = True
            store.close(self.parts, self.path)
