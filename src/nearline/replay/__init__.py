"""Replay a data set as the stream that it once was: recommend before each event, learn after it."""

from nearline.replay.arms import ARMS, Arm
from nearline.replay.prequential import Outcome, choose_settings, replay
from nearline.replay.report import Report, summarise
from nearline.replay.stream import Stream, make_stream, spread

__all__ = [
    "ARMS",
    "Arm",
    "Outcome",
    "Report",
    "Stream",
    "choose_settings",
    "make_stream",
    "replay",
    "spread",
    "summarise",
]
