"""Time of a search in a large catalogue, through the engine and over HTTP.

    python -m benchmarks.search [--items 100000] [--searches 1000]

Titles and texts are drawn from a vocabulary with Zipf's law, so that some words are in most items.
Searches are one to three words of it, the last one cut in half of the cases. While they run, items
are changed, one for every ten searches. Printed are the time to make the index, the median and the
99th percentile of a search, and the time of a change.
"""

import argparse
import io
import json
import time
from typing import Any

import numpy as np
from benchmarks import machine
from litestar.testing import TestClient

from nearline.engine import Recommender
from nearline.schema import Item
from nearline.server import create_app

SYLLABLES = (
    *("ka", "to", "mi", "ren", "sol", "ba", "lu", "tea", "cof", "fee"),
    *("pot", "sha", "dor", "wen", "li", "ga", "un", "er", "ing", "s"),
)
VOCABULARY, TITLE_WORDS, TEXT_WORDS = 60_000, 5, 20


class Texts:
    """Texts of words that follow Zipf's law."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)
        lengths = self._random.integers(1, 5, VOCABULARY)
        self._words = ["".join(self._random.choice(SYLLABLES, n)) for n in lengths]
        shares = 1.0 / np.arange(1, VOCABULARY + 1)
        self._shares = np.cumsum(shares / shares.sum())

    def draw(self, n: int) -> str:
        """Return a text of `n` words."""
        drawn = np.searchsorted(self._shares, self._random.random(n))
        return " ".join(self._words[min(word, VOCABULARY - 1)] for word in drawn)

    def asked(self) -> str:
        """Return a search text."""
        text = self.draw(int(self._random.integers(1, 4)))
        half = len(text.split()[-1]) // 2
        return text[: len(text) - half] if self._random.random() < 0.5 else text

    def item(self, n: int) -> Item:
        """Return an entry."""
        title, text = self.draw(TITLE_WORDS), self.draw(TEXT_WORDS)
        return Item(item_id=f"i{n}", timestamp=1.7e9, title=title, text=text)


def main() -> None:
    """Run the benchmark and print its result as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--searches", type=int, default=1_000)
    given = parser.parse_args()
    texts, rec = Texts(1), Recommender()
    for first in range(0, given.items, 10_000):
        last = min(first + 10_000, given.items)
        rec.put_items([texts.item(n) for n in range(first, last)]).result()
    begin = time.perf_counter()
    rec.search("warm")
    result: dict[str, Any] = {"items": given.items, "index_seconds": time.perf_counter() - begin}
    result["engine_ms"], result["put_ms"] = timed(rec, texts, given.searches)
    with TestClient(create_app(lambda: rec, log_stream=io.StringIO())) as client:
        while client.get("/readyz").status_code != 200:
            time.sleep(0.01)
        durations = []
        for _ in range(given.searches):
            answer = client.get("/v1/search", params={"q": texts.asked()})
            durations.append(float(answer.headers["server-timing"].partition("dur=")[2]))
    result["http_ms"] = percentiles(durations)
    print(json.dumps({"machine": machine.describe(), **result}, indent=2))


def timed(rec: Recommender, texts: Texts, searches: int) -> tuple[dict[str, float], Any]:
    """Return the percentiles of searches and of changes between them, in milliseconds."""
    durations, puts = [], []
    for n in range(searches):
        text = texts.asked()
        begin = time.perf_counter()
        rec.search(text)
        durations.append(1e3 * (time.perf_counter() - begin))
        if n % 10 == 0:
            entry = texts.item(n)
            begin = time.perf_counter()
            rec.put_items([entry]).result()
            puts.append(1e3 * (time.perf_counter() - begin))
    return percentiles(durations), percentiles(puts)


def percentiles(durations: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile."""
    p50, p99 = np.percentile(durations, [50, 99])
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3)}


if __name__ == "__main__":
    main()
