"""ASGI middlewares of the server: one concern in each file, composed in `stack.py`.

A middleware wraps another ASGI application, `app`. Those that only act before the request are plain
functions that return the awaitable of `app`, since cached answers pass all of them.
"""
