"""Methods of the recommender around items: search, popular items, audiences, and listings."""

from collections.abc import Iterator
from typing import Any

from nearline.engine.base import Engine
from nearline.recommend import listing
from nearline.recommend.audience import audience
from nearline.recommend.counted import counted
from nearline.recommend.searching import search
from nearline.recommend.trend import trend
from nearline.schema import ScoredList, make_options
from nearline.schema.answers import (
    ItemPage,
    ItemTrend,
    ListedItem,
    ListedUser,
    ScoredUser,
    TitledList,
    UserPage,
)
from nearline.schema.questions import (
    AudienceRequest,
    CountedRequest,
    ItemsRequest,
    SearchRequest,
    UsersRequest,
)
from nearline.schema.rules import MAX_K

# Items among which a search takes a few milliseconds.
FAST_ITEMS = 200_000


class AroundMethods(Engine):
    """Search, count, and list items and users."""

    def search(self, text: str, k: int = 10, **options: Any) -> ScoredList:
        """Return the items that match a text, best first.

        Items are found by words, by the beginning of the last word and, if an encoder is
        configured, by meaning. The first search reads the whole catalogue.

        `options`: other fields of `nearline.schema.questions.SearchRequest`, such as `filter`.
        """
        return self.found(make_options(SearchRequest, q=text, k=k, **options))

    @property
    def searches_fast(self) -> bool:
        """Whether a search takes a few milliseconds at most: the index exists, and no encoder."""
        return self._current.texts is None and self._search.ready and self.n_items <= FAST_ITEMS

    def found(self, request: SearchRequest) -> ScoredList:
        """Return the items that match the text of a request, best first."""
        texts = self._current.texts
        index = self._search.index()
        lines = search(request, self._view(), index, None if texts is None else texts.query)
        return lines.titled(self.title)

    def popular(self, k: int = 10, **options: Any) -> TitledList:
        """Return the items with the most events.

        `options`: other fields of `nearline.schema.questions.CountedRequest`, such as `filter`.
        """
        return self._counted(make_options(CountedRequest, k=k, **options), trending=False)

    def trending(self, k: int = 10, **options: Any) -> TitledList:
        """Return the items with the most events lately, then popular ones.

        `options`: other fields of `nearline.schema.questions.CountedRequest`, such as `context`.
        """
        return self._counted(make_options(CountedRequest, k=k, **options), trending=True)

    def _counted(self, request: CountedRequest, *, trending: bool) -> TitledList:
        caption = "Trending items" if trending else "Popular items"
        lines = counted(request, self._view(), trending=trending, least_users=self.least_people)
        return TitledList(lines, caption, self.title)

    def audience(self, item_id: str, k: int = 10, **options: Any) -> list[ScoredUser]:
        """Return the users who would like an item most, by the score that `rank` gives it.

        `options`: other fields of `nearline.schema.questions.AudienceRequest`, such as `filter`.
        """
        request = make_options(AudienceRequest, k=k, **options)
        least = max(self.config.similar_users, self.least_people)
        return audience(item_id, request, self._view(), least)

    def trend(self, item_id: str, days: int = 30) -> ItemTrend:
        """Return the number of events on an item in each of the last `days` (1 to 366), in UTC.

        The newest events of each user are counted, `StateConfig.history_length` of them.
        """
        return trend(item_id, days, self._view())

    def items(self, **options: Any) -> Iterator[ListedItem]:
        """Iterate over all items, in alphabetical order of their IDs.

        `options`: the `filter` of `nearline.schema.questions.ItemsRequest`. Items that are added
        or removed meanwhile may occur; all others occur once.
        """
        cursor = None
        while True:
            page = self.item_page(make_options(ItemsRequest, k=MAX_K, cursor=cursor, **options))
            yield from page.items
            cursor = page.next
            if cursor is None:
                return

    def item_page(self, request: ItemsRequest) -> ItemPage:
        """Return a page of the items."""
        return listing.item_page(request, self._view())

    def users(self) -> Iterator[ListedUser]:
        """Iterate over all users with events or attributes, in alphabetical order of their IDs."""
        cursor = None
        while True:
            page = self.user_page(UsersRequest(k=MAX_K, cursor=cursor))
            yield from page.users
            cursor = page.next
            if cursor is None:
                return

    def user_page(self, request: UsersRequest) -> UserPage:
        """Return a page of the users."""
        return listing.user_page(request, self._view())
