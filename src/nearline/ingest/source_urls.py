"""Opening of sources of messages by URL."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote

from nearline.errors import InvalidInput
from nearline.schema.sources import Source

STARTS = ("beginning", "end")


def open_source(
    url: str,
    *,
    name: str | None = None,
    start: str = "beginning",
    follow: bool | None = None,
    settings: Mapping[str, str] | None = None,
) -> Source:
    """Return the source at a URL; messages are read once `open` is called.

    Parameters
    ----------
    url : str
        ``kafka://host:port/topic``, ``file:///path`` or a path; a path may be a pattern.
    name : str or None
        Name under which its positions are stored; None for the kind and the topic or file.
    start : str
        Where a topic is first read: ``beginning`` or ``end``.
    follow : bool or None
        Whether messages will be waited for; None for the default of the source.
    settings : mapping or None
        Settings of the client of Kafka.

    Raises
    ------
    InvalidInput
        The URL or an option is invalid.
    MissingExtra, DataNotFound
        The client of Kafka is not installed; there is no such file.
    """
    if start not in STARTS:
        raise InvalidInput(
            f"start is {start!r:.50}; it must be one of {', '.join(STARTS)}", field="start"
        )
    scheme, separator, rest = url.partition("://")
    if scheme == "kafka" and separator:
        from nearline.adapters.kafka import KafkaSource

        return KafkaSource(url, name=name, start=start, settings=settings)
    if separator and scheme != "file":
        raise InvalidInput(
            f"the source is {url!r:.200}; it must be kafka://host:port/topic, file:///path or a "
            "path",
            field="source",
        )
    if settings:
        raise InvalidInput("a file has no client settings; leave them out", field="settings")
    if start != "beginning":
        raise InvalidInput("a file is read from its beginning; leave start out", field="start")
    from nearline.data.line_files import LineFiles

    return LineFiles(unquote(rest) if separator else url, name=name, follow=bool(follow))


def read_settings(path: Path) -> dict[str, str]:
    """Return the settings of a file with lines ``name=value``; lines with ``#`` are comments.

    Raises
    ------
    InvalidInput
        A line has another form; the message does not contain its value, which may be secret.
    """
    settings = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise InvalidInput(
                f"line {number} of {path} is not name=value, such as security.protocol=SASL_SSL",
                field="settings",
            )
        settings[name.strip()] = value.strip()
    return settings
