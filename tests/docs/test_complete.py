"""Nothing that users hold on to is missing in the docs, and no default in them is old."""

import io
import re
import runpy
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import msgspec
import pytest
from litestar.testing import TestClient
from tests.docs.blocks import PAGES, ROOT
from tests.server.serving import wait_until_ready

import nearline as nl
from nearline import errors
from nearline.adapters.llm_config import LlmConfig
from nearline.cli import main
from nearline.config import Config
from nearline.data.public import DATASETS
from nearline.evaluation import ACCURACY
from nearline.models.registry import discover
from nearline.schema import Event, Item
from nearline.server import Limits, create_app
from nearline.server.problems import problem_for
from nearline.state import STANDARD_WEIGHTS

DOCS = ROOT / "docs"
REFERENCE = DOCS / "reference"


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def reference(kind: str) -> str:
    """The pages of the reference that describe the routes or the commands."""
    pages = sorted(REFERENCE.glob(f"{kind}*.md"))
    return "\n".join(page.read_text(encoding="utf-8") for page in pages)


def section(text: str, heading: str) -> str:
    """What stands below a heading, up to the next of its level or above; fails without it."""
    level = len(heading) - len(heading.lstrip("#"))
    lines = text.splitlines()
    assert heading in lines, f"the docs lack {heading!r}"
    start = lines.index(heading) + 1
    end = start
    while end < len(lines) and not re.match(rf"#{{1,{level}}} ", lines[end]):
        end += 1
    return "\n".join(lines[start:end])


def rows(text: str) -> dict[str, list[str]]:
    """Table rows by what their first cell says in code font."""
    cells = (re.findall(r"[^|]+", line) for line in text.splitlines() if line.startswith("| `"))
    return {name: row for row in cells for name in re.findall(r"`([^`]+)`", row[0])}


CONTEXT = click.Context(main)


def commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands by name, those of groups too."""
    for name in group.list_commands(CONTEXT):
        command = group.get_command(CONTEXT, name)
        assert command is not None
        yield before + name, command
        if isinstance(command, click.Group):
            yield from commands(command, f"{before}{name} ")


COMMANDS = dict(commands(main))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_is_documented(name: str) -> None:
    command = COMMANDS[name]
    table = rows(section(reference("cli"), f"## nearline {name}"))
    options = {
        name
        for p in command.params
        if isinstance(p, click.Option)
        for name in (p.opts[0], *p.secondary_opts)
    }
    assert options == {cell for cell in table if cell.startswith("-")}
    arguments = {p.human_readable_name for p in command.params if isinstance(p, click.Argument)}
    assert arguments == {cell for cell in table if not cell.startswith("-")}
    assert f"nearline {name}" in "".join(page.read_text() for page in PAGES if page.parent == DOCS)


def operations() -> Iterator[tuple[str, dict[str, object]]]:
    document = create_app(nl.Recommender).api.state["context"].document()
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


OPERATIONS = dict(operations())


@pytest.mark.parametrize("route", OPERATIONS)
def test_every_route_and_query_value_is_documented(route: str) -> None:
    text = section(reference("http"), f"### {route}")
    parameters = OPERATIONS[route].get("parameters", [])
    assert isinstance(parameters, list)
    for parameter in parameters:
        assert parameter["in"] == "path" or f"`{parameter['name']}`" in text


def test_every_documented_route_exists() -> None:
    headings = re.findall(r"^### ([A-Z]+ /.*)$", reference("http"), re.MULTILINE)
    assert sorted(headings) == sorted(OPERATIONS)


def test_every_field_of_events_and_items_is_documented() -> None:
    events = rows(section(read("reference/http.md"), "### POST /v1/events"))
    assert events.keys() - {"view"} == set(Event.__struct_fields__)
    items = rows(section(read("reference/http-store.md"), "## Catalogue"))
    assert items.keys() - {"PUT"} == set(Item.__struct_fields__)


def test_every_public_name_is_in_the_reference() -> None:
    pages = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    shown = {name.rsplit(".", 1)[-1] for name in re.findall(r"^::: (\S+)$", pages, re.MULTILINE)}
    assert set(nl.__all__) - {"NearlineError"} <= shown
    assert "::: nearline.errors" in pages


HOOKS = runpy.run_path(str(DOCS / "hooks.py"))


def test_every_model_is_documented() -> None:
    assert HOOKS["MARK"] in read("reference/models.md")
    page = HOOKS["models_page"]()
    for name, model in discover().items():
        assert f"| `{name}` | `{model.__name__}` |" in page
        assert f"::: {model.__module__}.{model.__name__}\n" in page


@pytest.mark.parametrize("name", discover())
def test_every_model_has_a_page(name: str) -> None:
    page = read("item-graph.md" if name == "item_graph" else f"models/{name}.md")
    for heading in ("## When to use it", "## Settings"):
        assert section(page, heading).strip(), heading
    assert re.search(r"^(> |    ).*[=~]", page, re.MULTILINE), "the formula"
    source = re.search(r"\b(19|20)\d\d\b", page.split("## When")[0])
    assert source, "who wrote the method down, and when"


@pytest.mark.parametrize("name", discover())
def test_every_setting_of_a_model_is_explained(name: str) -> None:
    for struct in HOOKS["structs"](discover()[name].config_type):
        meanings = HOOKS["meanings_of"](struct)
        assert set(struct.__struct_fields__) == set(meanings), struct
        assert all(meanings.values())


def test_every_extra_is_documented() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) <= rows(read("quickstart.md")).keys()


def structs(kind: Any) -> Iterator[type[msgspec.Struct]]:
    """A struct and those that its fields hold by default."""
    yield kind
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, msgspec.Struct):
            yield from structs(type(field.default))


ROOTS = [Config, LlmConfig, Limits]
SETTINGS = dict.fromkeys(struct for root in ROOTS for struct in structs(root))


@pytest.mark.parametrize(
    "kind", [kind for kind in SETTINGS if kind.__struct_fields__], ids=lambda kind: kind.__name__
)
def test_every_setting_is_documented_with_its_default(kind: type[msgspec.Struct]) -> None:
    table = rows(section(read("reference/settings.md"), f"## {kind.__name__}"))
    found = {row[0].strip(" `"): row[1].strip(" `") for row in table.values()}
    assert found == {field.name: default_of(field) for field in msgspec.structs.fields(kind)}


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """A default as the table shows it; structs have a section of their own."""
    if field.default_factory is not msgspec.NODEFAULT:
        return repr(field.default_factory())
    needed_or_below = isinstance(field.default, msgspec.Struct) or field.required
    return "" if needed_or_below else repr(field.default)


def test_weights_of_events_are_documented() -> None:
    heading = "### Kinds of events and their weights"
    table = rows(section(read("data-formats.md"), heading))
    assert {kind: float(row[1]) for kind, row in table.items()} == STANDARD_WEIGHTS


ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type)]


@pytest.mark.parametrize("kind", ERRORS[1:], ids=lambda kind: kind.__name__)
def test_every_error_is_documented_with_its_status(kind: type[errors.NearlineError]) -> None:
    _, status, urn = rows(read("reference/errors.md"))[kind.__name__]
    problem, _ = problem_for(kind("why"), "id")
    assert (int(status), urn.strip(" `")) == (problem.status, problem.type)


def test_every_metric_of_the_server_is_documented() -> None:
    config = Config(llm=LlmConfig(base_url="http://127.0.0.1:9/v1", model="any"))
    app = create_app(lambda: nl.Recommender(config=config), log_stream=io.StringIO())
    with TestClient(app) as client:
        wait_until_ready(client.get)
        text = client.get("/metrics").text
    told = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    found = {name: kind for name, kind in told if not name.endswith("_created")}
    table = rows(section(read("monitoring.md"), "## Metrics"))
    shown = {name: row[1].strip() for name, row in table.items() if name.startswith("nearline_")}
    assert found == shown


def test_every_split_and_metric_of_evaluation_is_documented() -> None:
    page = rows(read("evaluation.md"))
    command = main.get_command(CONTEXT, "evaluate")
    assert command is not None
    split = next(p for p in command.params if p.name == "split").type
    assert isinstance(split, click.Choice)
    assert set(split.choices) <= page.keys()
    assert {f"{name}@k" for name in ACCURACY} <= page.keys()


def test_every_data_set_is_documented() -> None:
    assert set(DATASETS) <= rows(section(read("data-catalogue.md"), "## Public data sets")).keys()


def test_every_variable_of_the_environment_is_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    variables = set(re.findall(r"\bNEARLINE_[A-Z_]+\b", source))
    assert variables <= rows(section(read("monitoring.md"), "## Environment")).keys()


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_of_the_pages_beside_the_docs_lead_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert Path(ROOT, target).exists(), f"{name} links to {target}, which is not there"
