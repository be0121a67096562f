"""The curl story, told by the generated Python client: `python story.py CLIENT_FOLDER URL`."""

import sys
from pathlib import Path

folder = Path(sys.argv[1])
sys.path.insert(0, str(folder.parent))

from nearline_client import Client  # noqa: E402
from nearline_client.api.events import store_events  # noqa: E402
from nearline_client.api.items import put_item  # noqa: E402
from nearline_client.api.operations import readyz  # noqa: E402
from nearline_client.api.recommendations import recommend, recommend_session  # noqa: E402
from nearline_client.models import EventIn, ItemIn, SessionIn  # noqa: E402

client = Client(base_url=sys.argv[2], timeout=60)
stored = store_events.sync(client=client, body=EventIn(user_id="d", item_id="pot"))
assert stored.accepted == 1
assert (
    put_item.sync_detailed("tea", client=client, body=ItemIn(title="Green tea")).status_code == 200
)
listed = recommend.sync("d", client=client, k=1)
assert listed.items[0].item_id == "tea"
assert recommend_session.sync(client=client, body=SessionIn(history=["pot"])).items
refused = recommend.sync("d", client=client, k=0)
assert refused.field == "k"
assert readyz.sync(client=client).status == "ready"
print("told")
