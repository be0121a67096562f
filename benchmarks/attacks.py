"""Attacks on privacy and on lists, measured on MovieLens 100K.

    python -m benchmarks.attacks [--write] [--settings NAME] [membership | shilling | detection]
    python -m benchmarks.attacks --seed N --settings NAME shilling

*Membership*: an attacker knows a person and asks for the list of half of the person's history
(`POST /v1/recommendations`). The score of the attack is the number of films of the other half in
the list, plus their mean reciprocal rank; a second attack also compares with a model that surely
lacks the person. The same people are scored by a model with them, by one without them, and by one
that has forgotten them. An AUC of 0.5 means that the attacker can only guess.

*Shilling*: 1, 3 and 5 % fake users, each with the same target film and 30 others: at random,
popular ones (*bandwagon*), popular ones with the target after each of the first five (*adjacent*),
a popular one, then the five most popular ones with the target after each, then popular ones
(*focused*), the 30 most popular ones in this order and then the target (*closing*), 30 of the 60
most popular ones in this order and then the target (*mainstream*), the films of the ranks 31 to
60, and then the target (*second row*), or 30 of the ranks 31 to 120 in this order, and then the
target (*scattered*). Their events arrive live after all others, all but the first one a day later;
with `min_age`, also within minutes (*burst*). Hit rate: the share of real users in whose list the
target is, without fake users and with them, with the default settings, with protective ones, with
these and less or no weight of transitions, and with `min_age`. Real users have their real times,
and their last film is held out: accuracy is the share of users whose list has it, and NDCG.

*Detection*: precision and recall of `nearline.trust.profiles` for the same fake users, with targets
and seeds that were not used while it was written, and what it reports without fake users.

Everything is seeded.
"""

import argparse
import json
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import count, product
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.machine import RESULTS, spread, write
from msgspec.structs import replace
from numpy.typing import ArrayLike, NDArray

import nearline as nl
from nearline.config import Config
from nearline.data.public import load_dataset
from nearline.state import StateConfig
from nearline.trust.profiles import profile_report

Rows = dict[str, list[str]]

K, FILLERS, TARGETS, SHARES = 10, 30, 12, (0.01, 0.03, 0.05)
PEOPLE, DAY = 200, 86_400.0
KINDS = (
    "random",
    "bandwagon",
    "adjacent",
    "focused",
    "closing",
    "mainstream",
    "second row",
    "scattered",
)
REPEATS = 5
# Seconds between the first event of a fake user and the others.
BURST, PATIENT = ("burst", 0.0), ("patient", DAY)
PROTECTIVE = StateConfig(max_events_per_item=1, max_weight_per_user=100.0)
WAITING = StateConfig(min_age=600.0, max_weight_per_user=100.0)
DETECTION_SEEDS = range(200, 210)
ATTACKS = count()
# No search for settings, which would hide the effect of the data.
NO_SEARCH: dict[str, Any] = {"search": {"evaluations": 0}}
CONFIG = Config(settings=NO_SEARCH)
# What follows what counts less, above all after popular films; or not at all.
LIGHT = {"weight": 0.25, "source_exponent": 1.0, "shrinkage": 50.0}
LESS = Config(settings=NO_SEARCH | {"transitions": LIGHT})
NONE = Config(settings=NO_SEARCH | {"transitions": {"weight": 0.0}})
# Settings by name, with the shares of fake users and their paces.
SETTINGS = (
    ("default", CONFIG, SHARES, (PATIENT,)),
    ("protective", replace(CONFIG, state=PROTECTIVE), SHARES, (PATIENT,)),
    ("protective, light transitions", replace(LESS, state=PROTECTIVE), SHARES[-1:], (PATIENT,)),
    ("protective, no transitions", replace(NONE, state=PROTECTIVE), SHARES[-1:], (PATIENT,)),
    ("min_age", replace(CONFIG, state=WAITING), SHARES[-1:], (BURST, PATIENT)),
)


