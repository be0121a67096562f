"""Test suites for implementations of `Log`, fakes of other services, and a simulated shop."""

from contextlib import suppress
from pkgutil import iter_modules

with suppress(ImportError):  # the simulator also runs where pytest isn't installed
    import pytest

    # Must precede the import of any suite: pytest then shows the values in failed assertions.
    pytest.register_assert_rewrite(
        *(f"{__name__}.{module.name}" for module in iter_modules(__path__))
    )
