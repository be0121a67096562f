"""Descriptions of request fields; query parameters and CLI options are derived from them."""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import msgspec
from msgspec import Struct, inspect

from nearline.errors import InvalidInput


class Shape(Enum):
    """Form of a field's value in a query string or on a command line."""

    FLAG = "flag"
    INTEGER = "integer"
    NUMBER = "number"
    TEXT = "text"
    LIST = "list"
    MAPPING = "mapping"


class RequestField(Struct, frozen=True, kw_only=True):
    """Description of one field of a request.

    Attributes
    ----------
    name : str
        Name of the field and of its query parameter; with hyphens, name of its CLI option.
    shape : Shape
        Form of the value. A list or a mapping can be given several times, other fields once.
    required : bool
        Whether the field has no default.
    default : object
        Value that is used if the request does not contain the field.
    description : str
        One sentence of documentation for users.
    minimum, maximum : float or None
        Bounds of a number, inclusive.
    example : object
        A valid value; None if the documentation shows no example.
    opposite : str
        For a flag that is on by default: name of the option that turns it off.
    comma : bool
        Whether a list can also be written as one string, with commas between its entries.
    values : Shape
        For a mapping: form of its values, `INTEGER`, `NUMBER`, or else `TEXT`.
    """

    name: str
    shape: Shape
    required: bool
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    example: Any = None
    opposite: str = ""
    comma: bool = False
    values: Shape = Shape.TEXT

    @property
    def is_repeatable(self) -> bool:
        """Whether the field can be given several times."""
        return self.shape in (Shape.LIST, Shape.MAPPING)

    @property
    def allowed(self) -> str:
        """Valid values, in words for an error message."""
        if self.shape is Shape.FLAG:
            return "true or false"
        if self.shape is Shape.MAPPING:
            return f"a JSON object such as {msgspec.json.encode(self.example).decode()}"
        kind = "a whole number" if self.shape is Shape.INTEGER else "a number"
        if self.minimum is None or self.maximum is None:
            return kind
        return f"{kind} from {self.minimum:,} to {self.maximum:,}"

    def value_of(self, texts: Sequence[str], separator: str) -> object:
        """Return the value of the field from its occurrences in a query string or command line.

        A list becomes a tuple and a mapping becomes a dict; a mapping can also be one JSON object.
        A flag, a number or a text is returned as the first string, without conversion.

        Parameters
        ----------
        texts : sequence of str
            The field's strings, at least one.
        separator : str
            Character between the name and the value of a mapping's entry.

        Raises
        ------
        InvalidInput
            The field is a mapping, and a string has no name or no separator or repeats a name, or
            is not valid JSON.
        """
        if self.shape is Shape.LIST:
            return split_at_commas(texts) if self.comma else tuple(texts)
        if self.shape is Shape.MAPPING:
            return self._mapping(texts, separator)
        return texts[0]

    def entry_form(self, separator: str) -> str:
        """Describe the form of a mapping's entry, such as ``NAME=VALUE, such as country=FR``."""
        form = f"NAME{separator}VALUE"
        if not isinstance(self.example, Mapping):
            return form
        name, value = next(iter(self.example.items()))
        return f"{form}, such as {name}{separator}{value}"

    def _json(self, text: str) -> dict[str, Any]:
        """Return a mapping that is written as one JSON object."""
        try:
            return msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise InvalidInput(
                f"{self.name} is {text!r:.100}, which is not a JSON object ({error!s:.100})",
                field=self.name,
            ) from None

    def _mapping(self, texts: Sequence[str], separator: str) -> dict[str, Any]:
        if len(texts) == 1 and texts[0].lstrip().startswith("{"):
            return self._json(texts[0])
        entries: dict[str, Any] = {}
        for text in texts:
            name, found, value = text.partition(separator)
            if not (name and found):
                raise InvalidInput(
                    f"{self.name} is {text!r:.100}; it must be {self.entry_form(separator)}",
                    field=self.name,
                )
            if name in entries:
                raise InvalidInput(
                    f"{self.name} names {name!r:.100} more than once; give each name one value",
                    field=self.name,
                )
            entries[name] = self._number(name, value)
        return entries

    def _number(self, name: str, text: str) -> object:
        """Return the value of a mapping's entry, as a number if its values are numbers."""
        if self.values is Shape.TEXT:
            return text
        try:
            return int(text) if self.values is Shape.INTEGER else float(text)
        except ValueError:
            kind = "a whole number" if self.values is Shape.INTEGER else "a number"
            raise InvalidInput(
                f"{self.name} has {text!r:.50} for {name!r:.50}; it must be {kind}",
                field=self.name,
            ) from None


_SHAPES: tuple[tuple[type[inspect.Type], Shape], ...] = (
    (inspect.BoolType, Shape.FLAG),
    (inspect.IntType, Shape.INTEGER),
    (inspect.FloatType, Shape.NUMBER),
    (inspect.StrType, Shape.TEXT),
    (inspect.VarTupleType, Shape.LIST),
    (inspect.DictType, Shape.MAPPING),
)


def request_fields(kind: type[Struct], *, without: Sequence[str] = ()) -> list[RequestField]:
    """Return descriptions of the fields of the struct `kind`, in the order of definition.

    Descriptions, bounds and examples are taken from the `msgspec.Meta` annotations.

    Parameters
    ----------
    kind : type
        Class of the request.
    without : sequence of str
        Names of fields to leave out.

    Raises
    ------
    TypeError
        A field has a type for which there is no `Shape`.
    """
    info: Any = inspect.type_info(kind)
    return [_request_field(field) for field in info.fields if field.name not in without]


def _request_field(field: inspect.Field) -> RequestField:
    kind, schema, extra = field.type, dict[str, Any](), dict[str, Any]()
    # Annotated[X | None, Meta(...)] or Annotated[X, Meta(...)] | None: msgspec takes bounds only
    # in the second form.
    while isinstance(kind, inspect.Metadata | inspect.UnionType):
        if isinstance(kind, inspect.Metadata):
            schema |= kind.extra_json_schema or {}
            extra |= kind.extra or {}
            kind = kind.type
        else:
            kind = next(one for one in kind.types if not isinstance(one, inspect.NoneType))
    bounds = schema.get("extra", {})
    shape = next((shape for fits, shape in _SHAPES if isinstance(kind, fits)), None)
    if shape is None:
        raise TypeError(f"{field.name} has type {kind}; a request cannot hold it")
    return RequestField(
        name=field.name,
        shape=shape,
        required=field.required,
        default=None if field.default is msgspec.NODEFAULT else field.default,
        description=schema.get("description", ""),
        minimum=bounds.get("minimum", getattr(kind, "ge", None)),
        maximum=bounds.get("maximum", getattr(kind, "le", None)),
        example=next(iter(schema.get("examples", ())), None),
        opposite=extra.get("opposite", ""),
        comma=extra.get("comma", False),
        values=_value_shape(kind),
    )


def split_at_commas(texts: Sequence[str]) -> tuple[str, ...]:
    """Return the entries of lists that are written with commas, without spaces around them."""
    parts = (part.strip() for text in texts for part in text.split(","))
    return tuple(part for part in parts if part)


def _value_shape(kind: inspect.Type) -> Shape:
    """Return the form of the values of a mapping."""
    value = kind.value_type if isinstance(kind, inspect.DictType) else None
    if isinstance(value, inspect.IntType):
        return Shape.INTEGER
    return Shape.NUMBER if isinstance(value, inspect.FloatType) else Shape.TEXT
