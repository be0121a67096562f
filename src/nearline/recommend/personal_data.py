"""Everything that is stored about a user, as a ZIP file of JSON documents that can be imported."""

import io
import time
import zipfile
from collections.abc import Sequence
from itertools import islice
from typing import Any

import msgspec

from nearline.errors import UnknownItem, UnknownUser
from nearline.ingest.portable import FILES, FORMAT, MANIFEST, VERSION, file_of
from nearline.recommend.lists import View
from nearline.recommend.lookups import explain
from nearline.recommend.pipeline import answer
from nearline.recommend.recent_lists import RecentList
from nearline.recommend.tags import interest_tags
from nearline.schema import Explanation, RecommendationRequest, UserRecord
from nearline.served import ItemsSeen, Served

LISTS, PROFILE, SERVED = "lists.json", "profile.json", "served.json"
# Lists that were shown, the newest first, and items of each that are explained.
MAX_LISTS, MAX_ITEMS = 50, 100
_ABOUT = {
    PROFILE: "what follows from the records: attributes, interest tags, and what the user allows",
    LISTS: "the list of now, and the last lists that were shown, each item with the parts that sum "
    "to its score at the time of this export",
    SERVED: "lists of the served log, as they were shown, and what was seen of them",
}


def personal_data(
    user_id: str,
    records: Sequence[tuple[int, UserRecord]],
    shown: Sequence[tuple[str, RecentList]],
    view: View,
    served: Sequence[Served | ItemsSeen] = (),
) -> bytes:
    """Return a ZIP file with all records of a user, the profile and the lists.

    Parameters
    ----------
    records : sequence of (int, UserRecord)
        All records that name the user.
    shown : sequence of (str, RecentList)
        IDs and items of the last lists of the user, the newest last.
    served : sequence of Served or ItemsSeen
        Entries of the served log about the user.

    Raises
    ------
    UnknownUser
        Nothing is stored about the user.
    """
    if not records and not served:
        raise UnknownUser(f"nothing is stored about user {user_id!r:.100}; check the ID")
    parts: dict[str, list[UserRecord]] = {name: [] for name in FILES}
    for _, record in records:
        parts[file_of(record)].append(record)
    documents: dict[str, Any] = {
        MANIFEST: {
            "format": FORMAT,
            "version": VERSION,
            "user_id": user_id,
            "exported_at": view.now,
            "offset": view.state.offset,
            "model": view.model_id,
            "files": {name: f"{len(found)} records" for name, found in parts.items()} | _ABOUT,
        },
        **parts,
        PROFILE: _profile(user_id, view),
        LISTS: _lists(user_id, _last_lists(shown, served), view),
        SERVED: served,
    }
    return _zipped(documents, view.now)


def _profile(user_id: str, view: View) -> dict[str, Any]:
    profiles = view.state.profiles
    said = profiles.consent(user_id)
    return {
        "attributes": profiles.stored(user_id),
        "profiling": said is None or said.profiling,
        "purposes": [] if said is None else said.purposes,
        "tags": interest_tags(user_id, view),
        "deleted_tags": profiles.tags(user_id),
    }


def _last_lists(
    shown: Sequence[tuple[str, RecentList]], served: Sequence[Served | ItemsSeen]
) -> dict[str, Sequence[str]]:
    """Return items by list: those of this server, then further ones of the served log.

    Both are in order of time, the newest first.
    """
    found: dict[str, Sequence[str]] = {name: one.item_ids for name, one in reversed(shown)}
    lists = (entry for entry in served if isinstance(entry, Served))
    for one in sorted(lists, key=lambda one: -one.timestamp):
        found.setdefault(one.recommendation_id, one.item_ids)
    return found


def _lists(user_id: str, shown: dict[str, Sequence[str]], view: View) -> dict[str, Any]:
    known: dict[str, Explanation | None] = {}

    def lines(item_ids: Sequence[str]) -> list[dict[str, Any]]:
        found = []
        for item_id in item_ids[:MAX_ITEMS]:
            if item_id not in known:
                known[item_id] = _explained(user_id, item_id, view)
            why = known[item_id]
            line: dict[str, Any] = {"item_id": item_id}
            if why is not None:
                line |= {"score": why.score, "tier": why.tier, "parts": why.parts}
            found.append(line)
        return found

    now = answer(RecommendationRequest(user_id=user_id), view)
    recent = [
        {"recommendation_id": name, "items": lines(item_ids)}
        for name, item_ids in islice(shown.items(), MAX_LISTS)
    ]
    return {"now": lines([line.item_id for line in now.items]), "shown": recent}


def _explained(user_id: str, item_id: str, view: View) -> Explanation | None:
    try:
        return explain(user_id, item_id, view)
    except UnknownItem:
        return None


def _zipped(documents: dict[str, Any], now: float) -> bytes:
    date = time.gmtime(max(now, 315_532_800.0))[:6]  # ZIP files have no time before 1980
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
        for name, document in documents.items():
            text = msgspec.json.format(msgspec.json.encode(document), indent=1)
            entry = zipfile.ZipInfo(name, date)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o600 << 16
            file.writestr(entry, text)
    return target.getvalue()
