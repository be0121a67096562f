"""API keys and what they allow, rates of requests, and the audit log."""
