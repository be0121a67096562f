"""HTTP headers shared by the clients of chat and embeddings endpoints."""

import httpx


def headers(key: str | None) -> dict[str, str]:
    """Return the headers of a JSON request, with the key as bearer token."""
    # No compression: a small compressed response could expand beyond the size limit.
    found = {"accept-encoding": "identity", "content-type": "application/json"}
    if key is not None:
        found["authorization"] = f"Bearer {key}"
    return found


def retry_after(answer: httpx.Response) -> float:
    """Return the seconds of a Retry-After header; 0 without one, or if it is a date."""
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0.0
