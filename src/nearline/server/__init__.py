"""The HTTP server: routes of the API, and the process that serves them."""

from nearline.server.app import create_app
from nearline.server.gateway import Gateway
from nearline.server.limits import Limits
from nearline.server.logs import JsonLog
from nearline.server.namespaces import Stores
from nearline.server.run import check_address, serve
from nearline.server.security import Security, Tls

__all__ = [
    "Gateway",
    "JsonLog",
    "Limits",
    "Security",
    "Stores",
    "Tls",
    "check_address",
    "create_app",
    "serve",
]
