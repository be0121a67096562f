"""Pages of all items and all users, in alphabetical order of their IDs.

A cursor names the last ID of a page. The order of IDs never changes, so that over all pages nothing
occurs twice, and nothing is missed that was there all the time, whatever else is written meanwhile.
"""

import msgspec

from nearline.common.signing import SIGNATURE_BYTES, Signer
from nearline.errors import InvalidInput
from nearline.expressions import Bindings
from nearline.recommend.lists import View
from nearline.schema.answers import ItemPage, ListedItem, ListedUser, UserPage
from nearline.schema.questions import ItemsRequest, UsersRequest, check_page
from nearline.state import State

# Purposes of cursors.
ITEMS, USERS = "items", "users"
# For a view without a secret: a cursor says nothing that its holder could not send without one.
UNSIGNED = Signer(bytes(SIGNATURE_BYTES))
# IDs that are read at a time where a filter leaves some out.
AT_ONCE = 1_000


def item_page(request: ItemsRequest, view: View) -> ItemPage:
    """Return the next items: all entries, and items known from events only; none deleted.

    Raises
    ------
    InvalidInput
        An option is invalid, or the cursor does not belong to this listing.
    """
    check_page(request)
    state = view.state
    after = _position(request.cursor, ITEMS, request.filter, view)
    mask = None
    if request.filter:
        mask = view.expressions.mask(request.filter, Bindings({}, {}, view.now))
    lines: list[ListedItem] = []
    while True:
        names = state.items.after(after, AT_ONCE if mask is not None else request.k + 1)
        for name in names:
            if len(lines) == request.k:
                return ItemPage(
                    items=tuple(lines), next=_cursor(ITEMS, after, request.filter, view)
                )
            after = name
            index = state.items[name]
            if mask is not None and not (index < len(mask) and mask[index]):
                continue
            listed = _listed(name, index, state)
            if listed is not None:
                lines.append(listed)
        if not names:
            return ItemPage(items=tuple(lines), next=None)


def user_page(request: UsersRequest, view: View) -> UserPage:
    """Return the next users: those with events or with attributes."""
    check_page(request)
    state = view.state
    after = _position(request.cursor, USERS, None, view)
    wanted = request.k + 1
    names = {*state.users.after(after, wanted), *state.profiles.after(after, wanted)}
    first = sorted(names)[:wanted]
    page = first[: request.k]
    users = tuple(ListedUser(user_id=name, attributes=state.profiles.stored(name)) for name in page)
    more = len(first) > request.k
    return UserPage(users=users, next=_cursor(USERS, page[-1], None, view) if more else None)


def _listed(name: str, index: int, state: State) -> ListedItem | None:
    """Return an item as it is listed; None if it was deleted."""
    entry = state.catalogue.entry(index)
    if entry is not None:
        return ListedItem(**{name: getattr(entry, name) for name in ListedItem.__struct_fields__})
    if not state.catalogue.available()[index]:
        return None
    return ListedItem(item_id=name)


def _cursor(kind: str, after: str, text: str | None, view: View) -> str:
    return _signer(view).sign(kind, msgspec.json.encode((after, text or "")))


def _position(cursor: str | None, kind: str, text: str | None, view: View) -> str:
    """Return the ID after which a page begins; "" for the first page."""
    if cursor is None:
        return ""
    content = _signer(view).verify(kind, cursor, "cursor")
    after, before = msgspec.json.decode(content, type=tuple[str, str])
    if before != (text or ""):
        raise InvalidInput(
            "cursor belongs to a listing with another filter; send the filter of the first page, "
            "or omit the cursor to begin again",
            field="cursor",
        )
    return after


def _signer(view: View) -> Signer:
    return view.signer or UNSIGNED
