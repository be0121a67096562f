"""Reading of query strings.

Unknown query parameters are refused, not ignored, so that misspelt names are noticed.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Generic, TypeVar, cast

import msgspec
from litestar import Request
from litestar.enums import ParamType
from litestar.handlers import BaseRouteHandler
from litestar.openapi.spec import OpenAPIType, Operation, Parameter, Schema
from litestar.params import QueryParameter
from msgspec import Struct

from nearline.errors import InvalidInput
from nearline.schema import RequestField, Shape, request_fields
from nearline.server.decoding import StrictRequest
from nearline.server.paths import decode_utf8

Q = TypeVar("Q", bound=Struct)

# Entry of a handler's `opt` under which `refuse_unknown_query` finds its `QueryReader`.
READER = "query_reader"
SEPARATOR = ":"
_TYPES = {
    Shape.FLAG: OpenAPIType.BOOLEAN,
    Shape.INTEGER: OpenAPIType.INTEGER,
    Shape.NUMBER: OpenAPIType.NUMBER,
    Shape.TEXT: OpenAPIType.STRING,
}


class QueryReader(Generic[Q]):
    """Reads a struct from a query string, and documents its fields as query parameters.

    Pass it to a handler as ``opt={READER: reader}``, and ``reader.operation()`` as its
    `operation_class`.

    Parameters
    ----------
    kind : type
        Struct to read.
    without : sequence of str
        Fields that are not query parameters: those in the path, and those only for bodies.
    """

    def __init__(self, kind: type[Q], *, without: Sequence[str]) -> None:
        self._kind = kind
        self.fields = {field.name: field for field in request_fields(kind, without=without)}

    def read(self, request: StrictRequest, **given: object) -> Q:
        """Return the struct with the fields `given` and those of the query.

        Unknown and repeated names are refused by `refuse_unknown_query`.

        Raises
        ------
        InvalidInput
            A value is not valid for its field.
        """
        for name, texts in request.query.items():
            given[name] = self.fields[name].value_of(texts, SEPARATOR)
        for name, field in self.fields.items():
            if field.required and name not in given:
                raise InvalidInput(f"query parameter {name!r} is missing; send it", field=name)
        try:
            # Not strict, since numbers and booleans in a query are text.
            return msgspec.convert(given, self._kind, strict=False)
        except msgspec.ValidationError as error:
            place = str(error).rpartition("`$.")[2].rstrip("`")
            field = self.fields[re.split(r"[.\[]", place)[0]]
            text = request.query[field.name][0]
            raise InvalidInput(
                f"{field.name} is {text!r:.100}; it must be {field.allowed}", field=field.name
            ) from None

    def operation(self) -> type[Operation]:
        """Return the class of OpenAPI operations that have these query parameters."""
        parameters = [_parameter(field) for field in self.fields.values()]

        @dataclass
        class QueryOperation(Operation):
            def __post_init__(self) -> None:
                self.parameters = [*(self.parameters or ()), *parameters]

        return QueryOperation


async def refuse_unknown_query(request: Request[Any, Any, Any]) -> None:
    """Raise `InvalidInput` if a query parameter is unknown, or repeated though it may not be."""
    query = request.scope["query_string"]
    if not query:
        return
    decode_utf8(query, "query")
    known = _query_names(request.route_handler)
    for name, values in cast("StrictRequest", request).query.items():
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise InvalidInput(
                f"query parameter {name!r:.100} is unknown; allowed: {allowed}", field=name[:100]
            )
        if len(values) > 1 and not known[name]:
            raise InvalidInput(
                f"query parameter {name!r} occurs {len(values)} times; send it once", field=name
            )


@lru_cache(maxsize=64)
def _query_names(handler: BaseRouteHandler) -> dict[str, bool]:
    """Return the query parameters of a handler, and whether each may be repeated."""
    if READER in handler.opt:
        fields: dict[str, RequestField] = handler.opt[READER].fields
        return {name: field.is_repeatable for name, field in fields.items()}
    return {
        name: False
        for name, parameter in handler.parsed_fn_signature.parameters.items()
        if isinstance(parameter.kwarg_definition, QueryParameter)
    }


def _parameter(field: RequestField) -> Parameter:
    description = field.description
    if field.shape is Shape.MAPPING:
        description += f" Write {field.entry_form(SEPARATOR)}."
    if field.is_repeatable:
        description += " May be repeated."
    return Parameter(
        name=field.name,
        param_in=ParamType.QUERY,
        required=field.required,
        description=description,
        schema=_schema(field),
    )


def _schema(field: RequestField) -> Schema:
    if field.is_repeatable:
        return Schema(type=OpenAPIType.ARRAY, items=Schema(type=OpenAPIType.STRING))
    return Schema(
        type=_TYPES[field.shape],
        default=field.default,
        minimum=field.minimum,
        maximum=field.maximum,
        examples=None if field.example is None else [field.example],
    )
