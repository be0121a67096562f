"""A small shop that can be worked out by hand."""

import pyarrow as pa

import nearline as nl

NOW = 1_000_000.0
SHOES = ["red shoes", "blue shoes", "green shoes", "black shoes", "white shoes"]
TEAS = ["green tea leaves", "black tea leaves", "mint tea leaves", "white tea leaves"]


def clock() -> float:
    return NOW


def shop() -> pa.Table:
    """Six people buy shoes 0-4 in order, six buy teas 0-3 in order; times rise."""
    rows = [
        (f"{kind}{person}", f"{kind}-{step}", 1000.0 * person + step)
        for kind, count in (("shoe", 5), ("tea", 4))
        for person in range(6)
        for step in range(count)
    ]
    users, items, times = zip(*rows, strict=True)
    return pa.table({"user_id": users, "item_id": items, "timestamp": times})


def catalogue() -> pa.Table:
    return pa.table(
        {
            "item_id": [f"shoe-{n}" for n in range(5)] + [f"tea-{n}" for n in range(4)],
            "text": SHOES + TEAS,
            "categories": [["shoes"]] * 5 + [["teas"]] * 4,
        }
    )


def ids(lines: list[nl.Recommendation]) -> list[str]:
    return [line.item_id for line in lines]
