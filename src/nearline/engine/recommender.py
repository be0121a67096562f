"""The class `Recommender`, composed of its groups of methods."""

from nearline.engine.adaptation import AdaptationMethods
from nearline.engine.answers import ListMethods
from nearline.engine.around import AroundMethods
from nearline.engine.catalogue import ItemMethods
from nearline.engine.definitions import DefinitionMethods
from nearline.engine.events import EventMethods
from nearline.engine.experiments import ExperimentMethods
from nearline.engine.policies import PolicyMethods
from nearline.engine.rights import RightsMethods
from nearline.engine.statistics import StatisticsMethods
from nearline.engine.streams import StreamMethods
from nearline.engine.training import TrainingMethods
from nearline.engine.users import UserMethods
from nearline.engine.worker_roles import WorkerRoles


class Recommender(
    TrainingMethods,
    ListMethods,
    EventMethods,
    StreamMethods,
    AroundMethods,
    ItemMethods,
    UserMethods,
    RightsMethods,
    StatisticsMethods,
    DefinitionMethods,
    ExperimentMethods,
    PolicyMethods,
    AdaptationMethods,
    WorkerRoles,
):
    """A real-time recommender: trained on a table, then updated by every event.

    Parameters
    ----------
    path : str, Path or None
        Folder of the store, created if it is missing; None keeps everything in memory.
    preset : str
        "fast": the item graph on IDs and text. "best": a blend of the item graph and a transformer,
        reranked by gradient-boosted trees if that is better; training needs the extra `neural`.
    encoder : str or None
        Language model whose text vectors become a relation of the item graph: `Config.encoder`.
    config : Config or None
        Settings; None means the defaults.
    clock : callable
        Returns the time in Unix seconds.

    Attributes
    ----------
    jobs, versions, language : Jobs, Versions, Language
        Background jobs; snapshots and their promotion; the language model, if one is configured.

    Raises
    ------
    StoreInUse, Damaged
        The store is already open, here or in another process; its log cannot be read.
    MissingExtra, DataNotFound
        The encoder is missing; a chat model is configured, but httpx is not installed.

    Examples
    --------
    >>> import pyarrow as pa
    >>> import nearline as nl
    >>> table = pa.table({"user_id": ["a", "a", "b", "b", "c"], "item_id": list("xyxyx")})
    >>> rec = nl.Recommender().fit(table)
    >>> [line.item_id for line in rec.recommend("c", k=1)]
    ['y']
    """
