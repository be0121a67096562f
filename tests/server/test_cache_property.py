"""Property: a cached answer equals a computed one after any sequence of changes."""

import io
import tempfile
from pathlib import Path

import msgspec
import pyarrow as pa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

from nearline.engine import Recommender
from nearline.schema import RecommendationRequest
from nearline.server import Gateway, Limits, create_app

NOW = 1.7e9
USERS, ITEMS = ("u0", "u1", "u2"), ("i0", "i1", "i2", "i3")
Step = tuple[str, tuple[str, ...]]

users, items = st.sampled_from(USERS), st.sampled_from(ITEMS)
steps = st.one_of(
    st.tuples(st.just("event"), st.tuples(users, items)),
    st.tuples(st.just("dislike"), st.tuples(users, items)),
    st.tuples(st.just("forget"), st.tuples(users)),
    st.tuples(st.just("put"), st.tuples(items)),
    st.tuples(st.just("delete"), st.tuples(items)),
    st.tuples(st.just("import"), st.tuples(users, items, users, items)),
    st.tuples(st.sampled_from(["fit", "rollback"]), st.just(())),
)
ALL: list[Step] = [
    ("event", ("u0", "i0")),
    ("event", ("u0", "i1")),
    ("event", ("u1", "i0")),
    ("import", ("u2", "i1", "u2", "i2")),
    ("fit", ()),
    ("event", ("u1", "i3")),
    ("fit", ()),
    ("rollback", ()),
    ("import", ("u0", "i2", "u1", "i2")),
    ("dislike", ("u1", "i1")),
    ("delete", ("i2",)),
    ("put", ("i2",)),
    ("forget", ("u0",)),
]


class Shop:
    """A store behind a server with a cache, and the clock of both."""

    def __init__(self, engine: Recommender, client: TestClient[Gateway]) -> None:
        self.engine, self.client = engine, client
        self.imports = self.fits = 0

    def read(self, user_id: str) -> bytes:
        return self.client.get(f"/v1/users/{user_id}/recommendations?k=1").content

    def read_all(self, *_: object) -> None:
        """Read the list of every user, as a callback of progress."""
        for user_id in USERS:
            self.read(user_id)

    def check(self) -> None:
        """Compare the answers of the server, cached or not, with computed ones."""
        for user_id in USERS:
            answers = [self.read(user_id) for _ in range(2)]
            computed = self.engine.answer(RecommendationRequest(user_id=user_id, k=1))
            assert answers == [msgspec.json.encode(computed)] * 2

    def take(self, kind: str, given: tuple[str, ...]) -> None:
        """Make one change; read during imports, when the model lags behind."""
        engine = self.engine
        if kind in ("event", "dislike"):
            event = "view" if kind == "event" else kind
            engine.observe(given[0], given[1], event, timestamp=NOW - 100)
        elif kind == "forget":
            engine.forget(*given).result()
        elif kind == "put":
            engine.put_item(*given, text=f"text of {given[0]}", timestamp=NOW - 100)
        elif kind == "delete":
            self.client.delete(f"/v1/items/{given[0]}")  # 404 if it is unknown
        elif kind == "import":
            self.imports += 1
            table = {"user_id": given[::2], "item_id": given[1::2]}
            times = pa.array([NOW - 99.0 + self.imports] * 2)
            engine.add(pa.table({**table, "timestamp": times}), progress=self.read_all)
        elif kind == "fit" and engine.n_users:
            self.fits += 1
            engine.fit(seed=self.fits)
        elif kind == "rollback" and self.fits > 1:
            engine.versions.rollback()
            self.fits = 1


@example(ALL)
@given(st.lists(steps, max_size=10))
@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
def test_cached_answers_equal_computed_ones(changes: list[Step]) -> None:
    limits = Limits(preload_per_second=0)
    with (
        tempfile.TemporaryDirectory() as folder,
        Recommender(Path(folder) / "shop", clock=lambda: NOW) as engine,
        TestClient(create_app(lambda: engine, limits, log_stream=io.StringIO())) as client,
    ):
        wait_until_ready(client.get)
        shop = Shop(engine, client)
        shop.check()
        for kind, arguments in changes:
            shop.take(kind, arguments)
            shop.check()
        if changes == ALL:
            assert 'nearline_cache_hits_total{made="asked"} 0.0' not in client.get("/metrics").text
