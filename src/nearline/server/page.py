"""The documentation page: plain HTML without scripts or external resources."""

import json
from collections.abc import Iterator
from html import escape
from typing import Any

_METHODS = ("get", "post", "put", "patch", "delete")
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
h2 { border-top: 1px solid #ccc; padding-top: 1rem }
pre { background: #f5f5f5; padding: 0.8rem; overflow-x: auto }
@media (prefers-color-scheme: dark) {
  body { background: #111; color: #ddd } pre { background: #222 } a { color: #8cf }
}
"""


def render_page(document: dict[str, Any]) -> str:
    """Render an OpenAPI document as a page."""
    info = document["info"]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>{escape(info['title'])}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
            f"<p>{escape(info['description'])}",
            'Machine-readable: <a href="openapi.json">openapi.json</a>.</p>',
            *_operations(document["paths"]),
            *_schemas(document["components"]["schemas"]),
            "</body></html>",
        ]
    )


def render_index(version: str, state: str) -> str:
    """Return the index page of a server, with its state and links to all other pages."""
    links = {
        "ui": "Dashboard",
        "docs": "Documentation of the API",
        "openapi.json": "OpenAPI document",
        "readyz": "Whether the store is open",
        "livez": "Whether the server is running",
        "metrics": "Counters and gauges",
    }
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f"<title>Nearline</title><style>{_STYLE}</style></head><body>",
            f"<h1>Nearline {escape(version)}</h1>",
            f"<p>Recommendation server. State: {escape(state)}.</p><ul>",
            *(f'<li><a href="{path}">{path}</a>: {text}</li>' for path, text in links.items()),
            "</ul></body></html>",
        ]
    )


def _operations(paths: dict[str, Any]) -> Iterator[str]:
    for path, item in paths.items():
        for method in _METHODS:
            if method in item:
                operation = item[method]
                yield f"<h2><code>{method.upper()} {escape(path)}</code></h2>"
                yield f"<p>{escape(operation.get('description', ''))}</p>"
                yield from _parameters(operation.get("parameters", []))
                yield from _examples(operation.get("requestBody", {}))
                yield f"<p>Responses: {', '.join(sorted(operation['responses']))}.</p>"


def _parameters(parameters: list[dict[str, Any]]) -> Iterator[str]:
    if parameters:
        yield "<ul>"
        for parameter in parameters:
            yield (
                f"<li><code>{escape(parameter['name'])}</code> (in {escape(parameter['in'])}): "
                f"{escape(parameter.get('description', ''))}</li>"
            )
        yield "</ul>"


def _examples(body: dict[str, Any]) -> Iterator[str]:
    for media in body.get("content", {}).values():
        for example in media["schema"].get("examples", []):
            yield f"<pre>{escape(json.dumps(example, indent=2))}</pre>"


def _schemas(schemas: dict[str, Any]) -> Iterator[str]:
    yield "<h2>Bodies</h2>"
    for name, schema in sorted(schemas.items()):
        yield f'<h3 id="{escape(name)}">{escape(name)}</h3>'
        yield f"<p>{escape(schema.get('description', ''))}</p>"
        yield f"<pre>{escape(json.dumps(schema.get('properties', {}), indent=2))}</pre>"
