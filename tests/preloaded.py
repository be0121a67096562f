"""What the process loads from which `tests.forking` forks others.

It has no threads when it forks: the engine that loads the compiled kernels is closed.
"""

import gc

import hypothesis
import psutil
import pyarrow
import pytest

from nearline.engine import Recommender
from nearline.server import create_app, serve
from nearline.server.host import load_kernels

LOADED = (hypothesis, psutil, pyarrow, pytest, serve)

load_kernels()
create_app(Recommender)
gc.collect()
gc.freeze()
