"""Leaders, compared with a sort of all items."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.state import leaders
from nearline.state.leaders import Leaders

STEP = st.tuples(st.integers(0, 11), st.integers(-1, 2))


@settings(deadline=None, max_examples=400)
@given(st.lists(STEP, max_size=40), st.lists(st.booleans(), min_size=9, max_size=9))
def test_leaders_equal_a_full_sort(steps: list[tuple[int, int]], mask: list[bool]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaders, "FEWEST", 3)
        patch.setattr(leaders, "MOST", 6)
        kept, scores, allowed = Leaders(), np.zeros(12, dtype=np.int64), np.array(mask)
        for item, change in steps:
            scores[item] = max(0, scores[item] + change)
            if change < 0:
                kept.drop()
            else:
                kept.raised(np.array([item], dtype=np.int32), scores)
            order = sorted(range(12), key=lambda i: (-scores[i], i))
            good = [i for i in order if i < len(mask) and mask[i]]
            for n in (1, 3, 12):
                assert kept.first(scores, n).tolist() == order[:n]
                assert kept.first(scores, n, allowed).tolist() == good[:n]
