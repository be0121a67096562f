"""The durable, append-only record of what happened."""
