"""Access to the internals of a recommender, for tests and benchmarks only."""

from nearline.deployment.store import Deployment
from nearline.engine import Recommender


def inspect(recommender: Recommender) -> Deployment:
    """Return the log, state, model and snapshot with which a recommender answers at present.

    They are replaced by the next promotion or `fit`; call this function again afterwards.
    """
    return recommender._current.deployment
