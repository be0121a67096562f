"""Composite rows, such as "because you bought X": lists made from one item of the history.

The scenario names a kind of event. The anchor of a user is the item of the newest event whose
weight is at least that of the kind (histories store weights, not kinds). The model then sees only
this event, while exclusions apply to the whole history. A user without such an event gets the list
without an anchor.
"""

import numpy as np
from msgspec.structs import replace

from nearline.recommend.lists import Query
from nearline.schema import ListOptions
from nearline.state import State


def anchored(query: Query, kind: str) -> Query:
    """Return a query whose candidates come from the anchor of each user."""
    histories = query.histories
    enough = histories.weights >= query.view.state.config.weight(kind)
    keep = np.ones(len(histories.items), dtype=np.bool_)
    for user in range(len(histories)):
        row = query.row(user)
        anchors = np.flatnonzero(enough[row])
        if len(anchors):
            keep[row] = False
            keep[row.start + anchors[-1]] = True
    hidden = tuple(query.ruled_out(user) for user in range(len(histories)))
    return replace(query, histories=histories.take(keep), hidden=hidden)


def anchor_of(query: Query) -> str | None:
    """Return the ID of the anchor of a query of one user; None if it has none."""
    kind = anchor_kind(query.options, query.view.state)
    if kind is None or len(query.histories.items) != 1:
        return None
    if query.histories.weights[0] < query.view.state.config.weight(kind):
        return None
    return query.view.state.items.id_of(int(query.histories.items[0]))


def anchor_kind(options: ListOptions, state: State) -> str | None:
    """Return the kind of event by which the scenario of a request chooses an anchor."""
    if options.scenario is None:
        return None
    scenario = state.definitions.scenarios.get(options.scenario)
    return None if scenario is None else scenario.because
