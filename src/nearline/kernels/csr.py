"""Sparse matrices in compressed rows, with the operations that training and scoring need.

Sums are computed in the order of the stored entries, in the precision of the operands. A row of a
result depends on nothing but its own operands, so the number of threads does not change a bit.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, TypeAlias, overload

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, DTypeLike, NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Numbers: TypeAlias = NDArray[Any]


class Groups(NamedTuple):
    """Positions of equal keys: those of key g are ``order[indptr[g]:indptr[g + 1]]``, ascending."""

    indptr: Longs
    order: Longs


@njit(nogil=True, cache=True)
def _order(keys: Longs, place: Longs, order: Longs) -> None:
    for at in range(len(keys)):
        key = keys[at]
        order[place[key]] = at
        place[key] += 1


@njit(nogil=True, cache=True)
def _add_at(places: Longs, values: Numbers, out: Numbers) -> None:
    for at in range(len(values)):
        out[places[at]] += values[at]


@njit(nogil=True, cache=True)
def _times_dense(
    indptr: Longs, indices: Ints, data: Numbers, dense: Numbers, first: int, last: int, out: Numbers
) -> None:
    for row in range(first, last):
        for at in range(indptr[row], indptr[row + 1]):
            value, source = data[at], indices[at]
            for column in range(dense.shape[1]):
                out[row, column] += value * dense[source, column]


@njit(nogil=True, cache=True)
def _times_sparse(
    indptr: Longs,
    indices: Ints,
    data: Numbers,
    other_indptr: Longs,
    other_indices: Ints,
    other_data: Numbers,
    first: int,
    last: int,
    out: Numbers,
) -> None:
    for row in range(first, last):
        for at in range(indptr[row], indptr[row + 1]):
            value, source = data[at], indices[at]
            for entry in range(other_indptr[source], other_indptr[source + 1]):
                out[row, other_indices[entry]] += value * other_data[entry]


@njit(nogil=True, cache=True)
def _sparse_product(
    indptr: Longs,
    indices: Ints,
    data: Numbers,
    other_indptr: Longs,
    other_indices: Ints,
    other_data: Numbers,
    n_columns: int,
    starts: Longs,
    sizes: Longs,
    out_indices: Ints,
    out_data: Numbers,
) -> None:
    totals = np.zeros(n_columns, dtype=out_data.dtype)
    found = np.zeros(n_columns, dtype=np.bool_)
    for row in range(len(indptr) - 1):
        start, size = starts[row], 0
        for at in range(indptr[row], indptr[row + 1]):
            value, source = data[at], indices[at]
            for entry in range(other_indptr[source], other_indptr[source + 1]):
                column = other_indices[entry]
                totals[column] += value * other_data[entry]
                if not found[column]:
                    found[column] = True
                    out_indices[start + size] = column
                    size += 1
        out_indices[start : start + size].sort()
        for at in range(start, start + size):
            column = out_indices[at]
            out_data[at] = totals[column]
            totals[column] = 0
            found[column] = False
        sizes[row] = size


@dataclass(frozen=True, eq=False)
class Csr:
    """Sparse matrix in compressed rows.

    The attributes have the names that they have in SciPy, so that ``scipy.sparse.csr_array((m.data,
    m.indices, m.indptr), shape=m.shape)`` is the same matrix.

    Attributes
    ----------
    data : float [nnz]
        Value of each entry.
    indices : int32 [nnz]
        Column of each entry.
    indptr : int64 [n + 1]
        Row r has the entries from ``indptr[r]`` to ``indptr[r + 1] - 1``.
    shape : (int, int)
        Number of rows and columns.
    """

    data: Numbers
    indices: Ints
    indptr: Longs
    shape: tuple[int, int]

    # NumPy would otherwise make an array of objects of `array @ matrix`.
    __array_ufunc__ = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "indices", np.asarray(self.indices, dtype=np.int32))
        object.__setattr__(self, "indptr", np.asarray(self.indptr, dtype=np.int64))
        if len(self.indptr) != self.shape[0] + 1:
            raise ValueError(f"indptr has {len(self.indptr)} entries for {self.shape[0]} rows")

    @classmethod
    def from_pairs(
        cls, values: Numbers, rows: ArrayLike, columns: ArrayLike, shape: tuple[int, int]
    ) -> Self:
        """Create a matrix from entries in any order; the values of equal pairs are added.

        Columns are ascending in each row. Takes time proportional to the entries and the shape.

        Raises
        ------
        ValueError
            A row or column is outside of the shape.
        """
        by_column = group(columns, shape[1]).order
        indptr, order = group(np.asarray(rows)[by_column], shape[0])
        order = by_column[order]
        columns, values = np.asarray(columns, dtype=np.int32)[order], np.asarray(values)[order]
        first = np.ones(len(order), dtype=np.bool_)
        first[1:] = columns[1:] != columns[:-1]
        first[indptr[:-1][np.diff(indptr) > 0]] = True
        if first.all():
            return cls(values, columns, indptr, shape)
        before = np.concatenate(([0], np.cumsum(first)))
        sums = np.zeros(before[-1], dtype=values.dtype)
        _add_at(before[1:] - 1, values, sums)
        return cls(sums, columns[first], before[indptr], shape)

    @classmethod
    def from_dense(cls, array: Numbers) -> Self:
        """Create a matrix of the entries of an array, [n, m], that are not 0."""
        rows, columns = np.nonzero(array)
        indptr = np.concatenate(([0], np.cumsum(np.count_nonzero(array, axis=1))))
        return cls(
            array[rows, columns], columns.astype(np.int32), indptr, (len(array), array.shape[1])
        )

    @classmethod
    def from_rows(cls, rows: Rows, n_columns: int) -> Self:
        """Create a matrix that shares the arrays of `rows`."""
        return cls(rows.weights, rows.items, rows.indptr, (len(rows.indptr) - 1, n_columns))

    def to_rows(self) -> Rows:
        """Return the entries with float32 weights; arrays of that type are shared."""
        return Rows(self.indptr, self.indices, self.data.astype(np.float32, copy=False))

    @property
    def nnz(self) -> int:
        """Number of entries."""
        return len(self.data)

    @property
    def T(self) -> Self:  # noqa: N802 - the name that arrays give it
        """The transpose, with ascending columns; takes time proportional to the entries."""
        n, m = self.shape
        indptr, order = group(self.indices, m)
        return type(self)(self.data[order], self.row_of_each()[order], indptr, (m, n))

    def row_of_each(self) -> Ints:
        """Return the row of each entry: int32 [nnz]."""
        return np.repeat(np.arange(self.shape[0], dtype=np.int32), np.diff(self.indptr))

    def astype(self, dtype: DTypeLike) -> Self:
        """Return the matrix with values of another type."""
        return self.map(lambda data: data.astype(dtype, copy=False))

    def map(self, function: Callable[[Numbers], Numbers]) -> Self:
        """Return the matrix with the values that `function` makes of all values at once."""
        return type(self)(function(self.data), self.indices, self.indptr, self.shape)

    def scaled(self, rows: Numbers | None = None, columns: Numbers | None = None) -> Self:
        """Return the matrix with each row, and then each column, multiplied by a number."""
        data = self.data
        if rows is not None:
            data = np.repeat(rows, np.diff(self.indptr)) * data
        if columns is not None:
            data = data * columns[self.indices]
        return self.map(lambda _: data)

    def take(self, rows: NDArray[Any]) -> Self:
        """Return the rows with these numbers, in this order."""
        sizes = np.diff(self.indptr)[rows]
        indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        at = np.arange(indptr[-1]) + np.repeat(self.indptr[:-1][rows] - indptr[:-1], sizes)
        shape = (len(sizes), self.shape[1])
        return type(self)(self.data[at], self.indices[at], indptr, shape)

    def sum(self, axis: int) -> Numbers:
        """Return the sums of the columns (`axis` 0) or of the rows (1), in the type of the data."""
        sums = np.zeros(self.shape[1 - axis], dtype=self.data.dtype)
        if axis == 0:
            _add_at(self.indices.astype(np.int64), self.data, sums)
        elif self.nnz:
            filled = np.diff(self.indptr) > 0
            sums[filled] = np.add.reduceat(self.data, self.indptr[:-1][filled])
        return sums

    def toarray(self) -> Numbers:
        """Return the matrix as a dense array; entries of the same row and column are added."""
        out = np.zeros(self.shape, dtype=self.data.dtype)
        _add_at(
            self.row_of_each().astype(np.int64) * self.shape[1] + self.indices,
            self.data,
            out.reshape(-1),
        )
        return out

    @overload
    def __matmul__(self, other: Numbers) -> Numbers: ...
    @overload
    def __matmul__(self, other: "Csr") -> "Csr": ...
    def __matmul__(self, other: "Numbers | Csr") -> "Numbers | Csr":
        """Multiply by a vector, a dense matrix or a sparse matrix; a product is like `other`."""
        if self.shape[1] != other.shape[0]:
            raise ValueError(f"shapes {self.shape} and {other.shape} do not fit")
        if isinstance(other, Csr):
            return _product(self, other)
        kind = np.result_type(self.data, other)
        columns = other[:, None] if other.ndim == 1 else other
        dense = np.ascontiguousarray(columns, dtype=kind)
        out = np.zeros((self.shape[0], dense.shape[1]), dtype=kind)
        data = self.data.astype(kind, copy=False)
        map_chunks(
            lambda first, last: _times_dense(
                self.indptr, self.indices, data, dense, first, last, out
            ),
            len(out),
        )
        return out[:, 0] if other.ndim == 1 else out

    def dense_product(self, other: "Csr") -> Numbers:
        """Return the product with a sparse matrix as a dense array."""
        if self.shape[1] != other.shape[0]:
            raise ValueError(f"shapes {self.shape} and {other.shape} do not fit")
        kind = np.result_type(self.data, other.data)
        out = np.zeros((self.shape[0], other.shape[1]), dtype=kind)
        left, right = self.data.astype(kind, copy=False), other.data.astype(kind, copy=False)
        map_chunks(
            lambda first, last: _times_sparse(
                self.indptr,
                self.indices,
                left,
                other.indptr,
                other.indices,
                right,
                first,
                last,
                out,
            ),
            len(out),
        )
        return out


def as_csr(matrix: Any) -> Csr:
    """Return a CSR matrix of any library, such as ``scipy.sparse.csr_array``, as `Csr`."""
    if isinstance(matrix, Csr):
        return matrix
    n, m = matrix.shape
    return Csr(matrix.data, matrix.indices, matrix.indptr, (int(n), int(m)))


def beside(blocks: "list[Csr]") -> Csr:
    """Return the matrix that has the columns of all blocks, side by side; at least one block."""
    starts = np.concatenate(([0], np.cumsum([block.shape[1] for block in blocks])))
    parts = list(zip(blocks, starts[:-1], strict=True))
    rows = np.concatenate([block.row_of_each() for block in blocks])
    columns = np.concatenate([block.indices + start for block, start in parts])
    indptr, order = group(rows, blocks[0].shape[0])
    data = np.concatenate([block.data for block in blocks])
    return Csr(data[order], columns[order], indptr, (blocks[0].shape[0], int(starts[-1])))


def group(keys: ArrayLike, n: int) -> Groups:
    """Group the positions of equal keys from 0 to n - 1, in time proportional to both.

    Raises
    ------
    ValueError
        A key is negative or not below n.
    """
    keys = np.asarray(keys, dtype=np.int64)
    counts = np.bincount(keys, minlength=n)
    if len(counts) > n:
        raise ValueError(f"index {len(counts) - 1} is not below {n}")
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    order = np.empty(len(keys), dtype=np.int64)
    _order(keys, indptr[:-1].copy(), order)
    return Groups(indptr, order)


def _product(left: Csr, right: Csr) -> Csr:
    """Return the product of two sparse matrices, with ascending columns."""
    kind = np.result_type(left.data, right.data)
    # A row of the product has at most as many entries as the rows that are added.
    most = np.concatenate(([0], np.cumsum(np.diff(right.indptr)[left.indices])))[left.indptr]
    sizes = np.zeros(left.shape[0], dtype=np.int64)
    indices, data = np.empty(most[-1], dtype=np.int32), np.empty(most[-1], dtype=kind)
    _sparse_product(
        left.indptr,
        left.indices,
        left.data.astype(kind, copy=False),
        right.indptr,
        right.indices,
        right.data.astype(kind, copy=False),
        right.shape[1],
        most,
        sizes,
        indices,
        data,
    )
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    kept = np.arange(indptr[-1]) + np.repeat(most[:-1] - indptr[:-1], sizes)
    return Csr(data[kept], indices[kept], indptr, (left.shape[0], right.shape[1]))
