"""The model of a store computes a list before the server is ready."""

from typing import Any

import pytest
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready
from tests.server.test_recommendations import PAIRS

from nearline.engine import Recommender
from nearline.errors import InvalidInput
from nearline.server import create_app


class Watched(Recommender):
    """Records the histories for which lists are asked, and may refuse to answer."""

    def __init__(self, refusal: Exception | None = None) -> None:
        super().__init__()
        self.asked: list[Any] = []
        self.refusal = refusal
        for user, item in PAIRS:
            self.observe(user, item)

    def recommend(self, user_id: str, k: int | None = None, **options: Any) -> Any:
        self.asked.append(options.get("history"))
        if self.refusal is not None:
            raise self.refusal
        return super().recommend(user_id, k, **options)


@pytest.mark.parametrize("refusal", [None, InvalidInput("no list")])
def test_a_list_is_computed_before_the_server_is_ready(refusal: Exception | None) -> None:
    engine = Watched(refusal)
    [first] = engine.trending(1)
    with TestClient(create_app(lambda: engine)) as client:
        wait_until_ready(client.get)
        assert engine.asked == [[first.item_id]]
