"""The facade `Recommender`, which Python users, HTTP and the command line share.

Each module has one group of its methods as a class, and `base` has what the groups share.
"""

from nearline.engine.recommender import Recommender

__all__ = ["Recommender"]
