"""Logs of earlier versions open and can be appended to."""

import shutil
from pathlib import Path

from nearline.log import open_log, url_of
from nearline.schema import Erased, Event, Item, ItemDeleted, ItemPatched

OLD = Path(__file__).parent / "data" / "before_patches.db"


def test_a_log_of_an_earlier_version_opens_and_takes_a_patch(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    shutil.copy(OLD, path)
    log = open_log(url_of(path))
    assert (log.end, log.erasures) == (4, 1)
    assert [record for _, record in log.read()] == [
        Event(user_id="a", item_id="i", timestamp=1.0, event_id="e1", context={"country": "FR"}),
        Erased(),
        Item(item_id="i", timestamp=3.0, text="tea", vectors={"image": [0.5, 1.0]}),
        ItemDeleted(item_id="j", timestamp=4.0),
    ]
    patch = ItemPatched(item_id="i", timestamp=5.0, title="Tea")
    assert log.append([patch]).result().offset == 5
    assert list(log.read(4)) == [(4, patch)]
    log.close()