def histories() -> Rows:
    """Return the films of each user, oldest first."""
    table = load_dataset("movielens-100k").interactions
    frame = table.sort_by([("user_id", "ascending"), ("timestamp", "ascending")])
    found: Rows = {}
    pairs = zip(frame["user_id"].to_pylist(), frame["item_id"].to_pylist(), strict=True)
    for user, item in pairs:
        found.setdefault(str(user), []).append(str(item))
    return found


def fitted(rows: Rows) -> nl.Recommender:
    """Return a recommender that has learned all histories, at equal distances in time."""
    columns: dict[str, list[Any]] = {"user_id": [], "item_id": [], "timestamp": []}
    for user, items in rows.items():
        columns["user_id"] += [user] * len(items)
        columns["item_id"] += items
        columns["timestamp"] += [1.6e9 + 3_600.0 * at for at in range(len(items))]
    return nl.Recommender(config=CONFIG).fit(pa.table(columns))


def auc(positive: ArrayLike, negative: ArrayLike) -> float:
    """Return the probability that a positive has the higher score; ties count half."""
    first, second = np.asarray(positive)[:, None], np.asarray(negative)[None, :]
    return float(np.mean((first > second) + 0.5 * (first == second)))


def overlap(rec: nl.Recommender, items: list[str]) -> float:
    """Return the score of the attack on one person."""
    known, hidden = items[::2], set(items[1::2])
    listed = [line.item_id for line in rec.recommend("a session", k=K, history=known)]
    ranks = [at for at, item in enumerate(listed, 1) if item in hidden]
    return len(ranks) + float(np.mean([1 / at for at in ranks] or [0.0]))


def membership(rows: Rows) -> list[dict[str, Any]]:
    """Measure how well an attacker tells who is in the data."""
    rng = np.random.default_rng(0)
    people = rng.permutation(sorted(rows))[:PEOPLE].tolist()
    others = {user: items for user, items in rows.items() if user not in set(people)}
    scores: dict[str, list[float]] = {}
    with fitted(others) as without:
        scores["without"] = [overlap(without, rows[user]) for user in people]
    with fitted(rows) as members:
        scores["members"] = [overlap(members, rows[user]) for user in people]
        for user in people:
            members.forget(user).result()
        scores["forgotten"] = [overlap(members, rows[user]) for user in people]
    found = []
    for name in ("members", "forgotten"):
        gains = np.subtract(scores[name], scores["without"])
        found.append(
            {
                "attack": f"membership, {name}",
                "auc": auc(scores[name], scores["without"]),
                "auc_with_reference": auc(gains, np.zeros(1)),
            }
        )
        print(found[-1])
    return found


def timed(rows: Rows) -> list[nl.Event]:
    """Return the events of all users but their last, with their real times."""
    table = load_dataset("movielens-100k").interactions
    columns = (table[name].to_pylist() for name in ("user_id", "item_id", "timestamp"))
    times = {(str(user), str(item)): float(at) for user, item, at in zip(*columns, strict=True)}
    return [
        nl.Event(user_id=user, item_id=item, timestamp=times[user, item])
        for user, items in rows.items()
        for item in items[:-1]
    ]


def fakes(rows: Rows, target: str, share: float, kind: str, rng: np.random.Generator) -> Rows:
    """Return fake users with a target and other films, in the order of their events."""
    items, counts = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    even = np.full(len(items), 1 / len(items))
    chances = even if kind == "random" else counts / counts.sum()
    leading = [one for one in items[np.argsort(-counts, kind="stable")].tolist() if one != target]
    made: Rows = {}
    for number in range(round(share * len(rows))):
        chosen: NDArray[Any] = rng.choice(items, FILLERS, replace=False, p=chances)
        fillers = [one for one in chosen.tolist() if one != target]
        if kind == "adjacent":
            pairs = [(one, target) for one in fillers[:REPEATS]]
            mixed = [item for pair in pairs for item in pair] + fillers[REPEATS:]
        elif kind == "focused":
            pairs = [(one, target) for one in leading[:REPEATS]]
            mixed = [fillers[0], *(item for pair in pairs for item in pair), *fillers[1:]]
        elif kind == "closing":
            mixed = [*leading[:FILLERS], target]
        elif kind == "second row":
            mixed = [*leading[FILLERS : 2 * FILLERS], target]
        elif kind == "scattered":
            places = np.sort(rng.choice(np.arange(FILLERS, 4 * FILLERS), FILLERS, replace=False))
            mixed = [*(leading[place] for place in places), target]
        elif kind == "mainstream":
            places = np.sort(rng.choice(2 * FILLERS, FILLERS, replace=False))
            mixed = [*(leading[place] for place in places), target]
        else:
            mixed = rng.permutation([*fillers, target]).tolist()
        made[f"fake{number}"] = mixed
    return made


