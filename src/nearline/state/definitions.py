"""Current definitions of a store: scenarios, rules and experiments, folded from the log."""

import math
from bisect import bisect_right
from collections.abc import Mapping
from typing import Any, Self

from nearline.schema import Defined, DefinitionRecord
from nearline.schema.bandits import BANDIT
from nearline.schema.definitions import (
    RULE,
    SCENARIO,
    WEIGHTS,
    Rule,
    ScenarioOptions,
    rule_of,
    scenario_of,
)
from nearline.schema.experiments import EXPERIMENT, Experiment, experiment_of
from nearline.schema.exploration import LEARNING, explore_of
from nearline.schema.segments import HOURS_SECONDS, factors_by_hours

# Names that were removed; so many are remembered, the oldest are forgotten first.
MAX_REMOVED = 1_000
# Active rules are kept for so many pairs of a period and a scenario.
MAX_ACTIVE = 64

# Kind, name and body of each definition; the body is None for a removed one.
DefinitionsCopy = list[tuple[str, str, dict[str, Any] | None]]


class Definitions:
    """Definitions by kind and name.

    Tables are replaced on each change and never modified, so readers need no lock.

    Attributes
    ----------
    scenarios : mapping of str to ScenarioOptions
    rules : mapping of str to Rule
        By name, in alphabetical order.
    running : mapping of str to Experiment
        Experiments that run, by name, in alphabetical order.
    factors : tuple of (mapping of str to float)
        For each quarter of the day, factors by which the weights of the model's relations are
        multiplied; see `nearline.schema.segments`.
    chances : mapping of str to (mapping of str to float)
        By scenario that chooses among policies, the probability of each by name.
    models : frozenset of str
        IDs of the snapshots that scenarios and running experiments name.
    window : int
        Seconds after which the draws of exploring lists, policies or factors change; 0 without any.
    samples_outcomes : bool
        Whether lists explore by what items led to.
    boundaries : tuple of float
        Times at which a rule begins or ends, in Unix seconds, ascending: lists made before one of
        them are not valid after it.
    """

    def __init__(self) -> None:
        self._bodies: dict[tuple[str, str], dict[str, Any]] = {}
        self._removed: dict[tuple[str, str], None] = {}
        self.scenarios: Mapping[str, ScenarioOptions] = {}
        self.rules: Mapping[str, Rule] = {}
        self.running: Mapping[str, Experiment] = {}
        self.boundaries: tuple[float, ...] = ()
        self.factors = factors_by_hours({}, {})
        self.chances: Mapping[str, Mapping[str, float]] = {}
        self.models: frozenset[str] = frozenset()
        self.window = 0
        self.samples_outcomes = False
        self._active: dict[tuple[int, str | None], dict[str, Rule]] = {}

    @classmethod
    def from_copy(cls, parts: DefinitionsCopy) -> Self:
        """Create definitions from a copy."""
        definitions = cls()
        for kind, name, body in parts:
            if body is None:
                definitions._removed[kind, name] = None
            else:
                definitions.apply(Defined(kind=kind, name=name, timestamp=0.0, body=body))
        return definitions

    def apply(self, record: DefinitionRecord) -> None:
        """Fold one record; its body is not validated, since it was before it was stored."""
        key = record.kind, record.name
        if isinstance(record, Defined):
            self._bodies[key] = record.body
            self._removed.pop(key, None)
        elif self._bodies.pop(key, None) is not None:
            self._removed[key] = None
            if len(self._removed) > MAX_REMOVED:
                del self._removed[next(iter(self._removed))]
        self._index(record)

    def get(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return the body of a definition; None if there is none."""
        return self._bodies.get((kind, name))

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the bodies of all definitions of a kind by name, in alphabetical order."""
        return {name: self._bodies[of, name] for of, name in sorted(self._bodies) if of == kind}

    def was_removed(self, kind: str, name: str) -> bool:
        """Return whether a definition of this name was removed and not stored again."""
        return (kind, name) in self._removed

    def period(self, now: float) -> int:
        """Return the number of the period between two boundaries in which a time lies."""
        return bisect_right(self.boundaries, now) if self.boundaries else 0

    def active(self, scenario: str | None, now: float) -> Mapping[str, Rule]:
        """Return the rules that apply to a list at a time, by name in alphabetical order.

        Takes constant time, except for the first list of a period and scenario.
        """
        if not self.rules:
            return self.rules
        active, key = self._active, (self.period(now), scenario)
        found = active.get(key)
        if found is None:
            chosen = self.scenarios.get(scenario) if scenario is not None else None
            names = None if chosen is None else chosen.rules
            found = {
                name: rule
                for name, rule in self.rules.items()
                if rule.scenario in (None, scenario)
                and (names is None or name in names)
                and rule.times[0] <= now < rule.times[1]
            }
            if len(active) >= MAX_ACTIVE:
                active.clear()
            active[key] = found
        return found

    def models_beside(self, kind: str, name: str) -> frozenset[str]:
        """Return the IDs of the snapshots that definitions other than the given one name."""
        found = set[str]()
        for other, scenario in self.scenarios.items():
            if (kind, name) != (SCENARIO, other):
                found |= scenario.models
        for other, experiment in self.running.items():
            if (kind, name) != (EXPERIMENT, other):
                found |= {v.model for v in experiment.variants.values() if v.model is not None}
        return frozenset(found)

    def copy(self) -> DefinitionsCopy:
        """Return a copy of all definitions, and of the names of removed ones."""
        there: DefinitionsCopy = [(*key, body) for key, body in self._bodies.items()]
        return there + [(*key, None) for key in self._removed]

    def _index(self, record: DefinitionRecord) -> None:
        """Replace the tables that requests read."""
        name = record.name
        if record.kind == SCENARIO:
            scenarios = {other: one for other, one in self.scenarios.items() if other != name}
            if isinstance(record, Defined) and (scenario := scenario_of(name, record.body)):
                scenarios[name] = scenario
            elif self._bodies.pop((BANDIT, name), None) is not None:
                self.chances = {other: p for other, p in self.chances.items() if other != name}
            self.scenarios = scenarios
        elif record.kind == RULE:
            rules = {other: one for other, one in self.rules.items() if other != name}
            if isinstance(record, Defined) and (rule := rule_of(record.body)):
                rules[name] = rule
            self.rules = dict(sorted(rules.items()))
            times = {time for rule in self.rules.values() for time in rule.times}
            self.boundaries = tuple(sorted(time for time in times if math.isfinite(time)))
        elif record.kind == EXPERIMENT:
            running = {other: one for other, one in self.running.items() if other != name}
            one = experiment_of(record.body) if isinstance(record, Defined) else None
            if one is not None and one.running:
                running[name] = one
            self.running = dict(sorted(running.items()))
        elif record.kind == WEIGHTS:
            body = record.body if isinstance(record, Defined) else {}
            segments = {name: one["factors"] for name, one in body.get("segments", {}).items()}
            self.factors = factors_by_hours(dict(body.get("factors", {})), segments)
        elif record.kind == BANDIT and isinstance(record, Defined):
            policies = record.body["policies"]
            found = {policy: one["probability"] for policy, one in policies.items()}
            self.chances = {**self.chances, name: found}
        self._active = {}
        self._index_exploration()
        self._index_models()

    def _index_exploration(self) -> None:
        explored = [one.options.get("explore") for one in self.scenarios.values()]
        for experiment in self.running.values():
            explored += [one.settings.get("explore") for one in experiment.variants.values()]
        found = [explore_of(value) for value in explored if value]
        bandits = [one.bandit for one in self.scenarios.values() if one.bandit is not None]
        windows = [one.window for one in found] + [one.window for one in bandits]
        if self.factors[0] is not self.factors[-1]:
            windows.append(HOURS_SECONDS)
        self.window = math.gcd(*windows)
        self.samples_outcomes = any(one.method in LEARNING for one in found)

    def _index_models(self) -> None:
        self.models = self.models_beside("", "")
