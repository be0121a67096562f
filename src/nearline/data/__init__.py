"""Reading of files and frames as interactions, and their conversion to arrays."""

from nearline.data.build import Weight, histories_for, make_dataset, same_weight
from nearline.data.cleaning import CleaningConfig, clean
from nearline.data.dataset import LANGUAGE, Dataset, FloatArray, Histories, IntArray
from nearline.data.events import event_ids, to_events
from nearline.data.from_log import dataset_from_log
from nearline.data.interactions import read_interactions, read_user_ids
from nearline.data.item_columns import without_item_fields
from nearline.data.items import ItemsReport, read_items
from nearline.data.order import NONE, POSITIONS, TIMES, Order, in_own_order
from nearline.data.public import PublicDataset, load_dataset, synthetic_shop
from nearline.data.public.base import cache_folder
from nearline.data.report import CleaningReport
from nearline.data.sources import read_table, to_frame
from nearline.data.splits import (
    Split,
    cold_items,
    cold_users,
    hold_out,
    leave_one_out,
    random_folds,
    random_split,
    set_split,
    stratified_split,
    time_split,
    user_time_split,
)
from nearline.data.users import UserEncoder, read_users

__all__ = [
    "LANGUAGE",
    "NONE",
    "POSITIONS",
    "TIMES",
    "CleaningConfig",
    "CleaningReport",
    "Dataset",
    "FloatArray",
    "Histories",
    "IntArray",
    "ItemsReport",
    "Order",
    "PublicDataset",
    "Split",
    "UserEncoder",
    "Weight",
    "cache_folder",
    "clean",
    "cold_items",
    "cold_users",
    "dataset_from_log",
    "event_ids",
    "histories_for",
    "hold_out",
    "in_own_order",
    "leave_one_out",
    "load_dataset",
    "make_dataset",
    "random_folds",
    "random_split",
    "read_interactions",
    "read_items",
    "read_table",
    "read_user_ids",
    "read_users",
    "same_weight",
    "set_split",
    "stratified_split",
    "synthetic_shop",
    "time_split",
    "to_events",
    "to_frame",
    "user_time_split",
    "without_item_fields",
]
