"""Methods of the recommender for what is known about a user: attributes, history, critiques."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from nearline.engine.impressions import ImpressionMethods
from nearline.ingest import profiles
from nearline.log import Appended
from nearline.recommend import lookups
from nearline.recommend.critiques import active_critiques
from nearline.schema import Critique, CritiqueOut, UserSummary, check_id


class UserMethods(ImpressionMethods):
    """Read, change and erase what is known about users."""

    def user(self, user_id: str) -> UserSummary:
        """Return the attributes and the stored history of a user, most recent event first."""
        return lookups.user(user_id, self._view())

    def put_user(self, user_id: str, **attributes: Any) -> Appended:
        """Store all attributes of a user durably; they replace the previous ones.

        Values are texts, numbers, booleans or lists of these, such as ``age=31, country="FR"``.
        """
        return self.store_user(user_id, attributes).result()

    def store_user(self, user_id: str, attributes: Mapping[str, Any]) -> Future[Appended]:
        """Queue all attributes of a user, as a mapping; names may be any texts."""
        log = self._current.open_to_teach().log
        now = self._clock()
        return self._current.after_learning(profiles.put_user(log, user_id, attributes, now=now))

    def patch_user(self, user_id: str, **attributes: Any) -> Appended:
        """Change some attributes of a user durably; None removes an attribute."""
        return self.change_user(user_id, attributes)

    def change_user(self, user_id: str, changes: Mapping[str, Any]) -> Appended:
        """Change some attributes of a user, as a mapping; see `patch_user`."""
        parts = self._current.open()
        return profiles.patch_user(parts.log, parts.state, user_id, changes, now=self._clock())

    # Critiques

    def critique(self, user_id: str, **fields: Any) -> CritiqueOut:
        """Store what a user said about a list; the next list follows it.

        `fields`: one of ``more_like`` (an item ID), ``not_`` (an item ID) and ``less_of`` (a
        mapping of an attribute or "categories" to a value), and optionally ``lasting``: by default,
        a critique holds for an hour, and then until the user's next event.

        Raises
        ------
        InvalidInput
            There is not exactly one of the three, or an item is unknown.
        """
        critique, stored = self.add_critique(user_id, fields)
        stored.result()
        return CritiqueOut.of(critique)

    def add_critique(
        self, user_id: str, fields: Mapping[str, Any]
    ) -> tuple[Critique, Future[Appended]]:
        """Queue a critique, given as a mapping; the future resolves once it is durable."""
        parts = self._current.open()
        return profiles.add_critique(parts.log, parts.state, user_id, fields, now=self._clock())

    def critiques(self, user_id: str) -> list[CritiqueOut]:
        """Return the critiques of a user that hold now, oldest first."""
        said = active_critiques(check_id(user_id, "user_id"), self._view())
        return [CritiqueOut.of(one) for one in said]

    def revoke_critique(self, user_id: str, critique_id: str) -> Future[Appended]:
        """Queue the removal of a critique; lists are then as without it."""
        parts = self._current.open()
        now = self._clock()
        return profiles.revoke_critique(parts.log, parts.state, user_id, critique_id, now=now)

    def expires(self, user_id: str) -> bool:
        """Return whether the lists of a user will change by time alone, when a critique ends."""
        if not self._current.deployment.state.profiles.some_critiques:
            return False
        return any(not one.lasting for one in active_critiques(user_id, self._view()))

    def forget(self, user_id: str) -> Future[int]:
        """Erase all records of a user everywhere; the future resolves to their number."""
        return self.erase(user_id)[1]

    def erase(self, user_id: str) -> tuple[int, Future[int]]:
        """Erase all records of a user everywhere, as `forget`.

        Returns
        -------
        (int, Future of int)
            Number of entries of the served log that were erased, and of records of the log.
        """
        self._forget_impressions(check_id(user_id, "user_id"))
        lists = self.served.begin_erasure(user_id)
        try:
            erased = self._current.erased(lambda log: log.erase(user_id, self._clock()))
            erased = self._quarantine.after_forgetting(user_id, erased)
        except BaseException:
            self.served.end_erasure(user_id)
            raise
        erased.add_done_callback(lambda _: self.served.end_erasure(user_id))
        erased.add_done_callback(self.language.forget)
        return lists, erased
