"""HTTP headers that the clients of chat and embeddings endpoints have in common."""

import httpx


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of a JSON request, with `key` as the bearer token unless it is None."""
    # Compression is not accepted, since a small response could expand beyond the size limit.
    found = {"accept-encoding": "identity", "content-type": "application/json"}
    if key is not None:
        found["authorization"] = f"Bearer {key}"
    return found


def retry_after(answer: httpx.Response) -> float:
    """Return the seconds in the header Retry-After; 0 if it is missing or a date."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
