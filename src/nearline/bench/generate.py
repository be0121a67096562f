"""Load generation with the tool ``wrk``, if it is installed, or with `nearline.bench.load`."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from typing import Any

from nearline.bench.harness import BenchFailed, clean_environment, python, run_command
from nearline.bench.plan import Plan

# Script for wrk. Requests are prepared in advance to keep the generator fast; the result is
# printed as one JSON line.
SCRIPT = """
local users, path, requests, at = {users}, "{path}", {{}}, 0
init = function()
  math.randomseed({seed})
  for n = 1, {prepared} do
    requests[n] = wrk.format("GET", (path:gsub("USER", "u" .. math.random(0, users - 1))))
  end
end
request = function()
  at = at % {prepared} + 1
  return requests[at]
end
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\\nRESULT {{"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p99": %f}}\\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
PREPARED = 200_000
READ = "/v1/users/USER/recommendations?k=10"


@dataclass(frozen=True, kw_only=True)
class Reads:
    """Result of a closed loop of reads.

    Attributes
    ----------
    rate : float
        Requests per second.
    p50, p99 : float
        Median and 99th percentile of the latency in milliseconds.
    errors : int
        Number of failed requests.
    """

    rate: float
    p50: float
    p99: float
    errors: int


def generator() -> str:
    """Describe the load generator of closed loops in a sentence for the notes of a report."""
    if shutil.which("wrk"):
        return "load: wrk, one thread, on the same machine"
    return (
        "load: Python generator, since wrk is not installed; it is slower than an empty server, "
        "so it limits requests per second"
    )


def reads(plan: Plan, port: int, path: str = READ) -> Reads:
    """Request lists of random users in a closed loop and measure rate and latency.

    Parameters
    ----------
    plan : Plan
        Number of users, duration and number of connections.
    port : int
        Port of the server.
    path : str
        Path to request; ``USER`` in it is replaced by a user ID.
    """
    if shutil.which("wrk"):
        return _wrk(plan, port, path)
    answer = ask(plan, port, "fetch", path=path)
    record = answer["records"]["read"]
    return Reads(
        rate=record["count"] / answer["seconds"],
        p50=record["ms"].get("p50", 0.0),
        p99=record["ms"].get("p99", 0.0),
        errors=sum(record["errors"].values()),
    )


def _wrk(plan: Plan, port: int, path: str) -> Reads:
    script = plan.folder / "reads.lua"
    given = {"users": plan.users, "path": path, "seed": plan.seed, "prepared": PREPARED}
    script.write_text(SCRIPT.format(**given))
    command = ["wrk", "-t1", f"-c{plan.connections}", f"-d{max(1, round(plan.seconds))}s"]
    output = run_command([*command, "-s", str(script), f"http://127.0.0.1:{port}"])
    found = re.search(r"^RESULT (.*)$", output, re.MULTILINE)
    if found is None:
        raise BenchFailed(f"wrk printed no result: {output[-500:]}")
    result = json.loads(found[1])
    return Reads(
        rate=result["requests"] / result["seconds"],
        p50=result["p50"],
        p99=result["p99"],
        errors=result["errors"],
    )


def load_request(plan: Plan, port: int, kind: str, **more: object) -> dict[str, object]:
    """Build the request document of `nearline.bench.load`.

    Parameters
    ----------
    plan : Plan
        Sizes, duration, connections and seed.
    port : int
        Port of the server.
    kind : str
        Kind of load, a key of `load.KINDS`.
    **more : object
        Other fields of the document, which override those of the plan.
    """
    return {
        "kind": kind,
        "port": port,
        "users": plan.users,
        "items": plan.items,
        "seconds": plan.seconds,
        "connections": plan.connections,
        "seed": plan.seed,
        **more,
    }


def ask(plan: Plan, port: int, kind: str, **more: object) -> dict[str, Any]:
    """Run one kind of load in a subprocess and return its result.

    The parameters are those of `load_request`, and the result is that of `load.drive`. Failed
    requests are counted by reason in the ``errors`` of each record and do not raise.

    Raises
    ------
    BenchFailed
        The load generator itself failed.
    """
    given = json.dumps(load_request(plan, port, kind, **more))
    answer: dict[str, Any] = json.loads(run_command(python("nearline.bench.load"), given))
    return answer


class Load:
    """Load that runs in a background process within a ``with`` block.

    The parameters are those of `load_request`. The process is killed at the end of the block.
    """

    def __init__(self, plan: Plan, port: int, kind: str, **more: object) -> None:
        self._given = json.dumps(load_request(plan, port, kind, **more))

    def __enter__(self) -> "Load":
        pipe = subprocess.PIPE
        command = python("nearline.bench.load")
        self._process = subprocess.Popen(  # noqa: S603 - a command of ours
            command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=clean_environment()
        )
        if self._process.stdin is not None:
            self._process.stdin.write(self._given)
            self._process.stdin.close()
            self._process.stdin = None
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    @property
    def running(self) -> bool:
        """Whether the load is still running."""
        return self._process.poll() is None

    def wait(self, seconds: float) -> None:
        """Wait for some seconds, or until the load ends."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return

    def stop(self) -> None:
        """End the load early; `answer` then returns the results up to that time."""
        self._process.terminate()

    def answer(self) -> dict[str, Any]:
        """Wait for the end of the load and return its result, as `load.drive` does.

        Raises
        ------
        BenchFailed
            The load generator failed.
        """
        out, err = self._process.communicate()
        if self._process.returncode != 0:
            raise BenchFailed(f"the load generator failed: {err[-500:]}")
        answer: dict[str, Any] = json.loads(out)
        return answer


def failures(answer: dict[str, Any]) -> dict[str, int]:
    """Count the failed requests of all records of a result, by reason."""
    found: dict[str, int] = {}
    for record in answer["records"].values():
        for why, count in record["errors"].items():
            found[why] = found.get(why, 0) + count
    return found


def no_failure(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the records of a result by name.

    Raises
    ------
    BenchFailed
        A request failed.
    """
    found = failures(answer)
    if found:
        raise BenchFailed(f"requests failed: {found}")
    records: dict[str, Any] = answer["records"]
    return records
