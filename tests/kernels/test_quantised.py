"""Vectors in eight bits, against numbers worked out by hand and cosines by numpy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.quantised import cosines, quantise


def test_by_hand() -> None:
    codes, scales = quantise(np.array([[3.0, 4.0], [0.0, 0.0], [-0.5, 0.0]], dtype=np.float32))
    # 4 becomes 127 and 3 becomes 95.25, rounded.
    assert codes.tolist() == [[95, 127], [0, 0], [-127, 0]]
    assert scales.tolist() == pytest.approx([(95**2 + 127**2) ** -0.5, 0.0, 1 / 127])
    found = cosines(codes, scales, codes[0], float(scales[0]))
    assert found.tolist() == pytest.approx([1.0, 0.0, -95 / (95**2 + 127**2) ** 0.5])


@given(
    seed=st.integers(0, 100), width=st.sampled_from([1, 2, 17, 64]), stretch=st.floats(1e-3, 1e3)
)
@settings(max_examples=40, deadline=None)
def test_directions_are_kept(seed: int, width: int, stretch: float) -> None:
    vectors = np.random.default_rng(seed).standard_normal((20, width)).astype(np.float32)
    codes, scales = quantise(vectors)
    again, _ = quantise(vectors * np.float32(stretch))
    assert np.abs(again.astype(int) - codes).max() <= 1
    units = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    found = cosines(codes, scales, codes[0], float(scales[0]))
    assert found == pytest.approx(units @ units[0], abs=0.02)
    exact = (codes.astype(np.float64) @ codes[0].astype(np.float64)) * scales[0] * scales
    assert found == pytest.approx(exact, abs=1e-6)
