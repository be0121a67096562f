"""Scenarios that choose among policies: their probabilities follow what lists led to."""

from msgspec import Struct

from nearline import ingest
from nearline.engine.tracking import TrackingMethods
from nearline.errors import InvalidInput
from nearline.log import UnwritableLog
from nearline.recommend.policies import chances_of
from nearline.schema import DAY, Defined
from nearline.schema.bandits import BANDIT, Bandit
from nearline.schema.definitions import SCENARIO
from nearline.served.policies import (
    PolicyCounts,
    best_arm_probabilities,
    policy_counts,
    with_floor,
)

# Change of a probability from which the probabilities are logged.
LEAST_CHANGE = 0.002


class PolicyLine(Struct, frozen=True, kw_only=True):
    """One policy of a scenario.

    Attributes
    ----------
    name : str
    scenario, model : str or None
        What the policy changes.
    probability : float
        Probability with which it is chosen now.
    best : float
        Probability that it has the highest rate of success.
    visits, successes : int
        Visits by the last update, and those with a success.
    rate : float
        `successes` divided by `visits`; 0 without visits.
    """

    name: str
    scenario: str | None
    model: str | None
    probability: float
    best: float
    visits: int
    successes: int
    rate: float


class PolicyChoice(Struct, frozen=True, kw_only=True):
    """How a scenario chooses among its policies; `at` is the last update, None before the first."""

    scenario: str
    metric: str
    floor: float
    window: int
    at: float | None
    policies: list[PolicyLine]


class PolicyMethods(TrackingMethods):
    """Show and update the probabilities of policies."""

    def policies(self, name: str) -> PolicyChoice:
        """Return the policies of a scenario with their probabilities.

        Raises
        ------
        UnknownScenario, InvalidInput
            There is no scenario of this name; it does not choose among policies.
        """
        state = self._current.open().state
        ingest.definition(state, SCENARIO, name)
        scenario = state.definitions.scenarios.get(name)
        if scenario is None or scenario.bandit is None:
            raise InvalidInput(
                f"scenario {name!r:.100} has no bandit, so it does not choose among policies; "
                "store it with one",
                field="name",
            )
        bandit, body = scenario.bandit, state.definitions.get(BANDIT, name) or {}
        known = body.get("policies", {})
        chances = chances_of(bandit, state.definitions.chances.get(name, {}))
        current = known.keys() == bandit.policies.keys()
        lines = []
        for policy, changes in bandit.policies.items():
            one = known[policy] if current else {}
            visits, successes = one.get("visits", 0), one.get("successes", 0)
            lines.append(
                PolicyLine(
                    name=policy,
                    scenario=changes.scenario,
                    model=changes.model,
                    probability=chances[policy],
                    best=one.get("best", 1.0 / len(bandit.policies)),
                    visits=visits,
                    successes=successes,
                    rate=successes / visits if visits else 0.0,
                )
            )
        at = body.get("at") if current else None
        return PolicyChoice(
            scenario=name,
            metric=bandit.metric,
            floor=bandit.floor,
            window=bandit.window,
            at=at,
            policies=lines,
        )

    def update_policies(self) -> list[str]:
        """Compute the probabilities of policies again; return the scenarios for which they changed.

        Lists count that were served before the current window of a scenario began. A server does
        this every minute.
        """
        parts = self._current.open()
        definitions, changed = parts.state.definitions, []
        for name, scenario in definitions.scenarios.items():
            if scenario.bandit is not None and not isinstance(parts.log, UnwritableLog):
                record = self._updated(name, scenario.bandit)
                if record is not None:
                    ingest.define(parts.log, record, now=self._clock()).result()
                    changed.append(name)
        return changed

    def _updated(self, name: str, bandit: Bandit) -> Defined | None:
        """Return the record of new probabilities; None if they have not changed."""
        definitions = self._current.open().state.definitions
        at = float(self._clock() // bandit.window * bandit.window)
        before = definitions.get(BANDIT, name) or {}
        known = before.get("policies", {})
        same = known.keys() == bandit.policies.keys()
        if (same and before["at"] >= at) or self._policies_at.get(name) == (at, bandit):
            return None
        self._policies_at[name] = (at, bandit)
        found = policy_counts(
            self.attributed(at - bandit.days * DAY), name, bandit.metric, bandit.window, at
        )
        counts = {policy: found.get(policy, PolicyCounts()) for policy in bandit.policies}
        if not any(one.visits for one in counts.values()):
            return None
        best = best_arm_probabilities(counts, seed=int(at))
        chances = with_floor(best, bandit.floor)
        was = chances_of(bandit, definitions.chances.get(name, {}))
        if same and max(abs(chances[one] - was[one]) for one in chances) < LEAST_CHANGE:
            return None
        policies = {
            policy: {
                "probability": chances[policy],
                "best": best[policy],
                "visits": counts[policy].visits,
                "successes": counts[policy].successes,
            }
            for policy in bandit.policies
        }
        body = {"at": at, "policies": policies}
        return Defined(kind=BANDIT, name=name, timestamp=0.0, body=body)

    def _every_minute(self) -> None:
        super()._every_minute()
        # Another server may have stored a definition.
        self._current.load_others(self._current.open().state.definitions.models)
        self.update_policies()
