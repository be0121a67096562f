"""Contract test suites and fakes for third-party logs and models."""

from pkgutil import iter_modules

import pytest

# Must precede the import of any suite, so that pytest explains its failed assertions.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
