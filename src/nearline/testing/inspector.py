"""Access to the internals of a recommender, for tests and benchmarks only."""

from nearline.deployment.store import Deployment
from nearline.engine import Recommender


def inspect(recommender: Recommender) -> Deployment:
    """Return the log, state, model and snapshot that serve now.

    A later promotion, or `fit`, replaces them: call this again afterwards.
    """
    return recommender._current.deployment
