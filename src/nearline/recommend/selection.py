"""What the expressions of a request select: allowed items, factors of scores, and shown fields."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.errors import InvalidInput
from nearline.expressions import Bindings, parse
from nearline.expressions.checking import unknown
from nearline.recommend.lists import View
from nearline.schema import BoostOptions, ItemOptions, check_item_options
from nearline.state import State, Top

Scores = NDArray[np.float64]
# Fields of an entry that an answer can show, beside attributes.
SHOWN = ("item_id", "title", "text", "categories", "timestamp", "available", "expires_at")


def bindings_of(options: BoostOptions, view: View, user_id: str | None) -> Bindings:
    """Return what the expressions of a request know beside the catalogue."""
    user = {} if user_id is None else view.state.user_attributes(user_id)
    return Bindings(user, options.context or {}, view.now)


def selected(
    allowed: NDArray[np.bool_], options: ItemOptions, view: View, bindings: Bindings
) -> NDArray[np.bool_]:
    """Return which of the allowed items the filter of a request selects: bool [n_items].

    Raises
    ------
    InvalidInput
        The filter is invalid.
    """
    if not options.filter:
        return allowed
    mask = view.expressions.mask(options.filter, bindings)
    n = min(len(mask), len(allowed))
    return mask[:n] & allowed[:n]


class Choice(NamedTuple):
    """What the expressions of a request choose.

    Attributes
    ----------
    allowed : bool [n]
        Which items are available and selected by the filter.
    factors : float64 or None
        Factors of the boost, at least as long as `allowed`.
    bindings : Bindings
        What the expressions know beside the catalogue.
    """

    allowed: NDArray[np.bool_]
    factors: Scores | None
    bindings: Bindings


def choose(
    options: ItemOptions,
    view: View,
    user_id: str | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> Choice:
    """Check the options of a request, and evaluate its filter and its boost.

    Parameters
    ----------
    user_id : str or None
        User whose attributes the expressions use.
    allowed : bool [n_items] or None
        The items to choose from; None for all that are available.

    Raises
    ------
    InvalidInput
        An option is invalid.
    """
    check_item_options(options)
    if options.fields:
        check_fields(options.fields, view.state)
    bindings = bindings_of(options, view, user_id)
    factors = factors_of(options, view, bindings)
    if allowed is None:
        allowed = view.state.catalogue.available()
    allowed = selected(allowed, options, view, bindings)
    if factors is not None:  # items that are newer than the factors are in the next list
        allowed = allowed[: len(factors)]
    return Choice(allowed, factors, bindings)


def without(allowed: NDArray[np.bool_], items: Iterable[int]) -> NDArray[np.bool_]:
    """Return `allowed` without some items: bool [n]."""
    listed = [item for item in items if item < len(allowed)]
    if not listed:
        return allowed
    allowed = allowed.copy()
    allowed[listed] = False
    return allowed


def factors_of(options: BoostOptions, view: View, bindings: Bindings) -> Scores | None:
    """Return the factor of each item by the boost of a request: float64 [n_items]; None without.

    Raises
    ------
    InvalidInput
        The boost is invalid.
    """
    return view.expressions.factors(options.boost, bindings) if options.boost else None


def names_of_user(options: ItemOptions, more: Iterable[str] = ()) -> frozenset[str]:
    """Return the attributes of the user that the expressions of a request, and more, use."""
    texts = [text for text in (options.filter, options.boost, *more) if text]
    return frozenset().union(*(parse(text).user_names for text in texts))


def uses_time(options: ItemOptions, more: Iterable[str] = ()) -> bool:
    """Return whether an expression of a request, or one more, depends on the time."""
    return any(parse(text).timed for text in (options.filter, options.boost, *more) if text)


def boosted(scores: Any, factors: Any) -> Any:
    """Multiply scores by factors; a score below 0 is divided, so that a large factor raises it."""
    if np.min(scores, initial=0.0) >= 0.0:
        return scores * factors
    with np.errstate(divide="ignore"):
        return np.where(scores >= 0.0, scores * factors, scores / factors)


class Order(NamedTuple):
    """The first items of an order.

    Attributes
    ----------
    items : int32 [m]
        Allowed items among the first n, best first.
    scores : float64 [m]
        Their scores, which do not increase.
    least : float
        No other allowed item has a higher score; -inf if there is no other allowed item.
    """

    items: NDArray[np.int32]
    scores: Scores
    least: float


def first_boosted(order: Callable[[int], Order], k: int, factors: Scores | None) -> Top:
    """Return the `k` allowed items with the largest scores times factors.

    Searches an order of scores without factors only as far as an item could still enter: no item
    with a score below s can get more than s times the largest factor.

    Parameters
    ----------
    order : callable
        Returns the first n items of the order.
    factors : float64 [n_items] or None
        Factor of each item; None for 1.

    Returns
    -------
    Top
        Items with equal scores are sorted by factor, and then by index.
    """
    n = k if factors is None else 4 * k + 50
    highest = 1.0 if factors is None else float(factors.max(initial=0.0))
    while True:
        found = order(n)
        complete = found.least == -np.inf
        if factors is None:
            if complete or len(found.items) >= k:
                return Top(found.items[:k], found.scores[:k])
        else:
            mine = factors[found.items]
            scores = boosted(found.scores, mine)
            best = np.lexsort((found.items, -mine, -scores))[:k]
            bound = found.least if complete else boosted(found.least, highest)
            if complete or (len(best) == k and scores[best[-1]] > bound):
                return Top(found.items[best], scores[best])
        n *= 4


def shown(item: int, names: Iterable[str], state: State) -> dict[str, Any]:
    """Return the fields and attributes of an item that it has, by name."""
    entry = state.catalogue.get(item)
    found: dict[str, Any] = {}
    for name in names:
        if name == "item_id":
            found[name] = state.items.id_of(item)
        elif entry is not None:
            value = getattr(entry, name) if name in SHOWN else entry.attributes.get(name)
            if value is not None and value != "":
                found[name] = value
    return found


def check_fields(names: Iterable[str], state: State) -> None:
    """Raise `InvalidInput` if no item has an attribute of one of these names."""
    for name in names:
        if name not in SHOWN and not state.catalogue.has_attribute(name):
            known = [*SHOWN, *state.catalogue.attribute_names()]
            raise InvalidInput(f"fields: {unknown(name, known, '')}", field="fields")
