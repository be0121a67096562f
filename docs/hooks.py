"""Generate the parts of the site that follow from the code: the list of models and their settings.

A new algorithm is one new file. Neither its class nor its page in `docs/models/` is listed by hand.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from griffe import Docstring, DocstringSectionAttributes

from nearline.models.registry import discover

DOCS = Path(__file__).parent
MARK = "<!-- every model -->"


def on_config(config: Any) -> None:
    """Add the pages of `docs/models/` to the part "Reference" of the navigation."""
    pages = [path.relative_to(DOCS).as_posix() for path in sorted(DOCS.glob("models/*.md"))]
    if pages:
        reference = next(part["Reference"] for part in config.nav if "Reference" in part)
        reference.append({"Algorithms": pages})


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the mark with all models, their classes and settings."""
    return markdown.replace(MARK, models_page()) if MARK in markdown else markdown


def models_page() -> str:
    """Return a table of the models, then each class with its settings, as Markdown."""
    models = discover()
    lines = ["| name | class | page |", "|---|---|---|"]
    lines += [f"| `{name}` | `{kind.__name__}` | {_page(name)} |" for name, kind in models.items()]
    shown: set[type] = set()
    for kind in models.values():
        lines += ["", f"::: {kind.__module__}.{kind.__name__}", ""]
        for struct in structs(kind.config_type):
            if struct not in shown:
                lines += [f"### {struct.__name__}", "", *settings_table(struct), ""]
                shown.add(struct)
    return "\n".join(lines)


def settings_table(struct: type[msgspec.Struct]) -> list[str]:
    """Return a table of field, default and meaning, with the meaning from the docstring."""
    meanings = meanings_of(struct)
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for field in msgspec.structs.fields(struct):
        text = meanings[field.name].replace("|", "\\|")
        rows.append(f"| `{field.name}` | {default_of(field)} | {text} |")
    return rows if len(rows) > 2 else ["No settings."]


def meanings_of(struct: type[msgspec.Struct]) -> dict[str, str]:
    """Return the description of each attribute, from the docstrings of a struct and its bases."""
    found: dict[str, str] = {}
    kinds = [kind for kind in reversed(struct.__mro__) if issubclass(kind, msgspec.Struct)]
    for doc in [kind.__doc__ for kind in kinds if kind.__doc__]:
        for section in Docstring(doc).parse("numpy", warnings=False):
            if isinstance(section, DocstringSectionAttributes):
                for attribute in section.value:
                    for name in attribute.name.split(","):
                        found[name.strip()] = " ".join(attribute.description.split())
    return found


def default_of(field: msgspec.structs.FieldInfo) -> str:
    """Format a default as a table cell; a struct links to its own table."""
    if field.default_factory is not msgspec.NODEFAULT:
        return f"`{field.default_factory()!r}`"
    if isinstance(field.default, msgspec.Struct):
        return f"[{type(field.default).__name__}](#{type(field.default).__name__.lower()})"
    return f"`{field.default!r}`"


def structs(kind: type[msgspec.Struct]) -> Iterator[type[msgspec.Struct]]:
    """Yield a struct and the structs that are defaults of its fields."""
    yield kind
    for field in msgspec.structs.fields(kind):
        if isinstance(field.default, msgspec.Struct):
            yield from structs(type(field.default))


def _page(name: str) -> str:
    path = f"models/{name}.md"
    if name == "item_graph":
        path = "item-graph.md"
    return f"[{name}](../{path})" if (DOCS / path).is_file() else ""
