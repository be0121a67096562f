"""Attacks on privacy and on lists, measured on MovieLens 100K.

    python -m benchmarks.attacks [--write] [membership | shilling]

*Membership*: an attacker knows a person and asks for the list of half of the person's history
(`POST /v1/recommendations`). The score of the attack is the number of films of the other half in
the list, plus their mean reciprocal rank; a second attack also compares with a model that surely
lacks the person. The same people are scored by a model with them, by one without them, and by one
that has forgotten them. An AUC of 0.5 means that the attacker can only guess.

*Shilling*: 1, 3 and 5 % fake users, each with the same target film and 30 others, at random or
popular ones. Hit rate: the share of real users in whose list the target is, before and after.
Everything is seeded.
"""

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from benchmarks.machine import write
from numpy.typing import ArrayLike, NDArray

import nearline as nl
from nearline.config import Config
from nearline.data.public import load_dataset

Rows = dict[str, list[str]]

K, FILLERS, TARGETS, SHARES = 10, 30, 4, (0.01, 0.03, 0.05)
PEOPLE = 200
# No search for settings, which would hide the effect of the data.
CONFIG = Config(settings={"search": {"evaluations": 0}})


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


def membership(rows: Rows, seed: int = 0) -> list[dict[str, Any]]:
    """Measure how well an attacker tells who is in the data."""
    rng = np.random.default_rng(seed)
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


def fakes(rows: Rows, target: str, share: float, kind: str, rng: np.random.Generator) -> Rows:
    """Return fake users with a target and fillers: random films, or popular ones."""
    items, counts = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    chances = counts / counts.sum() if kind == "popular" else np.full(len(items), 1 / len(items))
    made: Rows = {}
    for number in range(round(share * len(rows))):
        chosen: NDArray[Any] = rng.choice(items, FILLERS, replace=False, p=chances)
        mixed = [*(one for one in chosen.tolist() if one != target), target]
        made[f"fake{number}"] = rng.permutation(mixed).tolist()
    return made


def hit_rate(rec: nl.Recommender, users: Sequence[str], target: str) -> float:
    """Return the share of users in whose list the target is."""
    lists = rec.recommend_many(list(users), k=K)
    items, owners = np.asarray(lists["item_id"]), np.asarray(lists["user_id"])
    return len(set(owners[items == target].tolist())) / len(users)


def shilling(rows: Rows, seed: int = 0) -> list[dict[str, Any]]:
    """Measure how far fake users push a film."""
    rng = np.random.default_rng(seed)
    users = sorted(rows)
    items, counts = np.unique(np.concatenate(list(rows.values())), return_counts=True)
    targets = rng.permutation(items[(counts >= 60) & (counts <= 120)])[:TARGETS].tolist()
    with fitted(rows) as rec:
        before = {target: hit_rate(rec, users, target) for target in targets}
    found = []
    for kind in ("random", "popular"):
        for share in SHARES:
            after = []
            for target in targets:
                with fitted(rows | fakes(rows, target, share, kind, rng)) as rec:
                    after.append(hit_rate(rec, users, target))
            found.append(
                {
                    "attack": f"shilling, {kind} fillers",
                    "share": share,
                    "before": float(np.mean(list(before.values()))),
                    "after": float(np.mean(after)),
                }
            )
            print(found[-1], flush=True)
    return found


def main() -> None:
    """Measure the attacks and print the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("parts", nargs="*", choices=["membership", "shilling", []])
    parser.add_argument("--write", action="store_true", help="write results/attacks.json")
    given = parser.parse_args()
    rows, figures = histories(), []
    for part, measure in (("membership", membership), ("shilling", shilling)):
        if not given.parts or part in given.parts:
            figures += measure(rows)
    if given.write:
        write("attacks", {"k": K, "fillers": FILLERS, "targets": TARGETS}, figures)


if __name__ == "__main__":
    main()
