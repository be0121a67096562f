"""Contract suites and fakes, shipped so that a backend or model of one's own can be tested."""

from pkgutil import iter_modules

import pytest

# Before any suite is imported: its bare asserts then say what they compared.
pytest.register_assert_rewrite(*(f"{__name__}.{module.name}" for module in iter_modules(__path__)))
