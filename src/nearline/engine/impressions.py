"""Methods of the recommender for what users were shown."""

from collections.abc import Sequence
from contextlib import suppress

from nearline.engine.base import Engine
from nearline.errors import InvalidInput, Overloaded
from nearline.schema import Answer, RecommendationRequest, check_id
from nearline.schema.arguments import as_list

MAX_ITEMS = 1_000


class ImpressionMethods(Engine):
    """Record impressions, on which frequency caps and rotation depend."""

    def add_impressions(
        self,
        recommendation_id: str,
        item_ids: Sequence[str] | None = None,
        user_id: str | None = None,
    ) -> int:
        """Record that a user was shown items of a list; return the number of items.

        Items that occur in no event and have no catalogue entry are ignored. The others count in
        the next list at once, and are logged within a second.

        Parameters
        ----------
        recommendation_id : str
            ID of the list.
        item_ids : sequence of str or None
            The items that were seen; None means all items of the list.
        user_id : str or None
            The user; None means the user of the list.

        Raises
        ------
        InvalidInput
            The list is too long ago, so that its items or its user must be given; an ID is
            invalid; or the list was made for another user.
        Overloaded
            Too many impressions wait to be logged.
        """
        check_id(recommendation_id, "recommendation_id")
        known = self._recent.get(recommendation_id)
        if item_ids is None:
            if known is None:
                raise InvalidInput(
                    f"recommendation_id {recommendation_id!r:.60} is not among the last lists of "
                    "this server; send the item_ids that were seen",
                    field="recommendation_id",
                )
            items = list(known.item_ids)
        else:
            items = self._known_items(item_ids)
        if user_id is None:
            user_id = None if known is None else known.user_id
            if user_id is None:
                raise InvalidInput(
                    f"recommendation_id {recommendation_id!r:.60} names no user that is known "
                    "here; send user_id",
                    field="user_id",
                )
        elif known is not None and known.user_id not in (None, user_id):
            raise InvalidInput(
                f"user_id is {user_id!r:.60}, and the list was made for another user; send its "
                "user, or leave user_id out",
                field="user_id",
            )
        self._impressions.add(check_id(user_id, "user_id"), items, self._clock())
        if self.served.used:
            self.served.seen(recommendation_id, user_id, items)
        return len(items)

    def _known_items(self, item_ids: Sequence[str]) -> list[str]:
        items = as_list(item_ids, "item_ids", "item IDs")
        if len(items) > MAX_ITEMS:
            raise InvalidInput(
                f"item_ids has {len(items):,} entries; at most {MAX_ITEMS:,} are allowed",
                field="item_ids",
            )
        known = self._current.open().state.items
        distinct = dict.fromkeys(check_id(item_id, "item_ids") for item_id in items)
        return [item_id for item_id in distinct if item_id in known]

    def _noted(self, answer: Answer, request: RecommendationRequest) -> Answer:
        """Remember the list of an answer, so that its impressions need only name its ID."""
        items = [line.item_id for line in answer.items]
        self._recent.add(answer.recommendation_id, answer.user_id, items)
        if not self.config.imply_impressions or answer.user_id is None or not items:
            return answer
        if self._view().profiles(answer.user_id, request.profiling):
            with suppress(Overloaded):  # the list is worth more than its impressions
                self._impressions.add(answer.user_id, items, self._clock())
        return answer

    def _forget_impressions(self, user_id: str) -> None:
        self._impressions.forget(user_id)
        self._recent.forget(user_id)
