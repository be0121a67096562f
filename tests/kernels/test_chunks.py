"""Chunks cover every row once, whatever the threads."""

import pytest

from nearline.kernels.chunks import MOST_CHUNKS, available_threads, map_chunks


@pytest.mark.parametrize("n_rows", [0, 1, 255, 256, 257, 100_000])
def test_ranges_cover_all_rows_in_order(n_rows: int) -> None:
    for threads in (1, 3, None):
        ranges = map_chunks(lambda first, last: (first, last), n_rows, threads=threads)
        assert [row for first, last in ranges for row in range(first, last)] == list(range(n_rows))
        assert len(ranges) <= MOST_CHUNKS


def test_an_error_in_a_thread_reaches_the_caller() -> None:
    def work(first: int, last: int) -> None:
        raise RuntimeError(f"{first} to {last}")

    with pytest.raises(RuntimeError, match="0 to 256"):
        map_chunks(work, 1_000, threads=2)
    assert available_threads() >= 1


def test_threads_are_limited_by_omp_num_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert available_threads() == 1
    for nothing in ("", "0", "many"):
        monkeypatch.setenv("OMP_NUM_THREADS", nothing)
        cores = available_threads()
        monkeypatch.setenv("OMP_NUM_THREADS", str(cores + 5))
        assert available_threads() == cores >= 1