def hit_rate(rec: nl.Recommender, users: Sequence[str], target: str) -> float:
    """Return the share of users in whose list the target is."""
    lists = rec.recommend_many(list(users), k=K)
    items, owners = np.asarray(lists["item_id"]), np.asarray(lists["user_id"])
    return len(set(owners[items == target].tolist())) / len(users)


def accuracy(rec: nl.Recommender, rows: Rows) -> tuple[float, float]:
    """Return the share of users whose list has the film that was held out, and NDCG."""
    lists = rec.recommend_many(list(rows), k=K)
    owners, items = lists["user_id"].to_pylist(), lists["item_id"].to_pylist()
    ranks = [
        at - owners.index(user)
        for at, (user, item) in enumerate(zip(owners, items, strict=True))
        if rows[user][-1] == item
    ]
    return len(ranks) / len(rows), float(np.sum(1 / np.log2(np.add(ranks, 2)))) / len(rows)


def attacked(
    rec: nl.Recommender, users: Sequence[str], target: str, made: Rows, began: float, wait: float
) -> float:
    """Return the hit rate while fake users are in the store; then erase them."""
    # An erased user does not come back with old events, so each attack has users of its own.
    names = {user: f"{user} of {next(ATTACKS)}" for user in made}
    events = [
        nl.Event(
            user_id=names[user],
            item_id=item,
            timestamp=began + 10.0 * at + (wait if at else 0.0),
        )
        for user, items in made.items()
        for at, item in enumerate(items)
    ]
    rec.append_events(events).result()
    found = hit_rate(rec, users, target)
    erased = sum(rec.forget(user).result() for user in names.values())
    if erased != len(events):
        raise RuntimeError(f"{len(events)} events were sent, and {erased} erased")
    return found


def shilling(rows: Rows, only: str | None = None, seed: int = 0) -> list[dict[str, Any]]:
    """Measure how far fake users push a film, with all settings or only those of one name.

    `seed` chooses the films.
    """
    users, found = sorted(rows), []
    events = timed(rows)
    began = max(event.timestamp for event in events) + DAY
    items, counts = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    some = items[(counts >= 60) & (counts <= 120)]
    targets = np.random.default_rng(seed).permutation(some)[:TARGETS].tolist()
    columns = {
        "user_id": [event.user_id for event in events],
        "item_id": [event.item_id for event in events],
        "timestamp": [event.timestamp for event in events],
    }
    for name, config, shares, paces in SETTINGS:
        if only not in (None, name):
            continue
        with nl.Recommender(config=config).fit(pa.table(columns)) as rec:
            hits, ndcg = accuracy(rec, rows)
            before = float(np.mean([hit_rate(rec, users, target) for target in targets]))
            for kind, share, (pace, wait) in product(KINDS, shares, paces):
                rng = np.random.default_rng(1)
                after = [
                    attacked(rec, users, target, fakes(rows, target, share, kind, rng), began, wait)
                    for target in targets
                ]
                found.append(
                    {
                        "attack": f"shilling, {kind}, {pace}",
                        "settings": name,
                        "share": share,
                        "targets": len(targets),
                        "accuracy": hits,
                        "ndcg": ndcg,
                        "before": before,
                        "after": float(np.mean(after)),
                        "ratio": float(np.mean(after)) / before,
                    }
                )
                print(found[-1], flush=True)
    return found


