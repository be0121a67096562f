"""Learning policies that a replay compares: when the model, histories and counters are updated.

All policies read the same log. Policies that update histories after each event share one state,
since it is equal for all of them. The nightly policy has its own state, as of the last retraining.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

from nearline.deployment.catch_up import catch_up
from nearline.deployment.online_learner import OnlineLearner
from nearline.ingest import follow
from nearline.log import MEMORY, open_log
from nearline.models.base import Model
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.recommend.pipeline import View, answer
from nearline.replay.stream import Stream
from nearline.schema import RecommendationRequest
from nearline.state import State, StateConfig
from nearline.state.config import MAX_HISTORY_LENGTH

# Number of events that are appended at a time; limits the memory of a long warm-up.
BLOCK = 10_000


class ReplayPolicy(NamedTuple):
    """Learning policy: which parts of a recommender are updated, and when.

    Attributes
    ----------
    name : str
        Name in the results.
    retrained : bool
        Whether the model is retrained on all past events at each midnight.
    follows : bool
        Whether histories, trending counts and new items are updated after each event.
    learns : bool
        Whether the model is updated after each event (online learning).
    """

    name: str
    retrained: bool
    follows: bool
    learns: bool


ONLINE = "online"
POLICIES = (
    ReplayPolicy(ONLINE, retrained=True, follows=True, learns=True),
    ReplayPolicy("fold-in", retrained=True, follows=True, learns=False),
    ReplayPolicy("nightly", retrained=True, follows=False, learns=False),
    ReplayPolicy("online, trained once", retrained=False, follows=True, learns=True),
    ReplayPolicy("fold-in, trained once", retrained=False, follows=True, learns=False),
)


class Engines:
    """A log, and a model and state for each policy, at the current point of a stream.

    It is a context manager that closes the log.

    Parameters
    ----------
    stream : Stream
        Events to replay.
    settings : ItemGraphConfig
        Settings of every model that is trained.
    policies : sequence of ReplayPolicy
        Policies to compare.
    """

    def __init__(
        self, stream: Stream, settings: ItemGraphConfig, policies: Sequence[ReplayPolicy]
    ) -> None:
        self._stream, self._settings, self._arms = stream, settings, policies
        self._log = open_log(MEMORY)
        # Full histories, so that every item that a user has seen is masked.
        whole = StateConfig(history_length=MAX_HISTORY_LENGTH)
        self._state, self._last_night = State(whole), State(whole)
        follow(self._log, self._state)
        self._models: dict[str, Model] = {}
        self._lives: dict[str, OnlineLearner] = {}
        # Items of each user's events since the last retraining.
        self._today: dict[str, list[str]] = defaultdict(list)
        self._learned = 0
        self._trained_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def learn(self, stop: int) -> None:
        """Append the events before position `stop` of the stream to the log.

        When the method returns, all policies have processed them.
        """
        for first in range(self._learned, stop, BLOCK):
            block = range(first, min(first + BLOCK, stop))
            self._log.append(self._stream.records(block.start, block.stop)).result()
            for event in self._stream.events[block.start : block.stop]:
                self._today[event.user_id].append(event.item_id)
        self._learned = stop

    def retrain(self, now: float) -> None:
        """Train a model on all events so far and make it the active model of the policies.

        The first call does this for all policies, later calls only for those with `retrained`. The
        state of the nightly policy is updated with the same events.

        Parameters
        ----------
        now : float
            Time of the retraining in Unix seconds. The nightly policy computes its lists as of this
            time until the next retraining.
        """
        data = self._stream.dataset(self._learned).without_superseded()
        trained = ItemGraph(self._settings).fit(data)
        arrays = trained.arrays()
        for policy in self._arms:
            if policy.retrained or policy.name not in self._models:
                self._serve(policy, ItemGraph.restore(self._settings, arrays))
        new = list(self._log.read(self._last_night.offset, self._log.end))
        if new:
            self._last_night.apply(new)
        self._today.clear()
        self._trained_at = now

    def known_last_night(self, user_id: str) -> bool:
        """Return whether a user had an event before the last retraining."""
        return user_id in self._last_night.users

    def since_last_night(self, user_id: str) -> tuple[str, ...]:
        """Return the items of a user's events since the last retraining, oldest first."""
        return tuple(self._today.get(user_id, ()))

    def lists(self, user_id: str, k: int, now: float) -> list[list[str]]:
        """Return the IDs of the `k` best items for a user, one list per policy.

        `now` is the current time in Unix seconds.
        """
        return [self._list(policy, user_id, k, now) for policy in self._arms]

    def _list(self, policy: ReplayPolicy, user_id: str, k: int, now: float) -> list[str]:
        if policy.follows:
            view = View(self._state, self._models[policy.name], policy.name, now)
            request = RecommendationRequest(
                user_id=user_id, k=k, exclude_seen=not self._stream.repeats
            )
        else:
            # Last night's list, without items that the user has interacted with since then.
            since = () if self._stream.repeats else self.since_last_night(user_id)
            view = View(self._last_night, self._models[policy.name], policy.name, self._trained_at)
            request = RecommendationRequest(
                user_id=user_id, k=k, exclude=since, exclude_seen=not self._stream.repeats
            )
        return [line.item_id for line in answer(request, view).items]

    def _serve(self, policy: ReplayPolicy, model: ItemGraph) -> None:
        self._models[policy.name] = model
        if not policy.follows:
            return
        if policy.name in self._lives:
            self._lives[policy.name].leave()
        self._lives[policy.name] = catch_up(
            model,
            self._log,
            self._state,
            offset=self._log.end,
            erasures=self._log.erasures,
            online=policy.learns,
        )
