"""Measure on streams whether weights that follow the events (`adapt`) help, and do no harm.

`drift` is a synthetic stream in which what users follow changes: companions of the last item, their
taste, or the topic of the last item's text. The factors are compared with the weights that training
found on the first half, and with the best fixed factors in hindsight. The other streams are public
data sets, whose settings are those of `benchmarks.replay`; NDCG@10 with and without `adapt` is
compared. The factors are learned as in a server: at most four samples a second of the stream, once
a minute. `ingest` compares events per CPU second. Rates and bounds were chosen with other seeds of
simulated events.

    python -m benchmarks.adapting [drift movielens-100k online-retail amazon-toys ingest]
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from benchmarks.machine import RESULTS, spread, write
from numpy.typing import NDArray

from nearline import Recommender
from nearline.config import Config
from nearline.data import clean, load_dataset, read_interactions
from nearline.deployment.catch_up import catch_up
from nearline.engine.adaptation import LEAST_CHANGE, largest_change
from nearline.engine.sampled_events import SampledEvents
from nearline.ingest import follow
from nearline.log import MEMORY, open_log
from nearline.models.hedge import LEVELS, learned
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.recommend.pipeline import View, answer, known_history
from nearline.replay import Stream, make_stream
from nearline.replay import spread as spread_times
from nearline.schema import Event, Item, RecommendationRequest
from nearline.schema.segments import factors_by_hours, hours_of
from nearline.state import State, StateConfig
from nearline.state.config import MAX_HISTORY_LENGTH

STREAMS = ("movielens-100k", "online-retail", "amazon-toys")
K, MINUTE, SPREAD_DAYS, RESAMPLES = 10, 60.0, 100.0, 2_000
N_ITEMS, N_USERS, N_EVENTS, N_TOPICS, N_TASTES = 400, 300, 16_000, 20, 10
# Probabilities of companion, taste and topic in equal parts of the stream: the first half is still.
REGIMES = ((0.7, 0.1, 0.1),) * 4 + ((0.05, 0.8, 0.05), (0.05, 0.8, 0.05)) + ((0.05, 0.05, 0.8),) * 2
BODY: dict[str, Any] = {"factors": {}, "experts": {}, "segments": {}}
Doubles = NDArray[np.float64]


class Replayed:
    """A stream that is learned event by event, and the factors that follow it."""

    def __init__(self, stream: Stream, start: int, settings: ItemGraphConfig) -> None:
        self.stream, self.now, self.body, self.kept = stream, 0.0, BODY, BODY
        self.log = open_log(MEMORY)
        self.state = State(StateConfig(history_length=MAX_HISTORY_LENGTH))
        follow(self.log, self.state)
        for first in range(0, start, 10_000):
            self.log.append(stream.records(first, min(first + 10_000, start))).result()
        trained = ItemGraph(settings).fit(stream.dataset(start).without_superseded())
        self.model = ItemGraph.restore(settings, trained.arrays())
        end, erasures = self.log.end, self.log.erasures
        catch_up(self.model, self.log, self.state, offset=end, erasures=erasures, online=True)
        self.sampled = SampledEvents(self.state, lambda: self.model, lambda: self.now)
        self.at, self._minute = start, 0.0

    def learn(self, stop: int) -> None:
        """Learn the events before position `stop`, and the factors once a minute."""
        for at in range(self.at, stop):
            self.now = self.stream.events[at].timestamp or 0.0
            if self.now >= self._minute + MINUTE:
                self._minute = self.now
                self._adapt()
            self.log.append(self.stream.records(at, at + 1)).result()
        self.at = stop

    @property
    def factors(self) -> Any:
        """Factors in use now."""
        segments = {name: one["factors"] for name, one in self.body["segments"].items()}
        return factors_by_hours(self.body["factors"], segments)[hours_of(self.now)]

    def _adapt(self) -> None:
        samples = self.sampled.take()
        if samples:
            self.kept = learned(self.kept, tuple(self.model.trained_weights()), samples)
            if largest_change(self.body, self.kept) >= LEAST_CHANGE:
                self.body = self.kept
                self.model.set_factors(self.factors)

    def gain(self, user: str, item: str, factors: Any) -> float:
        """Return the discounted gain of an item in the list of a user, with some factors."""
        self.model.set_factors(factors)
        view = View(self.state, self.model, "model", self.now)
        request = RecommendationRequest(user_id=user, k=K, exclude_seen=not self.stream.repeats)
        ids = [line.item_id for line in answer(request, view).items]
        return 1.0 / float(np.log2(ids.index(item) + 2.0)) if item in ids else 0.0

    def parts(self, user: str, item: str) -> Doubles | None:
        """Return what relations say about an item (first row) and all others that they know."""
        history, index = known_history(user, self.state), self.state.items.get(item)
        if not len(history.items) or index is None:
            return None
        scored = self.model.score_sparse(history).items
        others = scored[(scored != index) & ~np.isin(scored, history.items)]
        among = np.concatenate(([index], others)).astype(np.int32)
        return self.model.relation_parts(history, among)


def gains_of(parts: Doubles, factors: Doubles) -> Doubles:
    """Return the gain of the first item with each row of factors: 0 if it is not in the top K."""
    scores = parts @ factors.T
    rank = 1.0 + (scores[1:] > scores[0]).sum(axis=0) + (scores[1:] == scores[0]).sum(axis=0) / 2.0
    return np.where((rank <= K) & (scores[0] > 0), 1.0 / np.log2(1.0 + rank), 0.0)


def interval(values: Doubles, users: NDArray[Any], rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of a mean; users are drawn with all their events."""
    _, codes = np.unique(users, return_inverse=True)
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    drawn = rng.integers(len(sums), size=(RESAMPLES, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def drifting(seed: int) -> Stream:
    """Return a stream in which what users follow changes; see `REGIMES`."""
    rng = np.random.default_rng(seed)
    companion, topic = rng.permutation(N_ITEMS), rng.integers(N_TOPICS, size=N_ITEMS)
    taste, own = rng.integers(N_TASTES, size=N_ITEMS), rng.integers(N_TASTES, size=N_USERS)
    last = rng.integers(N_ITEMS, size=N_USERS)
    users = rng.integers(N_USERS, size=N_EVENTS)
    items = np.empty(N_EVENTS, dtype=np.int64)
    for at, user in enumerate(users):
        chances = np.cumsum(REGIMES[at * len(REGIMES) // N_EVENTS])
        how = int(np.searchsorted(chances, rng.random()))
        if how == 0:
            items[at] = companion[last[user]]
        elif how == 1:
            items[at] = rng.choice(np.flatnonzero(taste == own[user]))
        elif how == 2:
            items[at] = rng.choice(np.flatnonzero(topic == topic[last[user]]))
        else:
            items[at] = rng.integers(N_ITEMS)
        last[user] = items[at]
    table = pa.table(
        {
            "user_id": [f"u{user}" for user in users],
            "item_id": [f"i{item}" for item in items],
            "timestamp": 1.7e9 + 20.0 * np.arange(N_EVENTS),
        }
    )
    words = [[f"w{topic}x{n}" for n in range(6)] for topic in range(N_TOPICS)]
    entries = [
        Item(item_id=f"i{item}", timestamp=0.0, text=" ".join(words[topic[item]]))
        for item in range(N_ITEMS)
    ]
    cleaned, _ = clean(read_interactions(table), now=time.time())
    return make_stream(cleaned, entries, Config().state.weight, repeats=True)


def drift(sample: int, seed: int) -> Iterator[dict[str, Any]]:
    """Compare the factors on the drifting stream with fixed ones."""
    stream = drifting(1_000 + seed)
    start = len(stream) // 2
    with_text = ItemGraphConfig()
    run, rng = Replayed(stream, start, with_text), np.random.default_rng(seed)
    names = tuple(run.model.trained_weights())
    free = [at for at, weight in enumerate(run.model.trained_weights().values()) if weight > 0]
    grid = np.ones((len(LEVELS) ** len(free), len(names)))
    grid[:, free] = list(itertools.product(LEVELS, repeat=len(free)))
    rows, users = [], []
    for at in np.sort(rng.permutation(np.arange(start, len(stream)))[:sample]).tolist():
        run.learn(at)
        event = stream.events[at]
        parts = run.parts(event.user_id, event.item_id)
        if parts is None:
            continue
        own = run.model.factors_for(known_history(event.user_id, run.state))
        mine = np.array([[own.get(name, 1.0) for name in names]])
        rows.append(gains_of(parts, np.concatenate((mine, grid))))
        users.append(event.user_id)
    gains = np.array(rows)
    adapt, plain = gains[:, 0], gains[:, 1 + int(np.flatnonzero((grid == 1).all(axis=1))[0])]
    best = gains[:, 1:].mean(axis=0).max()
    low, high = interval(adapt - plain, np.array(users), rng)
    yield {
        "data": "drift",
        "n": len(gains),
        "adapt": float(adapt.mean()),
        "trained": float(plain.mean()),
        "best fixed": float(best),
        "factors": run.body["factors"],
        "figure": float(adapt.mean() / best),
        "difference": [float((adapt - plain).mean()), low, high],
        "reached": bool(adapt.mean() >= 0.97 * best and low > 0),
    }


def public(name: str, sample: int, seed: int) -> Iterator[dict[str, Any]]:
    """NDCG@10 of the later half of a public stream, with and without `adapt`."""
    data, rng = load_dataset(name), np.random.default_rng(seed)
    table, _ = clean(data.interactions, now=time.time())
    if name.startswith("amazon-"):
        table = spread_times(table, SPREAD_DAYS, np.random.default_rng(seed))
    stream = make_stream(table, data.items, Config().state.weight)
    start = len(stream) // 2
    known = json.loads((RESULTS / "replay.json").read_text())["rows"]
    settings = next(row["model_settings"] for row in known if row["data"] == name)
    run = Replayed(stream, start, msgspec.convert(settings, ItemGraphConfig))
    candidates = start + np.flatnonzero(stream.new[start:])
    rows, users = [], []
    for at in np.sort(rng.permutation(candidates)[:sample]).tolist():
        run.learn(at)
        event, factors = stream.events[at], run.factors
        without = run.gain(event.user_id, event.item_id, {})
        pair = [without, run.gain(event.user_id, event.item_id, factors)]
        rows.append(pair)
        users.append(event.user_id)
    plain, adapt = np.array(rows).T
    low, high = interval(adapt - plain, np.array(users), rng)
    yield {
        "data": name,
        "n": len(rows),
        "adapt": float(adapt.mean()),
        "trained": float(plain.mean()),
        "factors": run.body["factors"],
        "figure": float(adapt.mean() / plain.mean()),
        "difference": [float((adapt - plain).mean()), low, high],
        "reached": bool(adapt.mean() >= 0.99 * plain.mean()),
    }


def ingest(_: int, seed: int) -> Iterator[dict[str, Any]]:
    """Events per CPU second with and without `adapt`, in turns; a list has 100 events.

    The first pair warms up and is not counted. The order of a pair alternates, so that changes in
    the speed of the machine do not favour one side.
    """
    stream, half, ratios = drifting(seed), N_EVENTS // 2, []
    for pair in range(12):
        seconds = {}
        for adapt in (False, True) if pair % 2 else (True, False):
            with TemporaryDirectory() as folder:
                rec = Recommender(Path(folder) / "shop", config=Config(adapt=adapt))
                rec.fit(stream.table.slice(0, half))
                events: list[Event] = stream.events[half:]
                began = time.process_time()
                for first in range(0, len(events), 100):
                    rec.append_events(events[first : first + 100]).result()
                seconds[adapt] = time.process_time() - began
                rec.close()
        if pair:
            ratios.append(seconds[False] / seconds[True])
    found = spread(ratios)
    yield {
        "data": "ingest",
        "figure": found["median"],
        "runs": ratios,
        "reached": found["median"] >= 0.95,
    }


def main() -> None:
    """Run the given parts and write the result."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=", ".join(("drift", *STREAMS, "ingest")))
    parser.add_argument("--sample", type=int, default=10_000, help="events that are evaluated")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    path = RESULTS / "adapting.json"
    rows = json.loads(path.read_text())["rows"] if path.exists() else []
    for name in given.names or ("drift", *STREAMS, "ingest"):
        own = {"drift": drift, "ingest": ingest}.get(name)
        made = (
            public(name, given.sample, given.seed) if own is None else own(given.sample, given.seed)
        )
        for row in made:
            rows = [old for old in rows if old["data"] != name] + [row]
            print(json.dumps(row), flush=True)
        write("adapting", {"seed": given.seed, "sample": given.sample}, rows)


if __name__ == "__main__":
    main()
