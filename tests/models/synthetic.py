"""A small made-up shop: groups of items with popular and rare ones, users who keep to a group."""

import numpy as np

from nearline.data.dataset import Dataset, Histories

N_USERS, N_ITEMS, N_GROUPS, LENGTH = 240, 60, 4, 7


def shop(seed: int = 0) -> tuple[Dataset, Histories]:
    """Training data and, for each user, one more item: mostly of the user's own group."""
    rng = np.random.default_rng(seed)
    group = np.arange(N_ITEMS) % N_GROUPS
    popularity = 1.0 / (1.0 + np.arange(N_ITEMS)) ** 0.7
    rows = []
    for user in range(N_USERS):
        chances = popularity * np.where(group == user % N_GROUPS, 12.0, 1.0)
        rows.append(rng.choice(N_ITEMS, LENGTH + 1, replace=False, p=chances / chances.sum()))
    data = Dataset(
        user_ids=[f"u{user}" for user in range(N_USERS)],
        item_ids=[f"i{item}" for item in range(N_ITEMS)],
        histories=Histories.from_rows([row[:LENGTH].tolist() for row in rows]),
        values=np.concatenate(
            [ratings(row[:LENGTH], group, user) for user, row in enumerate(rows)]
        ),
        texts=[f"group{group[item]} thing number{item}" for item in range(N_ITEMS)],
        vectors={"colour": np.eye(N_GROUPS, dtype=np.float32)[group]},
    )
    return data, Histories.from_rows([[int(row[LENGTH])] for row in rows])


def ratings(items: np.ndarray, group: np.ndarray, user: int) -> np.ndarray:
    """Five or four for the user's own group, two or one for others: by the item's number."""
    own = group[items] == user % N_GROUPS
    given: np.ndarray = np.where(own, 5.0, 2.0).astype(np.float32) - (items % 3 == 0)
    return given


def recall(items: np.ndarray, targets: Histories) -> float:
    """Share of users whose one target is in their list."""
    return float((items == targets.items[:, None]).any(axis=1).mean())


def dataset(rows: list[list[int]], n_items: int, texts: list[str] | None = None) -> Dataset:
    histories = Histories.from_rows(rows)
    return Dataset(
        user_ids=[str(u) for u in range(len(rows))],
        item_ids=[str(i) for i in range(n_items)],
        histories=histories,
        values=np.full(len(histories.items), np.nan, dtype=np.float32),
        texts=texts,
    )
