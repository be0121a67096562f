"""What is read from queries by hand.

Query values that no route knows are refused, not ignored: a typing mistake must not pass.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from litestar import Request
from litestar.handlers import BaseRouteHandler
from litestar.params import QueryParameter

from nearline.errors import InvalidInput
from nearline.schema import Scalar
from nearline.server.paths import decode_utf8


async def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Raise `InvalidInput` if the query holds a name that the route does not know, or one twice."""
    query = request.scope["query_string"]
    if not query:
        return
    decode_utf8(query, "query")
    known = _query_names(request.route_handler)
    for name, values in request.query_params.dict().items():
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise InvalidInput(
                f"query name {name!r:.100} is unknown; allowed here: {allowed}", field=name[:100]
            )
        if len(values) > 1 and not known[name]:
            raise InvalidInput(
                f"query name {name!r} is given {len(values)} times; give it once", field=name
            )


def context_of(pairs: Iterable[str]) -> dict[str, Scalar] | None:
    """Read ``NAME:VALUE`` pairs; None where there is none. Values stay texts."""
    context: dict[str, Scalar] = {}
    for pair in pairs:
        name, colon, value = pair.partition(":")
        if not (name and colon):
            raise InvalidInput(
                f"context is {pair!r:.100}; it must be NAME:VALUE, such as country:FR",
                field="context",
            )
        if name in context:
            raise InvalidInput(
                f"context names {name!r:.100} more than once; give each name one value",
                field="context",
            )
        context[name] = value
    return context or None


@lru_cache(maxsize=64)
def _query_names(handler: BaseRouteHandler) -> dict[str, bool]:
    """Names that a handler takes from the query, and whether each may be repeated."""
    return {
        name: _is_list(parameter)
        for name, parameter in handler.parsed_fn_signature.parameters.items()
        if isinstance(parameter.kwarg_definition, QueryParameter)
    }


def _is_list(parameter: Any) -> bool:
    return any(inner.is_non_string_sequence for inner in (parameter, *parameter.inner_types))
