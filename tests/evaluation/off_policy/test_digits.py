"""Two splits of the digits protocol; `python -m benchmarks.learning_loop` runs all thirty."""

from benchmarks.digits_protocol import PUBLISHED, mean_errors


def test_estimators_err_like_the_published_ones() -> None:
    errors = mean_errors(2)
    assert errors.keys() == PUBLISHED.keys()
    # The direct method is far off on this data, and all others are near.
    assert abs(errors["dm"] / PUBLISHED["dm"] - 1.0) < 0.1
    assert all(errors[name] < 3 * PUBLISHED[name] for name in errors if name != "dm")
