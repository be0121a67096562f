"""Real servers for tests: started in a temporary folder, without root, containers or a network.

Each function starts a server and returns it; `stop` ends it and removes its folder. A program that
is missing skips the test, or fails it if the environment variable ``CI`` is set.
"""

from nearline.testing.servers.base import ServerProcess, require
from nearline.testing.servers.kafka import KafkaServer, kafka
from nearline.testing.servers.postgres import PostgresServer, postgres
from nearline.testing.servers.valkey import ValkeyCluster, ValkeyServer, valkey

__all__ = [
    "KafkaServer",
    "PostgresServer",
    "ServerProcess",
    "ValkeyCluster",
    "ValkeyServer",
    "kafka",
    "postgres",
    "require",
    "valkey",
]
