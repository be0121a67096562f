"""Test suites that implementations of `Log` must pass, and fakes of other services, for tests."""

from pkgutil import iter_modules

import pytest

# Must precede the import of any suite: pytest then shows the values in failed assertions.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
