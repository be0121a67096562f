"""Options of a request after its scenario and the defaults were applied."""

from typing import TypeVar

from msgspec.structs import replace

from nearline.errors import InvalidInput, UnknownScenario
from nearline.recommend.lists import View
from nearline.recommend.selection import check_fields
from nearline.schema import DEFAULT_K, Defined, ItemOptions, ListOptions, check_id
from nearline.schema.definitions import nearest
from nearline.state import State

O = TypeVar("O", bound=ItemOptions)  # noqa: E741 (a type variable)


def resolved(options: O, state: State) -> O:
    """Return `options` with the values of the scenario and the defaults where not set.

    Values of the request have priority over those of the scenario. The result is unchanged by
    another call.

    Raises
    ------
    UnknownScenario
        There is no scenario of this name.
    """
    if options.scenario is not None:
        name = check_id(options.scenario, "scenario")
        scenarios = state.definitions.scenarios
        if name not in scenarios:
            raise UnknownScenario(f"there is no scenario {name!r:.100}{nearest(name, scenarios)}")
        options = scenarios[name].applied_to(options)
    if not isinstance(options, ListOptions) or (
        options.k is not None and options.exclude_seen is not None
    ):
        return options
    return replace(
        options,
        k=DEFAULT_K if options.k is None else options.k,
        exclude_seen=options.exclude_seen is not False,
    )


def check_definition(record: Defined, view: View) -> None:
    """Check what of a definition depends on the catalogue: the names in its expressions.

    Raises
    ------
    InvalidInput
        An expression is invalid; the error names the field.
    """
    check = view.expressions.check
    for field in ("filter", "boost"):
        if record.body.get(field):
            check(record.body[field], field, factor=field == "boost")
    for action in ("bury", "scale"):
        if action in record.body:
            check(record.body[action]["filter"], f"{action}.filter")
    if record.body.get("fields"):
        check_fields(record.body["fields"], view.state)
    kind = record.body.get("because")
    if kind is not None and view.state.config.weight(kind) <= 0:
        raise InvalidInput(
            f"because is {kind!r:.100}, whose weight is not positive; name a kind of event that "
            "shows interest, such as purchase",
            field="because",
        )
