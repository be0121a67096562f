"""The search index of a store: made by the first search, then changed with every commit."""

from collections.abc import Iterator, Sequence
from threading import Lock

from nearline.deployment.active import ActiveDeployment
from nearline.encoders import TextVectors
from nearline.encoders.search_index import SearchIndex
from nearline.schema import Item
from nearline.schema.histories import Histories
from nearline.state import Added, State, UsersChanged

# How much an occurrence of a word in the title counts.
TITLE = 3
# Longer texts in attributes are not searched: they are addresses and codes.
LONGEST_ATTRIBUTE = 100


class LiveSearch:
    """The search index of the deployment in use.

    A store that is never searched has none.
    """

    def __init__(self, current: ActiveDeployment) -> None:
        self._current = current
        self._making = Lock()
        self._follower: SearchFollower | None = None

    @property
    def ready(self) -> bool:
        """Whether the index of the current state is complete."""
        follower = self._follower
        return follower is not None and follower.state is self._current.deployment.state

    def index(self) -> SearchIndex:
        """Return the index; the first call reads the whole catalogue, about 0.1 ms per item."""
        follower = self._follower
        if follower is None or follower.state is not self._current.deployment.state:
            with self._making:
                follower = self._follower
                state = self._current.open().state
                if follower is None or follower.state is not state:
                    if follower is not None:
                        follower.leave()
                    self._follower = follower = SearchFollower(state, self._current.texts)
        return follower.index


class SearchFollower:
    """A follower of a state that updates a search index with every change of an item."""

    def __init__(self, state: State, texts: TextVectors | None) -> None:
        self.state = state
        self._texts = texts
        self._lock = Lock()
        # Changes that arrive while the index is made, by item; None from then on.
        self._waiting: dict[int, Item | None] | None = {}
        with state.lock:
            entries = state.catalogue.entries()
            state.followers = (*state.followers, self)
        self.index = SearchIndex([(index, list(searched_texts(item))) for index, item in entries])
        if texts is not None:
            for index, item in entries:
                self.index.put_vector(index, texts.known(item.content))
        while waiting := self._take():
            self._put(list(waiting.items()))

    def put_items(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        """Update the texts and vectors of items; None removes them."""
        with self._lock:
            if self._waiting is not None:
                self._waiting.update(changed)
                return
        self._put(changed)

    def add_events(self, added: Added) -> None:
        """Do nothing: events do not change texts."""

    def change_users(self, changed: UsersChanged) -> None:
        """Do nothing: attributes of users do not change texts."""

    def forget(self, history: Histories) -> None:
        """Do nothing: erasures of users do not change texts."""

    def leave(self) -> None:
        """Stop following the state."""
        with self.state.lock:
            others = tuple(one for one in self.state.followers if one is not self)
            self.state.followers = others

    def _take(self) -> dict[int, Item | None]:
        with self._lock:
            waiting = self._waiting or {}
            self._waiting = {} if waiting else None
        return waiting

    def _put(self, changed: Sequence[tuple[int, Item | None]]) -> None:
        for index, item in changed:
            self.index.put(index, () if item is None else searched_texts(item))
            if self._texts is not None:
                known = None if item is None else self._texts.known(item.content)
                self.index.put_vector(index, known)


def searched_texts(item: Item) -> Iterator[tuple[str, int]]:
    """Yield the texts by which an item is found, and how much an occurrence in each counts."""
    yield item.title, TITLE
    yield item.text, 1
    yield " ".join(item.categories), 1
    for value in item.attributes.values():
        for text in value if isinstance(value, list) else [value]:
            if isinstance(text, str) and len(text) <= LONGEST_ATTRIBUTE and "://" not in text:
                yield text, 1
