"""A log in a SQLite file that other processes of the machine follow.

The process that has the log open, the *writer*, offers a channel: a Unix socket over which it tells
followers how far the log reaches and which records were erased. Followers read the records from the
file.
"""

from nearline.log.channel.followed import FollowedLog, followed_through, following
from nearline.log.channel.server import LogChannel

__all__ = ["FollowedLog", "LogChannel", "followed_through", "following"]
