"""Order of publication: accuracy on the Amazon 2014 sets by the direction of the last pair.

Reviews of one day stand in order of ASIN in these files, so that the item number of the last pair
of a user rises more often than in half of the cases. The table shows all users, those whose last
pair rises, and those whose last pair falls. Protocol: strict (see `benchmarks.accuracy_amazon`),
all items ranked, seed 0.
"""

import json
import time
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from benchmarks.machine import RESULTS, write, write_page

from nearline.data import leave_one_out, load_dataset, make_dataset
from nearline.encoders import add_language
from nearline.evaluation import judge, ndcg, recall
from nearline.models.registry import make_model

K, SEED = 10, 0
NAME = "regimes_publication_order"
SETS = ("amazon-toys", "amazon-beauty", "amazon-sports")
# Model, and whether items have texts.
VARIANTS: dict[str, tuple[str, bool]] = {
    "popularity": ("popularity", False),
    "item kNN": ("item_knn", False),
    "item graph, ids": ("item_graph", False),
    "item graph, ids and text": ("item_graph", True),
    "transformer, ids": ("sasrec", False),
    "transformer, ids and text": ("sasrec", True),
    "best": ("learned_ranking", True),
}
