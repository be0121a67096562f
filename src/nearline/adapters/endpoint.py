"""What the clients of all endpoints send and read alike."""

import httpx


def headers(key: str | None) -> dict[str, str]:
    """Headers of a request in JSON, with the key as bearer token."""
    # Compressed answers could be small on the wire and large here.
    found = {"accept-encoding": "identity", "content-type": "application/json"}
    if key is not None:
        found["authorization"] = f"Bearer {key}"
    return found


def retry_after(answer: httpx.Response) -> float:
    """Seconds that a Retry-After header asks for; a date, which few send, counts as none."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