def detection(rows: Rows) -> list[dict[str, Any]]:
    """Measure precision and recall of the detector of made-up profiles."""
    items, counts = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    index = {item: at for at, item in enumerate(items.tolist())}
    some = items[(counts >= 60) & (counts <= 120)]

    def suspected(profiles: Rows) -> set[str]:
        sizes = [len(one) for one in profiles.values()]
        taken = np.array([index[item] for one in profiles.values() for item in one])
        users = np.repeat(np.arange(len(sizes)), sizes)
        report = profile_report(users, taken, list(profiles), items.tolist())
        return {one.user_id for one in report.profiles}

    found: list[dict[str, Any]] = [
        {"attack": "detection, no fake users", "suspected": len(suspected(rows))}
    ]
    print(found[-1], flush=True)
    halves = (np.random.default_rng(seed).permutation(sorted(rows)) for seed in DETECTION_SEEDS)
    told_of_halves = sum(
        len(suspected({user: rows[user] for user in half[: len(half) // 2].tolist()}))
        for half in halves
    )
    found.append({"attack": "detection, ten halves of real users", "suspected": told_of_halves})
    print(found[-1], flush=True)
    for kind, share in product(KINDS, SHARES):
        told_all, right_all, made_all, recalls = 0, 0, 0, []
        for seed in DETECTION_SEEDS:
            rng = np.random.default_rng(seed)
            made = fakes(rows, str(rng.choice(some)), share, kind, rng)
            told = suspected(rows | made)
            right = len(told & made.keys())
            told_all, right_all, made_all = (
                told_all + len(told),
                right_all + right,
                made_all + len(made),
            )
            recalls.append(right / len(made))
        found.append(
            {
                "attack": f"detection, {kind}",
                "share": share,
                "precision": right_all / told_all if told_all else 0.0,
                "recall": right_all / made_all,
                "recall_by_seed": spread(recalls),
            }
        )
        print(found[-1], flush=True)
    return found


MEASURES: dict[str, Callable[[Rows], list[dict[str, Any]]]] = {
    "membership": membership,
    "shilling": shilling,
    "detection": detection,
}


def kept(measured: Collection[dict[str, Any]], parts: Collection[str]) -> list[dict[str, Any]]:
    """Return the rows of earlier runs that this one did not measure."""
    try:
        rows = json.loads((RESULTS / "attacks.json").read_text())["rows"]
    except FileNotFoundError:
        return []
    measured_keys = {key_of(row) for row in measured}
    names = {None, *(name for name, *_ in SETTINGS)}
    # With all settings, a part replaces all of its rows.
    return [
        row
        for row in rows
        if row["attack"].partition(",")[0] not in parts
        and key_of(row) not in measured_keys
        and row.get("settings") in names
    ]


def key_of(row: dict[str, Any]) -> tuple[object, ...]:
    """Return what a row is about."""
    return row["attack"], row.get("settings"), row.get("share")


def main() -> None:
    """Measure the attacks and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=[*MEASURES, []])
    parser.add_argument("--settings", choices=[name for name, *_ in SETTINGS], help="of shilling")
    parser.add_argument("--seed", type=int, default=0, help="of the targets of shilling")
    parser.add_argument("--write", action="store_true", help="write results/attacks.json")
    given = parser.parse_args()
    if given.seed and given.write:
        parser.error("only the figures for the first targets are written")
    rows, parts = histories(), given.parts or list(MEASURES)
    measures = MEASURES | {"shilling": partial(shilling, only=given.settings, seed=given.seed)}
    figures = [row for part in parts for row in measures[part](rows)]
    whole = [part for part in parts if part != "shilling" or given.settings is None]
    if given.write:
        settings = {"k": K, "fillers": FILLERS, "seeds": len(DETECTION_SEEDS)}
        protective = {
            "events_per_item": PROTECTIVE.max_events_per_item,
            "weight": PROTECTIVE.max_weight_per_user,
        }
        write("attacks", settings | {"protective": protective}, kept(figures, whole) + figures)


if __name__ == "__main__":
    main()
