from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.log.block_codec import encode_block
from nearline.log.codec import encode
from nearline.schema import Event
from nearline.testing.log_case import block

# Lengths around those at which MessagePack changes the head of a text.
_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6) | st.sampled_from(
    ["x" * size for size in (1, 31, 32, 255, 256, 512)]
)
_events = st.builds(
    Event,
    user_id=_texts,
    item_id=_texts,
    timestamp=st.floats(allow_nan=False),
    event=st.sampled_from(["view", "purchase", "ж"]),
    event_id=st.none() | _texts,
    value=st.none() | st.floats(allow_nan=False),
    session_id=st.none() | _texts,
)


@given(events=st.lists(_events, max_size=8), start=st.integers(0, 2))
@settings(max_examples=60, deadline=None)
def test_a_block_is_encoded_like_its_events(events: list[Event], start: int) -> None:
    coded = encode_block(block(*events)[start:])  # also where the columns begin inside a buffer
    rows = [encode(event) for event in events[start:]]
    payloads = [coded.payloads[span >> 32 :][: span & 0xFFFFFFFF] for span in coded.spans.tolist()]
    assert payloads == [row.payload for row in rows]
    assert coded.user_keys[coded.users].tolist() == [row.user_key for row in rows]
    assert coded.keyed.tolist() == [row.event_key is not None for row in rows]
    keys = [key.tobytes() for key in coded.event_keys]
    assert keys == [row.event_key or bytes(16) for row in rows]
