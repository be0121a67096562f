"""The OpenAPI document and its HTML page describe every route."""

import re

from litestar.testing import TestClient

from nearline.server import Gateway

Client = TestClient[Gateway]
CONTRACT = {
    ("post", "/v1/events"),
    ("delete", "/v1/events/{event_id}"),
    ("post", "/v1/impressions"),
    ("get", "/v1/users/{user_id}/recommendations"),
    ("post", "/v1/recommendations"),
    ("post", "/v1/recommendations:batch"),
    ("post", "/v1/preload"),
    ("get", "/v1/items/{item_id}/similar"),
    ("post", "/v1/rank"),
    ("get", "/v1/users/{user_id}/explanations/{item_id}"),
    ("get", "/v1/items/{item_id}/audience"),
    ("get", "/v1/items/{item_id}/trend"),
    ("get", "/v1/flow"),
    ("get", "/v1/config"),
    ("get", "/v1/popular"),
    ("get", "/v1/trending"),
    ("get", "/v1/search"),
    ("get", "/v1/items"),
    ("get", "/v1/users"),
    ("put", "/v1/items/{item_id}"),
    ("post", "/v1/items"),
    ("get", "/v1/items/{item_id}"),
    ("patch", "/v1/items/{item_id}"),
    ("delete", "/v1/items/{item_id}"),
    ("put", "/v1/users/{user_id}"),
    ("post", "/v1/users/{user_id}/critiques"),
    ("get", "/v1/users/{user_id}/critiques"),
    ("delete", "/v1/users/{user_id}/critiques/{critique_id}"),
    ("patch", "/v1/users/{user_id}"),
    ("get", "/v1/users/{user_id}"),
    ("delete", "/v1/users/{user_id}"),
    ("put", "/v1/users/{user_id}/consent"),
    ("get", "/v1/users/{user_id}/consent"),
    ("get", "/v1/users/{user_id}/export"),
    ("get", "/v1/users/{user_id}/tags"),
    ("delete", "/v1/users/{user_id}/tags/{tag}"),
    ("get", "/v1/transparency"),
    ("post", "/v1/statistics"),
    ("get", "/v1/statistics"),
    ("get", "/v1/report"),
    ("get", "/v1/weights"),
    ("put", "/v1/weights"),
    ("delete", "/v1/weights"),
    ("put", "/v1/experiments/{name}"),
    ("get", "/v1/experiments/{name}"),
    ("get", "/v1/experiments"),
    ("delete", "/v1/experiments/{name}"),
    ("post", "/v1/experiments/{name}/stop"),
    ("get", "/v1/experiments/{name}/results"),
    ("get", "/v1/ns"),
    ("put", "/v1/ns/{name}"),
    ("get", "/v1/ns/{name}"),
    ("put", "/v1/scenarios/{name}"),
    ("get", "/v1/scenarios/{name}"),
    ("get", "/v1/scenarios/{name}/policies"),
    ("get", "/v1/scenarios"),
    ("delete", "/v1/scenarios/{name}"),
    ("put", "/v1/rules/{name}"),
    ("get", "/v1/rules/{name}"),
    ("get", "/v1/rules"),
    ("delete", "/v1/rules/{name}"),
    ("post", "/v1/jobs"),
    ("get", "/v1/jobs"),
    ("get", "/v1/jobs/{job_id}"),
    ("delete", "/v1/jobs/{job_id}"),
    ("get", "/v1/snapshots"),
    ("post", "/v1/snapshots/{snapshot_id}:promote"),
    ("post", "/v1/snapshots:rollback"),
    ("get", "/livez"),
    ("get", "/readyz"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
    ("get", "/docs"),
}


def test_every_route_is_described(client: Client) -> None:
    document = client.get("/openapi.json").json()
    described = {(verb, path) for path, item in document["paths"].items() for verb in item}
    assert described == CONTRACT
    for verb, path in CONTRACT:
        operation = document["paths"][path][verb]
        assert operation["description"], path
        bare = path.endswith((":promote", ":rollback", "/stop")) or path == "/v1/ns/{name}"
        assert ("requestBody" in operation) == (verb in {"post", "put", "patch"} and not bare)


def test_errors_are_described_as_problem_documents(client: Client) -> None:
    document = client.get("/openapi.json").json()
    responses = document["paths"]["/v1/events"]["post"]["responses"]
    assert set(responses) == {"200", "400", "401", "404", "413", "415", "503"}
    assert set(responses["400"]["content"]) == {"application/problem+json"}
    fields = document["components"]["schemas"]["Problem"]["properties"]
    problem = client.get("/v1/items/x/similar?nothing=1").json()
    assert set(problem) <= set(fields)


def test_all_references_resolve(client: Client) -> None:
    text = client.get("/openapi.json").text
    schemas = client.get("/openapi.json").json()["components"]["schemas"]
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names <= set(schemas)
    assert {"EventIn", "Answer", "Problem"} <= names


def test_the_page_has_no_external_resources(client: Client) -> None:
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    for verb, path in CONTRACT:
        assert f"<code>{verb.upper()} {path}</code>" in page.text
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=[\"']?(https?:)?//", page.text)


def test_the_examples_of_the_document_are_accepted(client: Client) -> None:
    document = client.get("/openapi.json").json()
    tried = 0
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            for media in operation.get("requestBody", {}).get("content", {}).values():
                for example in media["schema"].get("examples", []):
                    url = path.replace("{item_id}", "i77").replace("{user_id}", "u1")
                    answer = client.request(verb, url, json=example)
                    if path == "/v1/statistics":  # there is no budget by default
                        assert answer.json()["type"].endswith("budget-spent")
                    else:
                        assert answer.status_code in (200, 202), answer.text
                    tried += 1
    assert tried >= 12


def test_the_index_page_links_all_others(client: Client) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert page.headers["content-type"].startswith("text/html")
    links = re.findall(r'href="([^"]+)"', page.text)
    assert links == ["ui", "docs", "openapi.json", "readyz", "livez", "metrics"]
    assert {client.get(f"/{link}").status_code for link in links} == {200}
    assert "State: ready." in page.text
