"""Registry of benchmark scenarios by name."""

from collections.abc import Callable, Mapping

from nearline.bench import (
    batch,
    fresh_read,
    freshness,
    hot_read,
    ingest,
    mixed,
    new_item,
    promotion,
    scale,
    start,
    training_load,
)
from nearline.bench.plan import Plan, ScenarioReport

SCENARIOS: Mapping[str, Callable[[Plan], ScenarioReport]] = {
    "hot-read": hot_read.run,
    "fresh-read": fresh_read.run,
    "mixed": mixed.run,
    "ingest": ingest.run,
    "freshness": freshness.run,
    "new-item": new_item.run,
    "batch": batch.run,
    "start": start.run,
    "scale": scale.run,
    "promotion": promotion.run,
    "training-load": training_load.run,
}
