"""Payloads of a damaged file that are not what the log wrote."""

from typing import Any

import pytest

from nearline.errors import Damaged
from nearline.log.codec import decode


@pytest.mark.parametrize("payload", [None, "text", 7, 1.5, b"", b"\xff", b"\x81"])
def test_a_payload_that_is_no_record_is_reported_with_its_offset(payload: Any) -> None:
    with pytest.raises(Damaged, match="the log record at offset 42 cannot be read"):
        decode(42, payload)
