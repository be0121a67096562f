"""Tables of users, and their encoding as numbers."""

import logging
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.data import UserEncoder, leave_one_out, make_dataset, read_interactions, read_users
from nearline.errors import Damaged, InvalidInput


def table(**cells: Any) -> pa.Table:
    ids = [f"u{row}" for row in range(len(next(iter(cells.values()))))]
    return read_users(pa.table({"user_id": ids} | cells))[0]


def test_numbers_by_hand() -> None:
    users = table(
        age=[20, 40, None],
        height=["1.5", "", "2.5"],
        since=pa.array([datetime(1970, 1, 2, tzinfo=UTC), None, datetime(1970, 1, 4, tzinfo=UTC)]),
        same=[7.0, math.nan, 7.0],
    )
    encoder = UserEncoder.fit(users)
    assert encoder.names == ["age", "height", "since", "same"]
    assert [(c.mean, c.spread) for c in encoder.columns] == [
        *((30.0, 10.0), (2.0, 0.5)),
        *((172_800.0, 86_400.0), (7.0, 1.0)),
    ]
    found = encoder.encode(users)
    assert found.dtype == np.float32
    assert found.tolist() == [[-1, -1, -1, 0], [1, 0, 0, 0], [0, 1, 1, 0]]


def test_categories_by_hand() -> None:
    users = table(
        sex=["f", " m", "f", "f", None],
        member=[True, None, False, True, True],
        job=pd.Categorical(["cook", "nurse", "nurse", "", "cook"]),
    )
    encoder = UserEncoder.fit(users)
    names = ["sex=f", "sex=m", "member=true", "member=false", "job=cook", "job=nurse"]
    assert encoder.names == names
    assert encoder.encode(users).tolist() == [
        [1, 0, 1, 0, 1, 0],
        [0, 1, 0, 0, 0, 1],
        [1, 0, 0, 1, 0, 1],
        [1, 0, 1, 0, 0, 0],
        [0, 0, 1, 0, 1, 0],
    ]


def test_only_the_most_frequent_labels_are_encoded() -> None:
    labels = [f"c{number:02}" for number in range(66) for _ in range(2 + (number == 65))]
    encoder = UserEncoder.fit(table(town=labels))
    assert encoder.names == [f"town=c{n:02}" for n in (65, *range(63))]
    assert encoder.encode(table(town=["c65", "c63"])).sum(axis=1).tolist() == [1, 0]


def test_other_text_is_left_out_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    users = table(age=[1, 2, 3], motto=["a b", "c d", "e f"], empty=pa.nulls(3), blank=[""] * 3)
    with caplog.at_level(logging.WARNING):
        assert UserEncoder.fit(users).names == ["age"]
    assert "users: motto, empty, blank left out" in caplog.text


def test_a_new_user() -> None:
    users = table(age=[20, 40, 20, 40], job=["cook", "nurse", "cook", "nurse"])
    encoder = UserEncoder.fit(users)
    one = pa.Table.from_pylist([{"job": "nurse", "shoe": 43}])
    assert encoder.encode(one).tolist() == [[0, 0, 1]]
    assert encoder.encode(pl.DataFrame({"age": [50], "job": ["baker"]})).tolist() == [[2, 0, 0]]
    again = UserEncoder.restore(encoder.arrays())
    assert again.columns == encoder.columns
    with pytest.raises(InvalidInput, match=r"columns shoe; give at least one of .* age, job"):
        encoder.encode(pa.table({"shoe": [43]}))
    with pytest.raises(InvalidInput, match="age"):
        encoder.encode(pa.table({"age": ["old"]}))
    with pytest.raises(Damaged, match="fit again"):
        UserEncoder.restore({"columns": np.zeros(3, dtype=np.uint8)})


CELLS = st.lists(
    st.tuples(
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.sampled_from(["a", "b", "c", "\0", "ä"])),
        st.booleans(),
    ),
    min_size=1,
    max_size=20,
)


@given(CELLS, st.randoms(use_true_random=False))
def test_the_order_of_rows_does_not_matter(rows: list[Any], random: Any) -> None:
    numbers, labels, flags = zip(*rows, strict=True)
    users = table(
        number=pa.array(numbers, pa.float64()), label=pa.array(labels, pa.string()), flag=flags
    )
    order = list(range(len(rows)))
    random.shuffle(order)
    one, two = UserEncoder.fit(users), UserEncoder.fit(users.take(order))
    assert one.columns == two.columns
    found = one.encode(users)
    assert found.shape == (len(rows), len(one.names))
    assert np.isfinite(found).all()
    assert np.array_equal(found[order], two.encode(users.take(order)))


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_frames(kind: Any) -> None:
    users, report = read_users(kind({"user_id": [7, 8], "age": [30, 40]}))
    assert users.to_pydict() == {"user_id": ["7", "8"], "age": [30, 40]}
    assert report.rows_dropped == 0


def test_csv_and_mapped_ids(tmp_path: Path) -> None:
    path = tmp_path / "users.csv"
    path.write_text("customer,age\n007,30\n7,40\n")
    users, _ = read_users(path, {"user_id": "customer"})
    assert users.to_pydict() == {"user_id": ["007", "7"], "age": ["30", "40"]}
    with pytest.raises(InvalidInput, match=r"columns=\{'user_id': 'customer'\}"):
        read_users(path)


def test_rows_that_are_dropped() -> None:
    users, report = read_users(
        pa.table(
            {"user_id": ["a", None, "", "b\0", "x" * 513, "a", "c"], "n": [1, 2, 3, 4, 5, 6, 7]}
        )
    )
    assert users.to_pydict() == {"user_id": ["a", "c"], "n": [6, 7]}
    assert [(entry.reason, entry.rows) for entry in report.dropped] == [
        ("user_id is missing", 2),
        ("user_id has more than 512 bytes", 1),
        ("user_id contains a NUL character", 1),
        ("user_id occurs again in a later row, which replaces this one", 1),
    ]
    with pytest.raises(InvalidInput, match="no usable user is left: 1 row read"):
        read_users(pa.table({"user_id": [""]}))


@pytest.mark.parametrize(
    ("cells", "says"),
    [
        ({"odd": [[1.0]]}, "'odd' of users is of type list"),
        ({"age": [math.inf]}, "'age' of users contains inf in row 0"),
        ({"age": [1e16]}, "at most 1e[+]15"),
        ({"name": ["Ann"]}, "none of which can be used; add a number, or a label"),
    ],
)
def test_tables_that_cannot_be_used(cells: dict[str, Any], says: str) -> None:
    with pytest.raises(InvalidInput, match=says):
        UserEncoder.fit(table(**cells))


def test_datasets_contain_user_features() -> None:
    events = read_interactions(
        pa.table({"user_id": ["v", "u", "v"], "item_id": ["a", "a", "b"], "timestamp": [1, 2, 3]})
    )
    users, _ = read_users(pa.table({"user_id": ["w", "v"], "age": [20, 40]}))
    data = make_dataset(events, users=users)
    assert data.user_ids == ["v", "u", "w"]
    assert data.histories.indptr.tolist() == [0, 2, 3, 3]
    assert data.user_features is not None
    # User u has no attributes.
    assert data.user_features.tolist() == [[1], [0], [-1]]
    assert data.user_encoder is not None
    assert data.user_encoder.names == ["age"]
    split = leave_one_out(data)
    assert split.train.user_features is data.user_features
    assert data.rated().user_features is data.user_features
    plain = make_dataset(events)
    assert plain.user_ids == ["v", "u"]
    assert plain.user_features is None
    assert plain.user_encoder is None
