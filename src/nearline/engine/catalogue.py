"""Methods of the recommender that read and change the catalogue."""

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from nearline import ingest
from nearline.engine.base import Engine
from nearline.log import Appended
from nearline.recommend import lookups
from nearline.schema import Item, new_item


class ItemMethods(Engine):
    """Read and change catalogue entries."""

    def put_item(self, item_id: str, *, timestamp: object = None, **fields: Any) -> Appended:
        """Store a catalogue entry (fields of `nearline.Item`); it can be recommended at once."""
        item = new_item({"item_id": item_id, **fields}, timestamp, now=self._clock())
        return self.put_items([item]).result()

    def put_items(self, items: Sequence[Item]) -> Future[Appended]:
        """Queue catalogue entries atomically; an encoder, if any, encodes their texts first."""
        return self._current.put_items(self._current.open_to_teach().log, items)

    def patch_item(self, item_id: str, changes: Mapping[str, object]) -> Appended:
        """Change some fields of a catalogue entry durably."""
        parts = self._current.open()
        if self.encodes:
            self._current.encode([ingest.patched(parts.state, item_id, changes, now=self._clock())])
        return ingest.patch_item(parts.log, parts.state, item_id, changes, now=self._clock())

    def delete_item(self, item_id: str) -> Future[Appended]:
        """Queue the deletion of an item; once the future resolves, it is not recommended."""
        parts = self._current.open()
        return ingest.delete_item(parts.log, parts.state, item_id, now=self._clock())

    def item(self, item_id: str) -> Item:
        """Return the catalogue entry of an item."""
        return lookups.item(item_id, self._view())
