"""A field of a request is written once; every interface and its documentation follow from it."""

import json
import subprocess
import sys
from typing import Any

import pytest

# Runs in a process of its own: two fields are added to the source of the structs before anything
# is imported, and nothing else is changed.
PROGRAM = '''
import importlib.util, io, json, sys
from importlib.machinery import PathFinder, SourceFileLoader
from pathlib import Path

MODULE = "nearline.schema.requests"
FIELDS = {
    "    exclude_seen: Annotated[": """
    flavour: Annotated[str | None, Meta(description="Taste of the list.", examples=["mint"])] = None
    shades: Annotated[tuple[str, ...], Meta(description="Colour to prefer.")] = ()
""",
    "    explain: Annotated[": """
    surprise: Annotated[int, Meta(ge=0, le=9, description="How unusual.")] = 0
""",
}


class Edited(SourceFileLoader):
    def get_code(self, name):
        source = self.get_data(self.path).decode()
        for place, text in FIELDS.items():
            before, found, after = source.partition(place)
            assert found
            source = before + text.lstrip("\\n") + found + after
        return compile(source, self.path, "exec")


class Finder:
    @staticmethod
    def find_spec(name, path, target=None):
        if name != MODULE:
            return None
        file = str(Path(path[0]) / "requests.py")
        return importlib.util.spec_from_file_location(name, file, loader=Edited(name, file))


sys.meta_path.insert(0, Finder)

from click.testing import CliRunner
from litestar.testing import TestClient
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline.cli import main
from nearline.server import create_app

seen = []


class Watched(nl.Recommender):
    def draft(self, request, within=None):
        seen.append(request)
        return super().draft(request, within)

    def recommend_lists(self, users, **options):
        seen.append(options)
        return super().recommend_lists(users, **options)


def fields(request):
    names = ("flavour", "shades", "surprise")
    if isinstance(request, dict):
        return [request.get(name) for name in names]
    return [getattr(request, name, None) for name in names]


found = {"help": {name: CliRunner().invoke(main, [name, "--help"]).output
                  for name in ("recommend", "export")}}
rec = Watched()
rec.recommend("u", flavour="mint", shades=["red"], surprise=3)
with TestClient(create_app(lambda: rec, log_stream=io.StringIO())) as client:
    wait_until_ready(client.get)
    url = "/v1/users/u/recommendations"
    body = {"flavour": "mint", "shades": ["red", "blue"]}
    answers = [
        client.get(url + "?flavour=mint&shades=red&shades=blue&surprise=3"),
        client.post("/v1/recommendations", json={**body, "history": [], "surprise": 3}),
        client.post("/v1/recommendations:batch", json={**body, "user_ids": ["u"]}),
    ]
    found["status"] = [answer.status_code for answer in answers]
    found["refused"] = [
        client.get(url + "?surprise=much").json()["detail"],
        client.get(url + "?surprise=10").json()["detail"],
        client.get(url + "?taste=mint").json()["detail"],
        client.post("/v1/recommendations:batch", json={"surprise": 3}).json()["field"],
    ]
    found["document"] = client.get("/openapi.json").json()
found["seen"] = [fields(request) for request in seen]
print(json.dumps(found))
'''


@pytest.fixture(scope="module")
def found() -> Any:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_new_fields_reach_the_engine_from_everywhere(found: Any) -> None:
    assert found["status"] == [200, 200, 200]
    assert found["seen"] == [
        ["mint", ["red"], 3],
        ["mint", ["red", "blue"], 3],
        ["mint", ["red", "blue"], 3],
        ["mint", ["red", "blue"], None],
    ]


def test_bad_values_of_new_fields_are_refused_in_terms_of_http(found: Any) -> None:
    much, ten, taste, batch = found["refused"]
    assert much == "surprise is 'much'; it must be a whole number from 0 to 9"
    assert ten == "surprise is '10'; it must be a whole number from 0 to 9"
    assert taste.startswith("query parameter 'taste' is unknown; allowed: ")
    assert {"flavour", "shades", "surprise"} <= set(taste.partition(": ")[2].split(", "))
    # A field of requests for one list is none of a batch.
    assert batch == "surprise"


def test_new_fields_are_query_parameters_of_the_openapi_document(found: Any) -> None:
    operation = found["document"]["paths"]["/v1/users/{user_id}/recommendations"]["get"]
    parameters = {one["name"]: one for one in operation["parameters"]}
    assert parameters["flavour"]["description"] == "Taste of the list."
    assert parameters["flavour"]["schema"] == {"type": "string", "examples": ["mint"]}
    assert parameters["shades"]["description"] == "Colour to prefer. May be repeated."
    assert parameters["shades"]["schema"] == {"type": "array", "items": {"type": "string"}}
    surprise = {"type": "integer", "default": 0, "minimum": 0, "maximum": 9}
    assert parameters["surprise"]["schema"] == surprise
    assert {one["in"] for name, one in parameters.items() if name != "user_id"} == {"query"}


def test_new_fields_are_in_the_bodies_of_the_openapi_document(found: Any) -> None:
    schemas = found["document"]["components"]["schemas"]
    session, batch = schemas["SessionIn"]["properties"], schemas["BatchIn"]["properties"]
    for properties in (session, batch):
        assert properties["flavour"]["description"] == "Taste of the list."
        assert properties["shades"]["items"] == {"type": "string"}
    assert (session["surprise"]["minimum"], session["surprise"]["maximum"]) == (0, 9)
    assert "surprise" not in batch


def test_new_fields_are_options_of_the_command_line(found: Any) -> None:
    recommend, export = found["help"]["recommend"], found["help"]["export"]
    for text in (recommend, export):
        assert "--flavour TEXT" in text
        assert "Taste of the list. For example 'mint'." in text
        assert "--shades TEXT" in text
    assert "--surprise INTEGER RANGE" in recommend
    assert "--surprise" not in export


def test_the_openapi_document_has_the_parameters_of_today() -> None:
    import nearline as nl
    from nearline.server import create_app

    document = create_app(nl.Recommender).api.state["context"].document()
    operation = document["paths"]["/v1/users/{user_id}/recommendations"]["get"]
    options = {"k", "exclude_seen", "repeats", "category", "exclude", "context", "preferences"}
    options |= {
        "diversity",
        "diversity_method",
        "calibration",
        "max_per",
        "scenario",
        "max_shown",
        "rotation",
        "explore",
        "profiling",
        "filter",
        "boost",
        "min_score",
        "fields",
    }
    single = options | {"explain", "rerank", "track", "cursor", "deadline_ms"}
    assert {one["name"] for one in operation["parameters"]} == {"user_id"} | single
    schemas = document["components"]["schemas"]
    assert set(schemas["SessionIn"]["properties"]) == {"user_id", "history"} | single
    assert set(schemas["BatchIn"]["properties"]) == {"user_ids"} | options
    assert (schemas["SessionIn"]["required"], schemas["BatchIn"]["required"]) == (
        ["history"],
        ["user_ids"],
    )
