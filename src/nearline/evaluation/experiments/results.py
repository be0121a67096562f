"""Results of an experiment, from the lists that were served and what they led to."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import Struct

from nearline.common.interleaving import credit
from nearline.evaluation.experiments.arms import arm_sums
from nearline.evaluation.experiments.comparing import (
    ArmDifference,
    compare_arms,
    compare_interleaved,
    compare_segments,
)
from nearline.evaluation.experiments.planning import minimum_effect, required_users
from nearline.evaluation.experiments.sample_ratio import sample_ratio
from nearline.schema.experiments import CLICK, HOLDOUT, INTERLEAVE, Experiment
from nearline.served import Attributed
from nearline.served.attribution import CLICKS, kind_of

# Segments with more values than this are cut to those with the most users.
MAX_SEGMENTS = 20
# Relative change for which the number of required users is shown.
LIFT = 0.05


class VariantResult(Struct, frozen=True, kw_only=True):
    """Users, lists and rates of one variant.

    Attributes
    ----------
    variant : str
    users, lists, items : int
        Different users, servings, and lines that were shown.
    rate : float
        Share of the users with at least one event of the metric.
    click_through : float
        Share of the lines that the users opened.
    """

    variant: str
    users: int
    lists: int
    items: int
    rate: float
    click_through: float


class VariantComparison(Struct, frozen=True, kw_only=True):
    """Difference of a variant and the control, with an interval that is valid at any time.

    Attributes
    ----------
    variant : str
    difference, low, high : float or None
        Difference of the rates, and its 95 % confidence sequence; None while a variant has fewer
        than 50 users. For interleaving: the mean preference for the variant, from -1 to 1.
    lift : float or None
        Difference relative to the control.
    p : float
        Always-valid p-value.
    significant : bool
        Whether the interval leaves out 0.
    width_ratio : float
        Width of the interval relative to that without the users' earlier activity (CUPED).
    """

    variant: str
    difference: float | None
    low: float | None
    high: float | None
    lift: float | None
    p: float
    significant: bool
    width_ratio: float


class ExperimentResults(Struct, frozen=True, kw_only=True):
    """Results of an experiment.

    Attributes
    ----------
    name, metric, mode : str
    running : bool
    started : float or None
        Time in Unix seconds from which lists count.
    stopped : str or None
        Why it was stopped.
    control : str
    variants : list of VariantResult
        Users who are held out come last.
    comparisons : list of VariantComparison
        Of each other variant with the control.
    sample_ratio : float
        p-value of the shares of users; below 0.001 they differ from the intended ones.
    sound : bool
        Whether the shares of users are as intended; if not, the results must not be used.
    segments : dict of str to list of VariantComparison
        Comparisons by value of the attribute `segment`; the level is divided by their number.
    required_users : int or None
        Users per variant needed to find a relative change of 5 % with a power of 80 %.
    minimum_effect : float or None
        Smallest difference that the present number of users finds with this power.
    warnings : list of str
    """

    name: str
    metric: str
    mode: str
    running: bool
    started: float | None
    stopped: str | None
    control: str
    variants: list[VariantResult]
    comparisons: list[VariantComparison]
    sample_ratio: float
    sound: bool
    segments: dict[str, list[VariantComparison]]
    required_users: int | None
    minimum_effect: float | None
    warnings: list[str]


class _User:
    """What is known about one user of an experiment."""

    def __init__(self) -> None:
        self.lists, self.items, self.clicked = 0, 0, 0
        self.kinds: set[str] = set()
        self.credit = 0

    def add(self, one: Attributed, second: str, kinds: Sequence[str]) -> None:
        served, hits = one.served, one.items_with(kinds)
        self.lists += 1
        self.items += len(one.shown)
        self.clicked += len(one.items_with(CLICKS))
        self.kinds.update(led.kind for led in one.outcomes)
        if served.teams:
            teams = [int(team == second) for team in served.teams]
            clicked = [at for at, item in enumerate(served.item_ids) if item in hits]
            self.credit += credit(teams, clicked)


Users = dict[str, dict[str, _User]]


def kinds_of(metric: str) -> tuple[str, ...]:
    """Return the kinds of events that count for a metric."""
    return CLICKS if metric == CLICK else (kind_of(metric),)


def make_results(
    name: str,
    experiment: Experiment,
    attributed: Iterable[Attributed],
    *,
    before: Callable[[str], float],
    segment_of: Callable[[str], str | None],
) -> ExperimentResults:
    """Compare the variants of an experiment.

    Parameters
    ----------
    attributed : iterable of Attributed
        Servings from the start of the experiment on, with what they led to.
    before : callable
        Returns a user's activity before the experiment, by which outcomes are adjusted.
    segment_of : callable
        Returns the segment of a user, or None.
    """
    users = _users_of(name, experiment, attributed)
    control, *others = experiment.names
    interleaves = experiment.mode == INTERLEAVE
    ratio_p, sound = 1.0, True
    if not interleaves:
        counts = [len(users.get(variant, {})) for variant in experiment.names]
        ratio_p, sound = sample_ratio(counts, experiment.shares)
    kinds = set(kinds_of(experiment.metric))
    comparisons = [_compare(variant, experiment, users, kinds, before) for variant in others]
    warnings = []
    if not sound:
        warnings.append(
            "the shares of users differ from the intended ones: do not use the results, and find "
            "the cause"
        )
    rates = [bool(one.kinds & kinds) for one in users.get(control, {}).values()]
    needed, least = _plan(sum(rates), len(rates))
    if not any(users.values()):
        warnings.append("no list of the experiment was served since it started")
    return ExperimentResults(
        name=name,
        metric=experiment.metric,
        mode=experiment.mode,
        running=experiment.running,
        started=experiment.started,
        stopped=experiment.stopped,
        control=control,
        variants=_variants(experiment, users, kinds),
        comparisons=comparisons,
        sample_ratio=ratio_p,
        sound=sound,
        segments=_segments(experiment, users, kinds, segment_of),
        required_users=needed,
        minimum_effect=least,
        warnings=warnings,
    )


def broken_guardrail(
    name: str, experiment: Experiment, attributed: Iterable[Attributed]
) -> str | None:
    """Return why an experiment must stop: the guardrail that a variant breaks; None if none does.

    The interval of each comparison is valid at any time, so guardrails may be checked at will.
    """
    if not experiment.guardrails or experiment.mode == INTERLEAVE:
        return None
    users = _users_of(name, experiment, attributed)
    control, *others = experiment.names
    level = 0.05 / (len(experiment.guardrails) * len(others))
    for rail in experiment.guardrails:
        kinds = set(kinds_of(rail.metric))
        base = arm_sums(_outcomes(users.get(control, {}), kinds))
        for variant in others:
            theirs = arm_sums(_outcomes(users.get(variant, {}), kinds))
            found = compare_arms(base, theirs, alpha=level, planned=experiment.planned)
            if found.control > 0 and found.high < rail.worst * found.control:
                return (
                    f"guardrail {rail.metric}: {variant} is worse than {control} by at least "
                    f"{-found.high / found.control:.1%}"
                )
    return None


def _users_of(name: str, experiment: Experiment, attributed: Iterable[Attributed]) -> Users:
    """Return the users of each variant; a user counts for the first variant that was served."""
    kinds, second = kinds_of(experiment.metric), experiment.names[-1]
    users: Users = {}
    first: dict[str, str] = {}
    for one in attributed:
        variant, user_id = one.served.experiments.get(name), one.served.user_id
        if variant is None or user_id is None:
            continue
        if experiment.started is not None and one.served.timestamp < experiment.started:
            continue
        if first.setdefault(user_id, variant) == variant:
            users.setdefault(variant, {}).setdefault(user_id, _User()).add(one, second, kinds)
    return users


def _outcomes(users: Mapping[str, _User], kinds: set[str]) -> list[float]:
    return [float(bool(one.kinds & kinds)) for one in users.values()]


def _compare(
    variant: str,
    experiment: Experiment,
    users: Users,
    kinds: set[str],
    before: Callable[[str], float],
) -> VariantComparison:
    if experiment.mode == INTERLEAVE:
        signs = [_sign(one.credit) for one in users.get(INTERLEAVE, {}).values()]
        found = compare_interleaved(arm_sums(signs), planned=experiment.planned)
        return _comparison(variant, found)
    arms = [users.get(name, {}) for name in (experiment.names[0], variant)]
    sums = [arm_sums(_outcomes(arm, kinds), [before(user) for user in arm]) for arm in arms]
    return _comparison(variant, compare_arms(sums[0], sums[1], planned=experiment.planned))


def _segments(
    experiment: Experiment,
    users: Users,
    kinds: set[str],
    segment_of: Callable[[str], str | None],
) -> dict[str, list[VariantComparison]]:
    if experiment.segment is None or experiment.mode == INTERLEAVE:
        return {}
    values: dict[str, dict[str, list[float]]] = {}
    for variant, some in users.items():
        for user_id, one in some.items():
            segment = segment_of(user_id)
            if segment is not None:
                rows = values.setdefault(segment, {}).setdefault(variant, [])
                rows.append(float(bool(one.kinds & kinds)))
    largest = sorted(values, key=lambda name: -sum(map(len, values[name].values())))[:MAX_SEGMENTS]
    found: dict[str, list[VariantComparison]] = {}
    control, *others = experiment.names
    for variant in others:
        pairs = {
            segment: (
                arm_sums(values[segment].get(control, [])),
                arm_sums(values[segment].get(variant, [])),
            )
            for segment in sorted(largest)
        }
        level = 0.05 / len(others)
        for segment, two in compare_segments(
            pairs, alpha=level, planned=experiment.planned
        ).items():
            found.setdefault(segment, []).append(_comparison(variant, two))
    return found


def _variants(experiment: Experiment, users: Users, kinds: set[str]) -> list[VariantResult]:
    names = [INTERLEAVE] if experiment.mode == INTERLEAVE else list(experiment.names)
    if HOLDOUT in users:
        names.append(HOLDOUT)
    found = []
    for name in names:
        some = users.get(name, {})
        items = sum(one.items for one in some.values())
        found.append(
            VariantResult(
                variant=name,
                users=len(some),
                lists=sum(one.lists for one in some.values()),
                items=items,
                rate=sum(_outcomes(some, kinds)) / max(len(some), 1),
                click_through=sum(one.clicked for one in some.values()) / max(items, 1),
            )
        )
    return found


def _plan(hits: int, n: int) -> tuple[int | None, float | None]:
    rate = hits / n if n else 0.0
    if not 0 < rate < 1:
        return None, None
    deviation = math.sqrt(rate * (1 - rate))
    return required_users(LIFT * rate, deviation), minimum_effect(n, deviation)


def _comparison(variant: str, found: ArmDifference) -> VariantComparison:
    return VariantComparison(
        variant=variant,
        difference=_finite(found.difference),
        low=_finite(found.low),
        high=_finite(found.high),
        lift=_finite(found.lift),
        p=found.p,
        significant=found.significant,
        width_ratio=found.width_ratio,
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _sign(number: int) -> float:
    return float((number > 0) - (number < 0))
