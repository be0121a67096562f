"""Weights of relations that follow the events, with `Config.adapt`.

At most four events a second are sampled where they are applied, before the model learns them. Once
a minute, a thread of its own learns from the samples (`nearline.models.hedge`). If the factors
changed, they are appended to the log, so that every process that follows the log, every replay and
every explanation has the same weights.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any

from msgspec import Struct

from nearline.engine.base import Engine
from nearline.log import Appended
from nearline.models.capabilities import AdaptsWeights
from nearline.models.hedge import learned
from nearline.schema import Defined
from nearline.schema.definitions import RELATIONS_NAME, WEIGHTS

# Relative change of a factor from which the factors are logged, and turns that are kept.
LEAST_CHANGE, KEPT = 0.02, 100


class Weights(Struct, frozen=True, kw_only=True):
    """Weights of the relations of the active model.

    Attributes
    ----------
    trained : dict of str to float
        Weight that training found, by relation.
    factors : dict of str to float
        Factor of each weight, from 1/4 to 4.
    frozen : bool
        Whether the factors stay as they are.
    experts : dict of str to float
        Weights of the alternatives from which the factors are made.
    segments : dict of str to (dict of str to float)
        Factors for some users, such as ``new 06-12``; see `nearline.schema.segments`.
    history : list of (float, dict)
        Earlier factors with their times in Unix seconds, oldest first.
    """

    trained: dict[str, float]
    factors: dict[str, float]
    frozen: bool
    experts: dict[str, float]
    segments: dict[str, dict[str, float]]
    history: list[tuple[float, dict[str, float]]]


class AdaptationMethods(Engine):
    """Show, freeze and learn the weights of relations."""

    def weights(self) -> Weights:
        """Return the weights of the relations of the active model, and how they changed."""
        body, model = self._weights_record(), self._current.open().model
        trained = model.trained_weights() if isinstance(model, AdaptsWeights) else {}
        return Weights(
            trained=trained,
            factors=body["factors"] or dict.fromkeys(trained, 1.0),
            frozen=body["frozen"],
            experts=body["experts"],
            segments={name: one["factors"] for name, one in body["segments"].items()},
            history=[(time, factors) for time, factors in body["history"]],
        )

    def freeze_weights(self, *, frozen: bool = True) -> Appended:
        """Keep the factors of the weights as they are, or let them follow the events again."""
        return self.queue_frozen(frozen).result()

    def queue_frozen(self, frozen: bool) -> Future[Appended]:
        """Queue whether the factors stay as they are; see `freeze_weights`."""
        return self._store_weights({**self._weights_record(), "frozen": bool(frozen)})

    def reset_weights(self) -> Appended:
        """Return to the weights that training found."""
        return self.queue_reset().result()

    def queue_reset(self) -> Future[Appended]:
        """Queue the return to the weights that training found."""
        changed: dict[str, Any] = {"factors": {}, "experts": {}, "segments": {}}
        return self._store_weights({**self._weights_record(), **changed})

    def adapt_weights(self) -> bool:
        """Learn from the events that were sampled; return whether the factors changed.

        A server does this every minute.
        """
        parts = self._current.serving()
        model, body = parts.model, self._weights_record()
        self._sample_events()
        if self._sampled is None:
            return False
        samples = self._sampled.take()
        if not isinstance(model, AdaptsWeights) or body["frozen"]:
            return False
        if not samples:
            return False
        last = parts.state.definitions.get(WEIGHTS, RELATIONS_NAME)
        known = self._learned
        since = body if known is None or known[0] is not last else known[1]
        changed = learned(since, tuple(model.trained_weights()), samples)
        self._learned = last, changed  # small changes add up until they are logged
        if largest_change(body, changed) < LEAST_CHANGE:
            return False
        short = {name: round(factor, 4) for name, factor in changed["factors"].items()}
        changed["history"] = [*body["history"], [self._clock(), short]][-KEPT:]
        self._store_weights({**body, **changed}).result()
        return True

    def _every_minute(self) -> None:
        super()._every_minute()
        if self.config.adapt:
            self.adapt_weights()

    def _weights_record(self) -> dict[str, Any]:
        state = self._current.open().state
        body = state.definitions.get(WEIGHTS, RELATIONS_NAME) or {}
        return {
            "factors": {},
            "frozen": False,
            "experts": {},
            "segments": {},
            "history": [],
            **body,
        }

    def _store_weights(self, body: dict[str, Any]) -> Future[Appended]:
        log, now = self._current.open().log, self._clock()
        record = Defined(kind=WEIGHTS, name=RELATIONS_NAME, timestamp=now, body=body)
        return log.append([record])


def largest_change(before: Mapping[str, Any], after: Mapping[str, Any]) -> float:
    """Return the largest relative change of a factor, of all users or of a segment."""

    def changes(old: Mapping[str, float], new: Mapping[str, float]) -> Iterator[float]:
        for name, factor in new.items():
            yield abs(factor / old.get(name, 1.0) - 1.0)

    found = [*changes(before["factors"], after["factors"])]
    for name, one in after["segments"].items():
        old = before["segments"].get(name, before)
        found += changes(old["factors"], one["factors"])
    return max(found, default=0.0)
