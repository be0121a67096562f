"""The master key of a sealed store, from a file, the environment or a command."""

import base64
import binascii
import os
import shlex
import subprocess
from pathlib import Path

from nearline.errors import InvalidInput

DEFAULT_SOURCE = "env:NEARLINE_MASTER_KEY"
KEY_BYTES = 32
COMMAND_SECONDS = 60
COMMAND = "command"
_HEX_LENGTH = 2 * KEY_BYTES
_FORMS = (
    "a source is env:NAME, file:PATH or command:PROGRAM ARGUMENTS, which gives 32 bytes in "
    "hexadecimal digits or base64; make a key with: openssl rand -hex 32"
)


def master_key(source: str) -> bytes:
    """Return the 32 bytes of the master key.

    Parameters
    ----------
    source : str
        ``env:NAME`` (a variable), ``file:PATH``, or ``command:PROGRAM ARGUMENTS`` (a program of a
        key management service, which writes the key to its standard output; no shell runs it).

    Raises
    ------
    InvalidInput
        There is no key at the source, or it does not have 32 bytes. The key is not in the message.
    """
    kind, _, name = source.partition(":")
    try:
        if kind == "env" and name:
            text = os.environ[name].encode()
        elif kind == "file" and name:
            text = Path(name).read_bytes()
        elif kind == COMMAND and name.strip():
            done = subprocess.run(  # noqa: S603 (the operator names the program)
                shlex.split(name), capture_output=True, check=True, timeout=COMMAND_SECONDS
            )
            text = done.stdout
        else:
            raise _refused(source, "is no source of a key")
    except KeyError:
        raise _refused(source, "is a variable that is not set") from None
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise _refused(source, f"cannot be read ({type(error).__name__})") from None
    return _decoded(text, source)


def check_file_source(source: str | None) -> None:
    """Refuse a command in a file: opening the store of somebody else must not run a program."""
    if source is not None and source.startswith(f"{COMMAND}:"):
        raise InvalidInput(
            "seal names a command, which a file of settings must not; give it with --master-key or "
            "in the variable NEARLINE_SEAL"
        )


def _decoded(text: bytes, source: str) -> bytes:
    if len(text) == KEY_BYTES:
        return text
    found = b"".join(text.split())
    try:
        plain = found.isascii() and len(found) == _HEX_LENGTH
        key = bytes.fromhex(found.decode()) if plain else base64.b64decode(found, validate=True)
    except (ValueError, binascii.Error):
        key = b""
    if len(key) != KEY_BYTES:
        raise _refused(source, "does not give 32 bytes")
    return key


def _refused(source: str, what: str) -> InvalidInput:
    return InvalidInput(f"the master key {source!r:.200} {what}; {_FORMS}", field="seal")
