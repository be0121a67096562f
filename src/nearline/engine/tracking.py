"""Methods of the recommender for the served log: what was served, and what it led to."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nearline.engine.impressions import ImpressionMethods
from nearline.models.capabilities import AdaptsWeights
from nearline.recommend.exploration import relative_parts
from nearline.recommend.pipeline import history_of
from nearline.recommend.scenarios import resolved
from nearline.schema import Answer, RecommendationRequest, check_id
from nearline.schema.exploration import LINTS
from nearline.schema.times import parse_time
from nearline.served import (
    Attributed,
    ItemsSeen,
    Served,
    ServedReport,
    attribute,
    make_report,
)
from nearline.served.attribution import GREEDY
from nearline.served.outcome_counts import OutcomeCounts
from nearline.served.outcomes import outcomes_of

if TYPE_CHECKING:
    from nearline.evaluation.off_policy import PolicyReport

# Days for which what items led to counts for exploration.
OUTCOME_DAYS = 30


class TrackingMethods(ImpressionMethods):
    """Keep served lists, and report what they led to."""

    def report(
        self, since: object = None, until: object = None, *, scenario: str | None = None
    ) -> ServedReport:
        """Report what lists with `track` led to: click-through, conversion, by position and more.

        Reads the served log, and the log from the first of these lists on.

        Parameters
        ----------
        since, until : float, str, datetime or None
            Only lists that were served from `since` on and before `until`: Unix seconds, RFC 3339
            or a datetime.
        scenario : str or None
            Only lists of this scenario.

        Raises
        ------
        InvalidInput
            A time is invalid.
        """
        first, last = self._times(since, until)
        if scenario is not None:
            check_id(scenario, "scenario")
        found = self.attributed(first)
        return make_report(found, since=first, until=last, scenario=scenario)

    def attributed(self, since: float | None = None) -> list[Attributed]:
        """Return the lists that were served from a time on (Unix seconds), with what they led to.

        `nearline.served.logged_rows` converts them to the rows of off-policy evaluation.
        """
        entries = self.served.entries(since or 0.0)
        return attribute(entries, self._current.open().log.read, self.config.windows)

    def evaluate_policy(
        self,
        policy: Any,
        *,
        metric: str = "click",
        since: object = None,
        until: object = None,
        scenario: str | None = None,
        estimators: Sequence[str] | None = None,
        lists: str = "independent",
        seed: int = 0,
    ) -> "PolicyReport":
        """Estimate what another policy would have earned, from the served lists that explore.

        Parameters
        ----------
        policy : str, path or frame
            "greedy" (the same scores without exploration), "uniform", a table with `item_id`,
            `probability` and perhaps `position`, or a log of the policy.
        metric : str
            Kind of event that is rewarded with 1. "click" includes views, opens and plays.
        since, until, scenario : float, str, datetime or None, the same, str or None
            Which lists; see `report`.
        estimators : sequence of str or None
            Names of estimators; None means all that the policy allows.
        lists : {"independent", "cascade"}
            Whether the reward of a line depends on its item and position only, or also on the lines
            above it.
        seed : int
            Seed of the folds of the model of the reward.

        Raises
        ------
        InvalidInput
            No such list explores, the policy can't be read, or an option is invalid.
        """
        from nearline.evaluation.off_policy import ESTIMATORS, evaluate_served

        first, last = self._times(since, until)
        if scenario is not None:
            check_id(scenario, "scenario")
        return evaluate_served(
            self.attributed(first),
            policy,
            metric=check_id(metric, "metric"),
            until=last,
            scenario=scenario,
            estimators=ESTIMATORS if estimators is None else estimators,
            lists=lists,
            seed=seed,
        )

    def _times(self, since: object, until: object) -> tuple[float | None, float | None]:
        now = self._clock()
        first = None if since is None else parse_time(since, "since", now=now)
        return first, None if until is None else parse_time(until, "until", now=now)

    def refresh_outcomes(self) -> None:
        """Count again what items led to, if a scenario explores by it and its window has ended."""
        state = self._current.open().state
        definitions = state.definitions
        if not definitions.samples_outcomes or not definitions.window:
            self._current.outcomes = None
            return
        at = float(self._clock() // definitions.window * definitions.window)
        with self._counting:
            if self._current.outcomes is None or self._current.outcomes.at != at:
                counts = self._outcome_counts()
                counts.advance(at)
                model = self._current.serving().model
                weights = model.trained_weights() if isinstance(model, AdaptsWeights) else ()
                slots, get = state.items.slots, state.items.get
                self._current.outcomes = outcomes_of(counts, slots, get, at, tuple(weights))

    def _outcome_counts(self) -> OutcomeCounts:
        """Return the counts so far; new ones after an erasure, which they may contain."""
        log, served = self._current.open().log, self.served
        # Read before the entries and records, so that no erasure is missed.
        source = (log, served, log.erasures, served.erasures)
        if self._counts is None or self._counts[0] != source:
            reader: Callable[[], list[Served | ItemsSeen]] | None = None

            def entries(since: float | None) -> list[Served | ItemsSeen]:
                nonlocal reader
                if reader is None or since is not None:
                    reader = served.reader(since or 0.0)
                return reader()

            windows = self.config.windows
            counts = OutcomeCounts(entries, log.read, lambda: log.end, windows, OUTCOME_DAYS)
            self._counts = source, counts
        return self._counts[1]

    def _every_minute(self) -> None:
        super()._every_minute()
        self.refresh_outcomes()

    def serve(self, served: Served | None) -> None:
        """Add a list that is sent now to the served log; None does nothing."""
        if served is not None:
            self.served.add(served)

    def served_list(self, request: RecommendationRequest, answer: Answer) -> Served | None:
        """Return the entry of the served log for an answer; None if it is not to be kept."""
        if request.track is None and request.scenario is None and not answer.experiments:
            return None
        track = resolved(request, self._current.deployment.state).track
        if not (
            bool(answer.experiments or answer.policy or answer.chosen) if track is None else track
        ):
            return None
        lines = answer.items
        explores = any(line.propensity is not None for line in lines)
        return Served(
            recommendation_id=answer.recommendation_id,
            user_id=answer.user_id,
            timestamp=self._clock(),
            item_ids=tuple(line.item_id for line in lines),
            tiers=tuple(line.tier for line in lines),
            model=answer.model,
            offset=answer.offset,
            policy=answer.policy or GREEDY,
            propensities=tuple(
                1.0 if line.propensity is None else line.propensity for line in lines
            )
            if explores
            else None,
            explored=tuple(at for at, line in enumerate(lines) if line.explored),
            scenario=request.scenario,
            experiments=answer.experiments,
            teams=tuple(line.variant or "" for line in lines)
            if any(line.variant for line in lines)
            else (),
            context=request.context,
            chosen=answer.chosen,
            chosen_propensity=answer.chosen_propensity,
            parts=self._parts(request, answer) if answer.policy == LINTS else {},
        )

    def _parts(
        self, request: RecommendationRequest, answer: Answer
    ) -> dict[str, tuple[float, ...]]:
        """Return the parts of the lines, from which linear Thompson sampling learns."""
        view = self._view()
        if answer.model != view.model_id:  # of a variant, or promoted meanwhile
            return {}
        history, _ = history_of(request, view)
        indices = (view.state.items.get(line.item_id) for line in answer.items)
        items = np.array([-1 if at is None else at for at in indices], dtype=np.int32)
        found = relative_parts(history, items, view.model)
        if found is None:
            return {}
        names, parts = found
        rows = parts.T.round(6).tolist()
        return {name: tuple(row) for name, row in zip(names, rows, strict=True)}
