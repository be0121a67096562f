"""Apache Kafka, or any broker of its protocol, as a source of messages."""

import logging
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from nearline.errors import InvalidInput, MissingExtra, SourceFailed
from nearline.schema.sources import MAX_PARTITIONS, Message

if TYPE_CHECKING:
    import confluent_kafka as ck

logger = logging.getLogger(__name__)

# Seconds to wait for an answer about topics; messages may take as long as they like.
METADATA_SECONDS = 15.0
# Seconds between two looks for new partitions.
REFRESH_SECONDS = 30.0
# Seconds that are waited for more messages once there is one.
GATHER_SECONDS = 0.005
EXAMPLE = "kafka://127.0.0.1:9092/events"
# Settings that the source needs as they are.
_OWN = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "enable.partition.eof": True,
    "auto.offset.reset": "error",
}
_DEFAULTS = {
    "group.id": "nearline",  # required, but no group is joined and nothing is committed
    "client.id": "nearline",
    "log.connection.close": False,
    "receive.message.max.bytes": 200_000_000,
}


def client_settings(url: str) -> tuple[str, dict[str, str]]:
    """Return the topic of a URL, and the settings of the client that it contains.

    Raises
    ------
    InvalidInput
        The URL is not of the form ``kafka://host:port[,host:port]/topic[?setting=value]``.
    """
    parts = urlsplit(url)
    topic = parts.path.removeprefix("/")
    if parts.scheme != "kafka" or not parts.netloc or not topic or "/" in topic:
        raise InvalidInput(
            f"the source is {url!r:.200}; the form is kafka://host:port/topic, such as {EXAMPLE}",
            field="source",
        )
    if "@" in parts.netloc:
        raise InvalidInput(
            "the source contains a user or a password, which others could read in lists of "
            "processes; put sasl.username and sasl.password into a file of client settings",
            field="source",
        )
    return topic, {"bootstrap.servers": parts.netloc, **dict(parse_qsl(parts.query))}


