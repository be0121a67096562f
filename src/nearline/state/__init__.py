"""What the log amounts to, held in memory."""

from nearline.state.catalogue import Catalogue
from nearline.state.checkpoint import load as load_checkpoint
from nearline.state.checkpoint import save as save_checkpoint
from nearline.state.config import STANDARD_WEIGHTS, StateConfig
from nearline.state.counters import Counters, Top
from nearline.state.histories import UserHistory
from nearline.state.leaders import best
from nearline.state.matches import CatalogueMatch, match_catalogue
from nearline.state.state import Added, Follower, State
from nearline.state.vocabulary import Vocabulary

__all__ = [
    "STANDARD_WEIGHTS",
    "Added",
    "Catalogue",
    "CatalogueMatch",
    "Counters",
    "Follower",
    "State",
    "StateConfig",
    "Top",
    "UserHistory",
    "Vocabulary",
    "best",
    "load_checkpoint",
    "match_catalogue",
    "save_checkpoint",
]
