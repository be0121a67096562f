"""The state in memory: histories, counters and catalogue, which result from the log's records."""

from nearline.state.audience import users_with
from nearline.state.catalogue import Catalogue
from nearline.state.changes import Added, Follower, Reflected, UsersChanged
from nearline.state.checkpoint import AheadOfLog, remove_unfinished
from nearline.state.checkpoint import load as load_checkpoint
from nearline.state.checkpoint import save as save_checkpoint
from nearline.state.config import StateConfig
from nearline.state.counters import Counters, Top
from nearline.state.definitions import Definitions
from nearline.state.histories import UserHistory
from nearline.state.kinds import STANDARD_WEIGHTS
from nearline.state.leaders import best
from nearline.state.matches import CatalogueMatch, match_catalogue
from nearline.state.state import State
from nearline.state.vocabulary import Vocabulary

__all__ = [
    "STANDARD_WEIGHTS",
    "Added",
    "AheadOfLog",
    "Catalogue",
    "CatalogueMatch",
    "Counters",
    "Definitions",
    "Follower",
    "Reflected",
    "State",
    "StateConfig",
    "Top",
    "UserHistory",
    "UsersChanged",
    "Vocabulary",
    "best",
    "load_checkpoint",
    "match_catalogue",
    "remove_unfinished",
    "save_checkpoint",
    "users_with",
]
