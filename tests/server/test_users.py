"""Routes of users: attributes beside the history."""

from typing import Any

import pytest
from litestar.testing import TestClient

URL = "/v1/users/new%2F%C3%BC"


def test_attributes_are_put_patched_and_read(client: TestClient[Any]) -> None:
    assert client.get(URL).status_code == 404
    put = client.put(URL, json={"attributes": {"age": 31, "country": "FR"}})
    assert put.status_code == 200
    assert put.json()["accepted"] == 1
    assert client.patch(URL, json={"attributes": {"age": None, "vip": True}}).status_code == 200
    assert client.get(URL).json() == {
        "user_id": "new/ü",
        "history": [],
        "attributes": {"country": "FR", "vip": True},
    }
    assert client.delete(URL).json() == {"erased": 2}
    assert client.get(URL).status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"attributes": [1]},
        {"attributes": {"a": {}}},
        {"attributes": {"a": None}},
        {"attributes": {"": 1}},
        {"age": 1},
        {"attributes": {str(n): 1 for n in range(65)}},
    ],
)
def test_bad_attributes_are_refused(client: TestClient[Any], body: dict[str, Any]) -> None:
    answer = client.put(URL, json=body)
    assert answer.status_code == 400
    assert answer.json()["field"]
    assert client.get(URL).status_code == 404
