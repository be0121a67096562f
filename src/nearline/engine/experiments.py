"""Experiments of a recommender: definitions, results, and the guardrails that stop them."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from nearline import ingest
from nearline.engine.other_models import load_models
from nearline.engine.tracking import TrackingMethods
from nearline.errors import InvalidInput
from nearline.evaluation.experiments.results import (
    ExperimentResults,
    broken_guardrail,
    make_results,
)
from nearline.log import Appended
from nearline.recommend.experiments import variant_of
from nearline.recommend.scenarios import check_definition
from nearline.schema import Defined, check_id
from nearline.schema.experiments import EXPERIMENT, Experiment, experiment_of

# A change of one of these fields starts the experiment, and its results, again.
_DECISIVE = ("variants", "seed", "coverage", "holdout", "layer", "scenario", "mode")


class ExperimentMethods(TrackingMethods):
    """Store, compare and stop experiments."""

    @property
    def experiments(self) -> "Experiments":
        """Experiments: variants of lists that users are assigned to."""
        return Experiments(self)

    def queue_experiment(self, name: str, fields: Mapping[str, object]) -> Future[Appended]:
        """Queue an experiment; once the future resolves, every list reflects it.

        It starts now, unless one of the name runs already with the same variants.
        """
        parts = self._current.open()
        record = ingest.checked_definition(EXPERIMENT, name, fields, parts.state)
        view = self._view()
        for changes in record.body["variants"].values():
            settings = changes.get("settings", {})
            check_definition(
                Defined(kind=EXPERIMENT, name=name, timestamp=0.0, body=settings), view
            )
        before = parts.state.definitions.get(EXPERIMENT, name)
        record.body.pop("stopped", None)
        if record.body.get("running", True):
            same = before is not None and all(
                before.get(field) == record.body.get(field) for field in _DECISIVE
            )
            goes_on = same and before is not None and before.get("running", True)
            started = before.get("started") if goes_on and before is not None else None
            record.body["started"] = self._clock() if started is None else started
        elif before is not None and "started" in before:
            record.body["started"] = before["started"]
        variants = record.body["variants"].items() if record.body.get("running", True) else ()
        named = {f"variants.{n}.model": v["model"] for n, v in variants if "model" in v}
        load_models(self._current, EXPERIMENT, name, named)
        self._periodic.start()
        return ingest.define(parts.log, record, now=self._clock())

    def experiment_results(self, name: str) -> ExperimentResults:
        """Compare the variants of an experiment with the lists that were served since it started.

        Raises
        ------
        UnknownExperiment
            There is no experiment of this name.
        """
        state = self._current.open().state
        body = ingest.definition(state, EXPERIMENT, name)
        experiment = self._experiment(body)
        started = experiment.started or 0.0

        def before(user_id: str) -> float:
            history = state.history(user_id)
            return 0.0 if history is None else float((history.times < started).sum())

        def segment_of(user_id: str) -> str | None:
            value = state.user_attributes(user_id).get(experiment.segment or "")
            return None if value is None or isinstance(value, list) else str(value)

        found = self.attributed(started)
        return make_results(name, experiment, found, before=before, segment_of=segment_of)

    def check_guardrails(self) -> list[str]:
        """Stop the running experiments of which a variant breaks a guardrail; return their names.

        A server does this every minute.
        """
        stopped = []
        parts = self._current.open()
        for name, experiment in parts.state.definitions.running.items():
            if not experiment.guardrails:
                continue
            why = broken_guardrail(name, experiment, self.attributed(experiment.started))
            if why is not None:
                self._stop(name, why).result()
                stopped.append(name)
        return stopped

    def _every_minute(self) -> None:
        super()._every_minute()
        self.check_guardrails()

    def stop_experiment(self, name: str) -> Future[Appended]:
        """Queue the end of an experiment: lists are as without it, and its results remain."""
        return self._stop(name, "stopped by hand")

    def _stop(self, name: str, why: str) -> Future[Appended]:
        parts = self._current.open()
        body = ingest.definition(parts.state, EXPERIMENT, name)
        body.pop("name")
        if body.get("running", True):
            body |= {"running": False, "stopped": why}
        record = Defined(kind=EXPERIMENT, name=name, timestamp=0.0, body=body)
        return ingest.define(parts.log, record, now=self._clock())

    def _experiment(self, body: Mapping[str, Any]) -> Experiment:
        found = experiment_of({field: value for field, value in body.items() if field != "name"})
        if found is None:
            raise InvalidInput("another version of Nearline stored this experiment; store it again")
        return found


class Experiments:
    """Experiments of one recommender, by name."""

    def __init__(self, engine: ExperimentMethods) -> None:
        self._engine = engine

    def put(self, name: str, **fields: Any) -> Appended:
        """Store an experiment durably, and start it unless ``running=False``.

        Parameters
        ----------
        name : str
            An experiment of this name is replaced.
        **fields
            `variants` maps names to what each variant changes: `scenario`, `model` (a snapshot ID)
            or `settings` (options of lists), and its `weight`. The first is the control. Optional
            are `scenario`, `coverage`, `holdout`, `layer`, `mode`, `metric`, `guardrails`, `seed`,
            `segment`, `planned` and `running`; see `nearline.schema.experiments.Experiment`.

        Raises
        ------
        InvalidInput, UnknownSnapshot
            A field is invalid, or names what does not exist; nothing was stored.
        """
        return self._engine.queue_experiment(name, fields).result()

    def get(self, name: str) -> dict[str, Any]:
        """Return the name and the fields of an experiment."""
        return ingest.definition(self._engine._current.open().state, EXPERIMENT, name)

    def list(self) -> "list[dict[str, Any]]":
        """Return all experiments, in alphabetical order."""
        return ingest.definitions(self._engine._current.open().state, EXPERIMENT)

    def stop(self, name: str) -> Appended:
        """Stop an experiment durably; lists are then as without it, and its results remain."""
        return self._engine.stop_experiment(name).result()

    def delete(self, name: str) -> Appended:
        """Delete an experiment durably."""
        parts = self._engine._current.open()
        now = self._engine.now()
        return ingest.undefine(parts.log, parts.state, EXPERIMENT, name, now=now).result()

    def results(self, name: str) -> ExperimentResults:
        """Return the comparison of the variants; it may be looked at any time."""
        return self._engine.experiment_results(name)

    def variant(self, name: str, user_id: str) -> str | None:
        """Return the variant of a user; None if the user does not take part."""
        experiment = self._engine._experiment(self.get(name))
        return variant_of(name, experiment, check_id(user_id, "user_id"))
