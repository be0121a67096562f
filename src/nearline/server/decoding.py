"""Strict decoding of request bodies."""

import re
from collections.abc import Callable, Sequence
from functools import cached_property
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.exceptions import HTTPException

from nearline.errors import InvalidInput

In = TypeVar("In")
Out = TypeVar("Out")


class StrictRequest(Request[Any, Any, Any]):
    """Request with a JSON body that is validated against the type that its handler declares.

    Values are not converted: the string "1", for example, is not a valid number.
    """

    @cached_property
    def query(self) -> dict[str, list[str]]:
        """Values of each query parameter, in the order of the request."""
        return self.query_params.dict() if self.scope["query_string"] else {}

    async def json(self) -> Any:
        """Return the decoded body.

        Raises
        ------
        InvalidInput
            The body is invalid; the error names the field and the position in a list.
        HTTPException
            The content type or encoding is not supported (status 415).
        """
        # A body without a type could be sent by a web page of another site.
        content_type = self.headers.get("content-type", "")
        if content_type.partition(";")[0].strip().lower() != "application/json":
            raise _unsupported("Content-Type", content_type, "application/json")
        encoding = self.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise _unsupported("Content-Encoding", encoding, "an uncompressed body")
        field = self.route_handler.parsed_data_field
        return decode_body(await self.body(), field.annotation if field else Any)


def decode_body(body: bytes, body_type: Any) -> Any:
    """Decode JSON to a type.

    Raises
    ------
    InvalidInput
        The body is invalid; the error names the field and the position in a list.
    """
    try:
        return msgspec.json.decode(body, type=body_type)
    except msgspec.ValidationError as error:
        raise _translated(str(error)) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"the body is not valid JSON ({error}); send UTF-8 JSON without deep nesting, "
            "NaN or Infinity",
            field="body",
        ) from None


def at_most(count: int, limit: int, field: str) -> None:
    """Raise `InvalidInput` if a list named `field` has more than `limit` entries."""
    if count > limit:
        raise InvalidInput(
            f"{field} has {count:,} entries; at most {limit:,} are allowed; send several requests",
            field=field,
        )


def convert_each(values: Sequence[In], convert: Callable[[In], Out]) -> list[Out]:
    """Convert each value of a list.

    Raises
    ------
    InvalidInput
        A value is invalid; `position` is the index of the first invalid one.
    """
    converted = []
    for position, value in enumerate(values):
        try:
            converted.append(convert(value))
        except InvalidInput as error:
            raise error.at(position) from None
    return converted


def _unsupported(header: str, found: str, wanted: str) -> HTTPException:
    return HTTPException(
        status_code=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        detail=f"{header} is {found!r:.100}; send {wanted}",
    )


_PLACE = re.compile(r"(?P<what>.*) - at `(?:key in )?\$(?P<place>.*?)`", re.DOTALL)
_STEP = re.compile(r"\[(\d+)\]|\.(\w+)")
_NAMED = re.compile(r"Object (?:missing required|contains unknown) field `(?P<name>.*)`", re.DOTALL)


def _translated(message: str) -> InvalidInput:
    """Convert a message such as ``... - at `$[3].user_id``` to an error with field and position."""
    match = _PLACE.fullmatch(message)
    what, place = (match["what"], match["place"]) if match else (message, "")
    indices, names = [], []
    for index, name in _STEP.findall(place):
        indices.append(int(index)) if index else names.append(name)
    if named := _NAMED.fullmatch(what):
        names.append(named["name"])
    refused = InvalidInput(
        f"{what} at ${place}; /docs describes the body", field=".".join(names) or "body"
    )
    return refused.at(indices[0]) if indices else refused
