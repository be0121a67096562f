"""Pages of a list: cursors that contain which items earlier pages showed.

A cursor is stateless: any process with the secret of the store can continue the list, also after a
restart. It contains the indices of all items shown so far, so that no item comes twice, whatever
happens between two pages. The next page is the list of the same request without these items.

Content of a cursor: version (1 byte), digest of the request (12), check of the item numbers (8),
then the ascending item indices, each as its difference to the previous one in LEB128.
"""

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from nearline.common.signing import Signer
from nearline.errors import InvalidInput
from nearline.recommend.lists import View
from nearline.schema import DEFAULT_K, Answer, RecommendationRequest
from nearline.state import State

# Items that the pages of one list can show together; a cursor then has about 3,000 characters in a
# catalogue of 100,000 items.
MAX_SHOWN = 2_000
PURPOSE = "cursor"
_ITEMS, _END = b"\x01", b"\x02"
_REQUEST_BYTES, _CHECK_BYTES = 12, 8
_HEAD = 1 + _REQUEST_BYTES + _CHECK_BYTES
_ENCODER = msgspec.json.Encoder(order="sorted", enc_hook=repr)
# Fields that may differ between the pages of a list, each with a value that stands for all.
_FREE: dict[str, Any] = {
    **{"cursor": None, "k": 10, "explain": False, "rerank": False},
    "track": None,
}


def shown_before(request: RecommendationRequest, view: View) -> frozenset[int]:
    """Return the indices of the items that the pages before a request showed.

    Raises
    ------
    InvalidInput
        The cursor of the request is not valid for it; see `read_cursor`.
    """
    return _before(request.cursor, view, lambda: digest_of(request, **_FREE))


def _before(cursor: object, view: View, question: Callable[[], bytes]) -> frozenset[int]:
    if cursor is None:
        return frozenset()
    if not isinstance(cursor, str):
        raise _refused(f"cursor is {cursor!r:.50}; it must be a text")
    if view.signer is None:
        raise _refused("cursor cannot be used, because this store has no secret; leave it out")
    return read_cursor(cursor, question(), view.state, view.signer)


def continued(answer: Answer, request: RecommendationRequest, view: View) -> Answer:
    """Return an answer with the cursor of its next page, if its list is full.

    `request` has the options of its scenario, as `scenarios.resolved` returns it.
    """
    if view.signer is None or len(answer.items) < (request.k or DEFAULT_K):
        return answer if answer.next is None else replace(answer, next=None)
    added = (view.state.items[line.item_id] for line in answer.items)
    shown = {*shown_before(request, view), *added}
    question = digest_of(request, **_FREE)
    return replace(answer, next=make_cursor(shown, question, view.state, view.signer))


class Pages:
    """The pages of a list that is not for a user: which items earlier pages showed, and the next.

    Parameters
    ----------
    request : Struct
        The options, without those that may differ between pages.
    about : tuple of str
        What else must be equal, such as the item whose neighbours are listed.
    """

    def __init__(self, request: Struct, about: tuple[str, ...], view: View) -> None:
        self._question = digest_of(_Question(about, request))
        self._view = view

    def before(self, cursor: str | None) -> frozenset[int]:
        """Return the indices of the items that earlier pages showed; see `read_cursor`."""
        return _before(cursor, self._view, lambda: self._question)

    def after(self, before: Iterable[int], page: NDArray[np.int32]) -> str | None:
        """Return the cursor behind a page; None if the store has no secret."""
        view = self._view
        if view.signer is None:
            return None
        shown = {*before, *page.tolist()}
        return make_cursor(shown, self._question, view.state, view.signer)


class _Question(Struct):
    about: tuple[str, ...]
    request: Struct


def make_cursor(shown: Iterable[int], question: bytes, state: State, signer: Signer) -> str:
    """Return the cursor for the page after those that showed some items.

    Parameters
    ----------
    shown : iterable of int
        Distinct indices of the items on all pages so far.
    question : bytes
        Result of `digest_of` for the request.
    """
    items = sorted(shown)
    if len(items) > MAX_SHOWN:
        return signer.sign(PURPOSE, _END + question)
    content = b"".join((_ITEMS, question, _check(items, state), _coded(items)))
    return signer.sign(PURPOSE, content)


def read_cursor(cursor: str, question: bytes, state: State, signer: Signer) -> frozenset[int]:
    """Return the indices of the items in a cursor.

    Raises
    ------
    InvalidInput
        The cursor was not made by this store or for this request, is behind the last page that is
        possible, or items have received other numbers since.
    """
    content = signer.verify(PURPOSE, cursor, "cursor")
    if content[1 : 1 + _REQUEST_BYTES] != question:
        raise _refused(
            "cursor belongs to another request; send the user, the history and the options of the "
            "page that contains it"
        )
    if content[:1] == _END:
        raise _refused(
            f"cursor is behind {MAX_SHOWN:,} items, which is the most that the pages of a list can "
            "show; narrow the request down, or leave the cursor out to start again"
        )
    items = _decoded(content[_HEAD:])
    numbered = not items or items[-1] < state.items.slots
    if not numbered or content[1 + _REQUEST_BYTES : _HEAD] != _check(items, state):
        raise _refused(
            "cursor is too old, because the items of the store have been numbered again since; "
            "leave it out to start again"
        )
    return frozenset(items)


def digest_of(request: Struct, **free: object) -> bytes:
    """Return a digest of what must be equal in the requests for all pages of a list.

    `free` are the fields that may differ, each with a value that stands for all.
    """
    made_from = _ENCODER.encode(replace(request, **free))
    return blake2b(made_from, digest_size=_REQUEST_BYTES).digest()


def _refused(message: str) -> InvalidInput:
    return InvalidInput(message, field="cursor")


def _check(items: list[int], state: State) -> bytes:
    """Return a digest of the IDs that the items have now."""
    names = "\0".join(map(state.items.id_of, items)).encode()  # IDs contain no NUL
    return blake2b(names, digest_size=_CHECK_BYTES).digest()


def _coded(items: list[int]) -> bytes:
    """Encode ascending numbers by their differences, seven bits a byte, lowest first."""
    out = bytearray()
    previous = 0
    for item in items:
        gap, previous = item - previous, item
        while gap > 0x7F:
            out.append(0x80 | gap & 0x7F)
            gap >>= 7
        out.append(gap)
    return bytes(out)


def _decoded(content: bytes) -> list[int]:
    items: list[int] = []
    item = gap = shift = 0
    for byte in content:
        gap |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            item += gap
            items.append(item)
            gap = shift = 0
    return items
