"""Canonical paths of different IDs are different."""

from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.errors import InvalidInput
from nearline.server.paths import canonical_path, decode_utf8, path_id

IDS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        (b"/", "/"),
        (b"", "/"),
        (b"/v1/items/a%2fb/similar?k=3", "/v1/items/a%2Fb/similar"),
        (b"/v1/%65vents", "/v1/events"),
        (b"/v1/items/..", "/v1/items/.."),
        (b"/v1/items/a+b", "/v1/items/a%2Bb"),
    ],
)
def test_canonical(raw: bytes, canonical: str) -> None:
    assert canonical_path(raw) == canonical


@pytest.mark.parametrize("raw", [b"/v1/items/", b"/v1/users//recommendations", b"//x"])
def test_an_empty_part_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="empty part"):
        canonical_path(raw)


@pytest.mark.parametrize("raw", [b"/%ff", b"/%ED%A0%80", b"/%C0%AF"])
def test_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="not UTF-8") as refused:
        canonical_path(raw)
    assert refused.value.field == "path"


@pytest.mark.parametrize("raw", [b"100%", b"%zz", b"%1"])
def test_a_stray_percent_sign_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidInput, match="%25"):
        decode_utf8(raw, "query")


@settings(max_examples=200, deadline=None)
@given(IDS, IDS)
def test_ids_are_decoded_to_the_original(first: str, second: str) -> None:
    raw = f"/v1/users/{quote(first, safe='')}/explanations/{quote(second, safe='')}".encode()
    parts = canonical_path(raw).split("/")
    assert len(parts) == 6
    if len(first.encode()) <= 512 and len(second.encode()) <= 512:
        assert (path_id(parts[3], "user_id"), path_id(parts[5], "item_id")) == (first, second)


def test_an_id_that_is_too_long_is_refused() -> None:
    assert path_id("%F0%9F%92%A5" * 128, "item_id") == "💥" * 128  # 512 bytes
    with pytest.raises(InvalidInput, match="513 bytes"):
        path_id("x" * 513, "item_id")
