"""The HTTP server: routes of the API, and the process that serves them."""

from nearline.server.app import create_app
from nearline.server.gateway import Gateway
from nearline.server.limits import Limits
from nearline.server.run import check_address, serve

__all__ = ["Gateway", "Limits", "check_address", "create_app", "serve"]
