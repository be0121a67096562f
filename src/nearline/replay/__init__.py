"""Prequential evaluation: replay events in order of time; predict each event, then learn it."""

from nearline.replay.policies import POLICIES, ReplayPolicy
from nearline.replay.prequential import ReplayOutcome, choose_settings, replay
from nearline.replay.report import ReplayReport, summarise
from nearline.replay.stream import Stream, make_stream, spread

__all__ = [
    "POLICIES",
    "ReplayOutcome",
    "ReplayPolicy",
    "ReplayReport",
    "Stream",
    "choose_settings",
    "make_stream",
    "replay",
    "spread",
    "summarise",
]
