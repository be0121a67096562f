"""Methods of the recommender for what is known about a user: attributes, history, critiques."""

from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any

from nearline.engine.base import Engine
from nearline.ingest import profiles
from nearline.log import Appended
from nearline.recommend import lookups
from nearline.schema import UserSummary, check_id


class UserMethods(Engine):
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
        log = self._current.open().log
        now = self._clock()
        return self._current.after_learning(profiles.put_user(log, user_id, attributes, now=now))

    def patch_user(self, user_id: str, **attributes: Any) -> Appended:
        """Change some attributes of a user durably; None removes an attribute."""
        return self.change_user(user_id, attributes)

    def change_user(self, user_id: str, changes: Mapping[str, Any]) -> Appended:
        """Change some attributes of a user, as a mapping; see `patch_user`."""
        parts = self._current.open()
        return profiles.patch_user(parts.log, parts.state, user_id, changes, now=self._clock())

    def forget(self, user_id: str) -> Future[int]:
        """Erase all records of a user everywhere; the future resolves to their number."""
        erased = self._current.erased(lambda log: log.erase(check_id(user_id, "user_id")))
        erased.add_done_callback(self.language.forget)
        return erased
