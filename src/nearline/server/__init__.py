"""The HTTP server: routes of the API, and the process that serves them."""

from nearline.server.app import create_app
from nearline.server.gateway import Gateway
from nearline.server.limits import Limits
from nearline.server.logs import JsonLog
from nearline.server.namespaces import Stores
from nearline.server.run import check_address, serve
from nearline.server.security import Security, Tls
from nearline.server.workers import ReaderRole, WorkerPool, reader_role

__all__ = [
    "Gateway",
    "JsonLog",
    "Limits",
    "ReaderRole",
    "Security",
    "Stores",
    "Tls",
    "WorkerPool",
    "check_address",
    "create_app",
    "reader_role",
    "serve",
]
