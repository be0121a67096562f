"""Middlewares of the server: one concern in each file, composed in `stack.py`.

`exchanges.Exchanges` is the outermost. Concerns of every request (IDs, API keys, cached answers,
metrics, log lines) are plain functions that it calls before and after, since a coroutine for each
would take longer than sending a cached answer. Concerns of requests that are computed wrap another
ASGI application, `app`.
"""
