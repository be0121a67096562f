"""Replay a data set as the stream that it once was: recommend before each event, learn after it."""

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
