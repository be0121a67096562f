"""Methods of the recommender for the rights of people: consent, export, tags, criteria."""

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import msgspec

from nearline.engine.tracking import TrackingMethods
from nearline.ingest import profiles
from nearline.ingest.portable import ImportedUser, import_user
from nearline.log import Appended
from nearline.recommend.criteria import Transparency, transparency
from nearline.recommend.personal_data import personal_data
from nearline.recommend.tags import interest_tags
from nearline.schema import ConsentOut, ErasureReceipt, InterestTag, check_id

# Purpose of the tokens of receipts.
RECEIPT = "erasure"


class RightsMethods(TrackingMethods):
    """Read and change what a user allows, and the tags of a user's profile."""

    def put_consent(
        self, user_id: str, *, profiling: bool, purposes: Sequence[str] = ()
    ) -> Appended:
        """Store what a user allows durably; it replaces an earlier choice.

        Without `profiling`, the user's lists are those of a stranger, and models are as if the user
        had never been seen. Events are still stored; they count again after a later consent.

        Parameters
        ----------
        purposes : sequence of str
            Names of purposes to which the user agreed; they are kept and shown.
        """
        return self.store_consent(user_id, profiling, purposes).result()

    def store_consent(
        self, user_id: str, profiling: object, purposes: object = ()
    ) -> Future[Appended]:
        """Queue what a user allows; the future resolves once the model has learned it, too."""
        log, now = self._current.open().log, self._clock()
        stored = profiles.put_consent(log, user_id, profiling, purposes, now=now)
        return self._current.after_learning(stored)

    def transparency(self) -> Transparency:
        """Return by which criteria lists are made, and their relative importance."""
        return transparency(self._view(), self.config)

    def consent(self, user_id: str) -> ConsentOut:
        """Return what a user allows; a user who never chose allows profiling."""
        said = self._current.open().state.profiles.consent(check_id(user_id, "user_id"))
        if said is None:
            return ConsentOut(user_id=user_id, profiling=True, purposes=[], timestamp=None)
        return ConsentOut(
            user_id=user_id,
            profiling=said.profiling,
            purposes=said.purposes,
            timestamp=said.timestamp,
        )

    # Access and portability

    def export_user(self, user_id: str, path: str | Path | None = None) -> bytes:
        """Return everything that is stored about a user: a ZIP file of JSON documents.

        It has all records (events, attributes, critiques, consents, impressions), the profile, and
        the lists of the user, each item with the parts that sum to its score. `import_user`
        restores the records.

        Parameters
        ----------
        path : str, Path or None
            File to write, too; it must not exist.

        Raises
        ------
        UnknownUser
            Nothing is stored about the user.
        """
        check_id(user_id, "user_id")
        self._impressions.flush()
        log = self._current.open().log
        log.append([]).result()  # the state then reflects all queued records
        shown = self._recent.of(user_id)
        served = self.served.of_user(user_id)
        content = personal_data(user_id, log.records_of(user_id), shown, self._view(), served)
        if path is not None:
            with Path(path).open("xb") as file:
                file.write(content)
        return content

    def import_user(self, source: str | Path | bytes) -> ImportedUser:
        """Store the records of a file that `export_user` made, except those that are known.

        Raises
        ------
        InvalidInput
            The file is no such export, or holds an invalid record; nothing was stored.
        """
        content = source if isinstance(source, bytes) else Path(source).read_bytes()
        self._impressions.flush()
        parts = self._current.open()
        with self._current.importing():
            return import_user(parts.log, parts.state, content, now=self._clock())

    # Erasure

    def erasure_receipt(self, user_id: str, erased: int, lists: int = 0) -> ErasureReceipt:
        """Return a signed receipt of an erasure that has just been completed.

        Whether nothing is left is looked up again, in the log, in the state and in the served log.

        Parameters
        ----------
        erased, lists : int
            Number of records, and of entries of the served log, that were erased; see `erase`.
        """
        parts = self._current.open()
        state, log = parts.state, parts.log
        left = bool(log.records_of(user_id)) or state.history(user_id) is not None
        left = left or bool(self.served.of_user(user_id))
        made = {
            "user": parts.signer.pseudonym(user_id),
            "erased": erased,
            "lists": lists,
            "timestamp": self._clock(),
            "offset": state.offset,
            "erasures": log.erasures,
            "nothing_left": not left and not state.profiles.knows(user_id),
        }
        token = parts.signer.sign(RECEIPT, msgspec.json.encode(made))
        return msgspec.convert(made | {"token": token}, ErasureReceipt)

    def read_receipt(self, token: str) -> dict[str, Any]:
        """Return what a receipt of this store says; raise `InvalidInput` if it is not genuine."""
        content = self._current.open().signer.verify(RECEIPT, token, "token")
        found: dict[str, Any] = msgspec.json.decode(content)
        return found

    # Interest tags

    def tags(self, user_id: str) -> list[InterestTag]:
        """Return the interest tags of a user, the strongest first: categories and attributes."""
        return interest_tags(user_id, self._view())

    def delete_tag(self, user_id: str, tag: str) -> Future[Appended]:
        """Queue the deletion of a tag: lists do not depend on earlier events with it any more."""
        log, now = self._current.open().log, self._clock()
        return profiles.delete_tag(log, user_id, tag, now=now)
