"""Start the image as an engine would, and send it the curl story of the README.

    python3 deploy/check_image.py [FOLDER]     # the folder of deploy/image.sh; default build/image

It needs root, buildah, util-linux and curl, and no engine. The server runs as the user of the
image, without capabilities, in namespaces of its own for mounts, processes and the network, on a
read-only root; only /store and /tmp can be written. Fails if the image is over 600 MB, if `/readyz`
takes over 10 seconds, if the health check fails, or if an answer differs from the README.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

README = Path(__file__).resolve().parents[1] / "README.md"
LIMIT_BYTES = 600e6
LIMIT_SECONDS = 10.0
KEY = "a-key-for-this-check-only"
READY = "http://127.0.0.1:8080/readyz"
DEVICES = ("null", "zero", "random", "urandom")


class Container:
    """A root folder and the settings of an image, in which commands run as the image's user."""

    def __init__(self, root: Path, settings: dict, store: Path) -> None:
        self.root = root
        self.settings = settings
        self.environment = dict(entry.split("=", 1) for entry in settings["Env"])
        user, group = (int(part) for part in settings["User"].split(":"))
        if user == 0 or group == 0:
            raise SystemExit("the image runs as root")
        os.chown(store, user, group)
        _mount("--bind", str(root), str(root))
        _mount("-o", "remount,ro,bind", str(root))
        _mount("-t", "tmpfs", "tmpfs", str(root / "tmp"))
        (root / "tmp").chmod(0o1777)
        _mount("-t", "proc", "proc", str(root / "proc"))
        _mount("--bind", str(store), str(root / "store"))
        _mount("-t", "tmpfs", "tmpfs", str(root / "dev"))
        for name in DEVICES:
            (root / "dev" / name).touch()
            _mount("--bind", f"/dev/{name}", str(root / "dev" / name))

    def start(self, command: list[str], folder: str = "/", **environment: str) -> subprocess.Popen:
        """Start a command in the container."""
        # chroot needs root; it changes the user itself, and with that all capabilities are gone.
        words = [
            *("setpriv", "--no-new-privs"),
            *("chroot", f"--userspec={self.settings['User']}", "--groups=", str(self.root)),
            *("/usr/bin/env", f"--chdir={folder}", *command),
        ]
        return subprocess.Popen(
            words,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, command: list[str], folder: str = "/", **environment: str) -> tuple[int, str]:
        """Run a command in the container; return its exit status and what it printed."""
        process = self.start(command, folder, **environment)
        output, _ = process.communicate(timeout=120)
        return process.returncode, output

    def serve(self, **environment: str) -> subprocess.Popen:
        """Start what the image starts, and wait until it is ready."""
        command = [*self.settings["Entrypoint"], *self.settings["Cmd"]]
        start = time.monotonic()
        process = self.start(command, NEARLINE_API_KEY=KEY, **environment)
        while not _ready():
            if process.poll() is not None or time.monotonic() > start + 60:
                process.kill()
                raise SystemExit(f"the server did not become ready:\n{process.communicate()[0]}")
            time.sleep(0.02)
        seconds = time.monotonic() - start
        _report("ready after the start, in s", f"{seconds:.1f}", seconds <= LIMIT_SECONDS)
        return process


def main() -> None:
    """Check the image in a folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "build/image").resolve()
    if os.environ.get("NEARLINE_INSIDE") != "1":
        inside = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"]
        os.environ["NEARLINE_INSIDE"] = "1"
        raise SystemExit(subprocess.call([*inside, sys.executable, __file__, str(folder)]))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    storage = ["--root", f"{folder}/storage", "--runroot", f"{folder}/run"]
    buildah = ["buildah", *storage, "--storage-driver", "vfs"]
    name = _output([*buildah, "from", "--pull-never", "nearline"])
    try:
        root = Path(_output([*buildah, "mount", name]))
        size = sum(file.lstat().st_size for file in root.rglob("*") if not file.is_dir())
        _report("size in MB", f"{size / 1e6:.0f}", size <= LIMIT_BYTES)
        image = json.loads(_output([*buildah, "inspect", "--type", "image", "nearline"]))
        with tempfile.TemporaryDirectory() as store:
            _check(Container(root, image["Docker"]["config"], Path(store)))
    finally:
        subprocess.run([*buildah, "rm", name], check=True, stdout=subprocess.DEVNULL)


def _check(container: Container) -> None:
    """Start the server on an empty store, then on the store of the README, and ask it."""
    status, output = container.run(["python3", "-c", "open('/opt/nearline/file', 'w')"])
    _report("the root is read-only", output.strip().splitlines()[-1], status != 0)
    _, output = container.run(["python3", "-c", "import os; print(os.getuid(), os.getgid())"])
    _report("user and group", output.strip(), output.split() == ["10001", "10001"])
    status, output = container.run([*container.settings["Entrypoint"], *container.settings["Cmd"]])
    refused = status != 0 and "no API key" in output
    _report("does not start without a key", output.strip().splitlines()[-1], refused)
    server = container.serve()
    _, *health = container.settings["Healthcheck"]["Test"]
    _report("health check", "ok", container.run(health)[0] == 0)
    _stop(server)

    text = README.read_text()
    program = _block(text, "## From Python", "python")
    status, output = container.run(["python3", "-c", program], folder="/store")
    expected = _block(text, "## From Python", "text")
    _report("README, Python", output, status == 0 and _matches(output, expected))
    server = container.serve(NEARLINE_STORE="/store/shop")
    section = text[text.index("## Over HTTP") :]
    story = _block(section[section.index("```\n\n") :], "", "bash")
    with tempfile.TemporaryDirectory() as home:
        Path(home, ".curlrc").write_text(f'header = "Authorization: Bearer {KEY}"\n')
        output = _output(["bash", "-ec", story], CURL_HOME=home)
    _report("README, curl", output, _matches(output, _block(section, "", "text")))
    _stop(server)


def _stop(server: subprocess.Popen) -> None:
    """Stop the server as an engine does."""
    server.send_signal(signal.SIGTERM)
    output, _ = server.communicate(timeout=30)
    _report(
        "stops by SIGTERM",
        output.strip().splitlines()[-1] if output else "",
        server.returncode == 0,
    )


def _ready() -> bool:
    """Return whether the server answers that it is ready."""
    try:
        with urllib.request.urlopen(READY, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


def _block(text: str, heading: str, language: str) -> str:
    """Return the first block of code in a language after a heading."""
    after = text[text.index(heading) :]
    found = re.search(rf"^```{language}\n(.*?)^```$", after, re.DOTALL | re.MULTILINE)
    if found is None:
        raise SystemExit(f"README.md has no block of {language} after {heading!r}")
    return found[1]


def _matches(output: str, expected: str) -> bool:
    """Return whether an output is as expected, where `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in expected.strip().split("..."))
    return re.fullmatch(pattern, output.strip(), re.DOTALL) is not None


def _mount(*words: str) -> None:
    """Run mount."""
    subprocess.run(["mount", *words], check=True)


def _output(command: list[str], **environment: str) -> str:
    """Return what a command prints."""
    settings = {**os.environ, **environment}
    result = subprocess.run(command, check=True, capture_output=True, text=True, env=settings)
    return result.stdout.strip()


def _report(what: str, value: str, good: bool) -> None:
    """Print a line of the report, and end if it is bad."""
    print(f"{'ok' if good else 'BAD':4} {what}: {value.strip()}", flush=True)
    if not good:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
