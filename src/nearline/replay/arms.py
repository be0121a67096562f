"""The systems that are replayed side by side: the same engine, allowed to learn more or less.

All read one log. Those that follow events share one state, since histories and counters are the
same to them; the nightly batch has a state of its own, which stands at the last retraining.
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

from nearline.deployment.catch_up import join
from nearline.deployment.online_learner import Live
from nearline.ingest import follow
from nearline.log import SQLiteLog
from nearline.models.base import Model
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.model import ItemGraph
from nearline.recommend.pipeline import View, answer
from nearline.replay.stream import Stream
from nearline.schema import RecommendationRequest
from nearline.state import State, StateConfig
from nearline.state.config import MAX_HISTORY_LENGTH

# Records of one append: bounds the memory of a long warm-up.
BLOCK = 10_000


class Arm(NamedTuple):
    """What one system may learn, and when.

    Attributes
    ----------
    retrained : bool
        Whether its model is trained anew on everything at each midnight.
    follows : bool
        Whether histories, trending counts and new items follow each event at once.
    learns : bool
        Whether each event changes the model at once.
    """

    name: str
    retrained: bool
    follows: bool
    learns: bool


ONLINE = "online"
ARMS = (
    Arm(ONLINE, retrained=True, follows=True, learns=True),
    Arm("fold-in", retrained=True, follows=True, learns=False),
    Arm("nightly", retrained=True, follows=False, learns=False),
    Arm("online, trained once", retrained=False, follows=True, learns=True),
    Arm("fold-in, trained once", retrained=False, follows=True, learns=False),
)


class Engines:
    """One log, and what each arm has made of it so far.

    Parameters
    ----------
    stream : Stream
    settings : ItemGraphConfig
        Of every model that is trained.
    arms : sequence of Arm
    """

    def __init__(self, stream: Stream, settings: ItemGraphConfig, arms: Sequence[Arm]) -> None:
        self._stream, self._settings, self._arms = stream, settings, arms
        self._log = SQLiteLog(None)
        # Histories are kept whole, so that every item a user has seen is masked.
        whole = StateConfig(history_length=MAX_HISTORY_LENGTH)
        self._state, self._last_night = State(whole), State(whole)
        follow(self._log, self._state)
        self._models: dict[str, Model] = {}
        self._lives: dict[str, Live] = {}
        # What users did since the last retraining.
        self._today: dict[str, list[str]] = defaultdict(list)
        self._learned = 0
        self._trained_at = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._log.close()

    def learn(self, stop: int) -> None:
        """Take the events up to `stop` in; when this returns every arm has heard of them."""
        for first in range(self._learned, stop, BLOCK):
            block = range(first, min(first + BLOCK, stop))
            self._log.append(self._stream.records(block.start, block.stop)).result()
            for event in self._stream.events[block.start : block.stop]:
                self._today[event.user_id].append(event.item_id)
        self._learned = stop

    def retrain(self, now: float) -> None:
        """Train on all that was taken in, and give the model to the arms that are retrained.

        The first call trains for all arms.
        """
        data = self._stream.dataset(self._learned)
        trained = ItemGraph(self._settings).fit(data)
        arrays = trained.arrays()
        for arm in self._arms:
            if arm.retrained or arm.name not in self._models:
                self._serve(arm, ItemGraph.restore(self._settings, arrays))
        new = list(self._log.read(self._last_night.offset, self._log.end))
        if new:
            self._last_night.apply(new)
        self._today.clear()
        self._trained_at = now

    def known_last_night(self, user_id: str) -> bool:
        """Whether a user had done anything before the last retraining."""
        return user_id in self._last_night.users

    def since_last_night(self, user_id: str) -> tuple[str, ...]:
        """Items of a user's events since the last retraining."""
        return tuple(self._today.get(user_id, ()))

    def lists(self, user_id: str, k: int, now: float) -> list[list[str]]:
        """Top `k` of every arm for a user at a moment, in the order of the arms."""
        return [self._list(arm, user_id, k, now) for arm in self._arms]

    def _list(self, arm: Arm, user_id: str, k: int, now: float) -> list[str]:
        if arm.follows:
            view = View(self._state, self._models[arm.name], arm.name, now)
            request = RecommendationRequest(user_id=user_id, k=k)
        else:
            # The list of last night, less what the user has found without it since.
            since = self.since_last_night(user_id)
            view = View(self._last_night, self._models[arm.name], arm.name, self._trained_at)
            request = RecommendationRequest(user_id=user_id, k=k, exclude=since)
        return [line.item_id for line in answer(request, view).items]

    def _serve(self, arm: Arm, model: ItemGraph) -> None:
        self._models[arm.name] = model
        if not arm.follows:
            return
        if arm.name in self._lives:
            self._lives[arm.name].leave()
        self._lives[arm.name] = join(
            model,
            self._log,
            self._state,
            offset=self._log.end,
            erasures=self._log.erasures,
            online=arm.learns,
        )
