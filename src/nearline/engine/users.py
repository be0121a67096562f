"""Methods of the recommender that read and erase what is known about a user."""

from concurrent.futures import Future

from nearline.engine.base import Engine
from nearline.recommend import lookups
from nearline.schema import UserSummary, check_id


class UserMethods(Engine):
    """Read and erase what is known about users."""

    def user(self, user_id: str) -> UserSummary:
        """Return the stored history of a user, most recent event first."""
        return lookups.user(user_id, self._view())

    def forget(self, user_id: str) -> Future[int]:
        """Erase the events of a user everywhere; the future resolves to their number."""
        erased = self._current.erased(lambda log: log.erase(check_id(user_id, "user_id")))
        erased.add_done_callback(self.language.forget)
        return erased
