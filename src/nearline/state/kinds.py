"""Names that other programs use for the kinds of events with standard weights."""

import re
from functools import lru_cache

STANDARD_WEIGHTS = {
    "view": 1.0,
    "click": 1.0,
    "open": 1.0,
    "play": 1.0,
    "rating": 1.0,
    "save": 2.0,
    "share": 2.0,
    "like": 2.0,
    "cart": 2.0,
    "purchase": 3.0,
    "remove": -0.5,
    "skip": -0.5,
    "low_rating": -0.5,
    "dislike": -1.0,
    "hide": -1.0,
    "refund": -1.0,
}
# Other names of each standard kind, in the form of `folded`.
_SYNONYMS = {
    "view": "viewed views pageview productview productviewed viewproduct viewitem itemview "
    "itemviewed viewcontent detailview productdetail visit visited browse seen",
    "click": "clicked clicks productclick productclicked itemclick itemclicked selectitem "
    "clickthrough",
    "open": "opened",
    "play": "played plays listen listened watch watched stream streamed read",
    "rating": "rate rated ratings review reviewed",
    "save": "saved wishlist addtowishlist productaddedtowishlist favorite favourite favorited "
    "favourited addtofavorites addtofavourites bookmark bookmarked follow",
    "share": "shared productshared",
    "like": "liked likes upvote upvoted thumbsup love loved",
    "cart": "addtocart addedtocart cartadd addcart addtobasket addedtobasket addtobag basket "
    "productadded additem begincheckout checkoutstarted",
    "purchase": "purchased purchases buy bought order ordered orders orderplaced ordercompleted "
    "completeorder transaction sale sold checkoutcompleted paid productpurchased",
    "remove": "removed removefromcart removedfromcart cartremove removefrombasket "
    "removefromwishlist productremoved productremovedfromwishlist unlike unliked unsave "
    "unfavorite unfavourite unfollow uncart",
    "skip": "skipped",
    "low_rating": "lowrating",
    "dislike": "disliked dislikes downvote downvoted thumbsdown hate",
    "hide": "hidden block blocked notinterested dismiss dismissed report reported",
    "refund": "refunded refunds return returned returns orderrefunded productrefunded cancel "
    "cancelled canceled ordercancelled ordercanceled",
}
# Standard kinds by folded name.
STANDARD_KINDS = {
    name: kind
    for kind, synonyms in _SYNONYMS.items()
    for name in (kind.replace("_", ""), *synonyms.split())
}


@lru_cache(maxsize=10_000)
def folded(kind: str) -> str:
    """Return the letters and digits of a name with folded case, by which names are compared."""
    return re.sub(r"[\W_]+", "", kind.casefold())


def standard_kind(kind: str) -> str | None:
    """Return the standard kind of which `kind` is a name, or None."""
    return STANDARD_KINDS.get(folded(kind))