class KafkaSource:
    """Source of the messages of one topic.

    It assigns all partitions to itself and commits nothing to the broker: the positions are in the
    log of the store. An interrupted connection is restored by the client.

    Parameters
    ----------
    url : str
        ``kafka://host:port[,host:port]/topic[?setting=value]``.
    name : str or None
        Name of the source; None for ``kafka:`` and the topic.
    start : str
        Where partitions without a position begin: ``beginning`` or ``end``.
    settings : mapping
        Settings of the client (librdkafka), such as ``security.protocol``.

    Raises
    ------
    InvalidInput
        The URL or a setting is invalid.
    MissingExtra
        The extra `kafka` is not installed.
    """

    endless = True
    unit = "messages"

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        start: str = "beginning",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self.topic, given = client_settings(url)
        self.name = name if name is not None else f"kafka:{self.topic}"
        self._kafka = import_kafka()
        own = [one for one in (*given, *(settings or {})) if one in _OWN]
        if own:
            raise InvalidInput(
                f"{own[0]} cannot be set, because positions are stored with the events",
                field="settings",
            )
        self._settings: dict[str, Any] = {
            **_DEFAULTS,
            **given,
            **(settings or {}),
            **_OWN,
            "error_cb": self._warn,
            "logger": logging.getLogger("nearline.kafka"),
        }
        try:
            self._consumer: ck.Consumer = self._kafka.Consumer(self._settings)
        except (self._kafka.KafkaException, TypeError, ValueError) as error:
            raise InvalidInput(
                f"a setting of the Kafka client is invalid: {error}", field="settings"
            ) from error
        self._start = start
        self._known: set[int] = set()
        self._at_end: set[int] = set()
        self._read: dict[int, int] = {}
        self._identity: dict[str, str] = {}
        self._refreshed = 0.0
        self._closed = False

    def open(self, positions: Mapping[str, int], identity: Mapping[str, str]) -> None:
        """Assign all partitions at their positions.

        Raises
        ------
        SourceFailed
            No broker answers, there is no such topic, or it was deleted and created again.
        """
        found = self._partitions()
        self._identity = self._identify()
        before = identity.get("topic")
        if before is not None and before != self._identity.get("topic", before):
            raise SourceFailed(
                f"the topic {self.topic} is another one than that which was read before (it was "
                "deleted and created again, or is on another cluster); give the source another name"
            )
        self._assign(found, positions)

    @property
    def identity(self) -> Mapping[str, str]:
        """ID of the topic, if the broker has one, or else of the cluster."""
        return self._identity

    def poll(self, limit: int, seconds: float) -> Sequence[Message]:
        """Return up to `limit` messages; wait at most `seconds` for the first."""
        self._look_for_partitions()
        received = self._consumer.consume(1, seconds)
        if received and limit > 1:
            received += self._consumer.consume(limit - 1, GATHER_SECONDS)
        messages = []
        for one in received:
            if one.error() is not None:
                self._check(one)
                continue
            partition, offset = one.partition() or 0, one.offset() or 0
            kind, milliseconds = one.timestamp()
            at = milliseconds / 1_000 if kind and milliseconds >= 0 else None
            self._read[partition] = offset + 1
            self._at_end.discard(partition)
            messages.append(Message(str(partition), offset, offset + 1, one.value(), one.key(), at))
        return messages

    @property
    def caught_up(self) -> bool:
        """Whether the end of every partition was reached."""
        return self._at_end >= self._known

    def lag(self) -> dict[str, int]:
        """Return the number of messages of each partition that were not read yet.

        It is computed from what the broker said with the last messages, without asking again.
        """
        left = {}
        for partition in sorted(self._known):
            try:
                _, end = self._consumer.get_watermark_offsets(
                    self._kafka.TopicPartition(self.topic, partition), cached=True
                )
            except (self._kafka.KafkaException, RuntimeError):
                continue
            at = self._read.get(partition, 0)
            left[str(partition)] = 0 if partition in self._at_end else max(0, end - at)
        return left

    def close(self) -> None:
        """Close the connections; idempotent."""
        if not self._closed:
            self._closed = True
            self._consumer.close()

    def _partitions(self) -> set[int]:
        try:
            topics = self._consumer.list_topics(self.topic, timeout=METADATA_SECONDS).topics
        except self._kafka.KafkaException as error:
            raise SourceFailed(
                f"no broker of {self._settings['bootstrap.servers']} answers: "
                f"{error.args[0].str()}; check the address and that the broker runs"
            ) from error
        topic = topics[self.topic]
        if topic.error is not None or not topic.partitions:
            raise SourceFailed(
                f"the topic {self.topic} cannot be read: "
                f"{topic.error.str() if topic.error else 'it has no partitions'}"
            )
        if len(topic.partitions) > MAX_PARTITIONS:
            raise SourceFailed(
                f"the topic {self.topic} has {len(topic.partitions):,} partitions; at most "
                f"{MAX_PARTITIONS:,} can be read"
            )
        return set(topic.partitions)

    def _identify(self) -> dict[str, str]:
        """Return the ID of the topic, or of the cluster if the broker has no IDs of topics."""
        from confluent_kafka.admin import AdminClient

        plain = {key: value for key, value in self._settings.items() if key not in _OWN}
        admin = AdminClient({key: value for key, value in plain.items() if key != "group.id"})
        with suppress(self._kafka.KafkaException, AttributeError):
            names = self._kafka.TopicCollection([self.topic])
            asked = admin.describe_topics(names, request_timeout=METADATA_SECONDS)
            topic_id = str(asked[self.topic].result().topic_id)
            if topic_id.strip("A="):  # an ID of zeros means none
                return {"topic": topic_id}
        cluster = self._consumer.list_topics(self.topic, timeout=METADATA_SECONDS).cluster_id
        return {"cluster": cluster} if cluster else {}

    def _assign(self, partitions: set[int], positions: Mapping[str, int]) -> None:
        first = (
            self._kafka.OFFSET_BEGINNING if self._start == "beginning" else self._kafka.OFFSET_END
        )
        for partition in partitions:
            if str(partition) in positions:
                self._read[partition] = positions[str(partition)]
        assigned = [
            self._kafka.TopicPartition(self.topic, one, self._read.get(one, first))
            for one in sorted(partitions)
        ]
        self._known, self._refreshed = partitions, time.monotonic()
        self._consumer.assign(assigned)

    def _look_for_partitions(self) -> None:
        """Assign partitions that were added to the topic; they are read from their beginning."""
        if time.monotonic() - self._refreshed < REFRESH_SECONDS:
            return
        self._refreshed = time.monotonic()
        try:
            found = self._partitions()
        except SourceFailed as error:
            logger.warning("%s", error)
            return
        new = found - self._known
        if new:
            self._consumer.incremental_assign(
                [
                    self._kafka.TopicPartition(self.topic, one, self._kafka.OFFSET_BEGINNING)
                    for one in sorted(new)
                ]
            )
            self._known = self._known | new

    def _check(self, message: "ck.Message") -> None:
        """Raise `SourceFailed` for an error that does not pass."""
        error, codes = message.error(), self._kafka.KafkaError
        if error is None:
            return
        if error.code() == codes._PARTITION_EOF:
            self._at_end.add(message.partition() or 0)
        elif error.code() in (codes._AUTO_OFFSET_RESET, codes.OFFSET_OUT_OF_RANGE):
            at = self._read.get(message.partition() or 0, 0)
            raise SourceFailed(
                f"partition {message.partition()} of the topic {self.topic} has no message at "
                f"position {at:,}: messages were deleted before they were read, or the topic was "
                "created again. To continue with what is there, start again from the beginning or "
                "the end"
            )
        elif error.code() in (
            codes.UNKNOWN_TOPIC_OR_PART,
            codes._UNKNOWN_TOPIC,
            codes._UNKNOWN_PARTITION,
            codes.TOPIC_AUTHORIZATION_FAILED,
            codes._AUTHENTICATION,
            codes.SASL_AUTHENTICATION_FAILED,
        ):
            raise SourceFailed(f"the topic {self.topic} cannot be read: {error.str()}")
        else:
            self._warn(error)

    def _warn(self, error: "ck.KafkaError") -> None:
        logger.warning("Kafka: %s; the client tries again", error.str())


def import_kafka() -> Any:
    """Return the module of the client; raise `MissingExtra` if it is not installed."""
    try:
        import confluent_kafka
    except ImportError:
        raise MissingExtra(
            "Kafka needs the package confluent-kafka; install the extra: pip install "
            "'nearline[kafka]'"
        ) from None
    return confluent_kafka
