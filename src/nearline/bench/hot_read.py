"""Scenario: reads of cached lists of random users, compared with an empty server."""

from collections.abc import Mapping

from nearline.bench.generate import READ, Reads, ask, generator, no_failure, reads
from nearline.bench.harness import Server, python
from nearline.bench.plan import Figure, Plan, ScenarioReport, figure, repeated
from nearline.bench.shop import store

# Maximum seconds of reading each list once before the measurement.
WARM_SECONDS = 300.0
SHARE, P99_MS, TIMES = 0.6, 3.0, 6.0


def run(plan: Plan, peers: Mapping[str, Server] | None = None) -> ScenarioReport:
    """Measure requests per second and latencies of the server and of an empty server.

    Parameters
    ----------
    plan : Plan
        Sizes, duration and repeats.
    peers : mapping or None
        Running servers of other software with the same URL paths, by name. They are measured in
        alternation with the server.
    """
    shop = store(plan, "hot-read")
    with Server.of(shop) as server:
        size = answer_bytes(server)
        warm = warm_up(plan, server.port)
        with empty_server(plan, size) as empty:

            def measure() -> list[Figure]:
                limit = reads(plan, empty.port, "/")
                mine = reads(plan, server.port)
                beside = {name: reads(plan, peer.port) for name, peer in (peers or {}).items()}
                return [
                    figure("requests a second", "1/s", mine.rate),
                    figure("requests a second, empty server", "1/s", limit.rate),
                    figure("share of the empty server", "", mine.rate / limit.rate, at_least=SHARE),
                    figure("p50", "ms", mine.p50),
                    figure("p99", "ms", mine.p99, at_most=P99_MS),
                    figure("p99, empty server", "ms", limit.p99),
                    figure("failed", "", mine.errors, at_most=0),
                    *(one for name, found in beside.items() for one in _beside(name, mine, found)),
                ]

            figures = repeated(plan, "hot reads", measure)
    notes = [generator(), f"a response has {size:,} bytes, also that of the empty server"]
    notes.append(f"lists read once in advance: {warm:,} of {plan.users:,} users")
    return ScenarioReport(figures=figures, notes=notes)


def _beside(name: str, mine: Reads, peer: Reads) -> list[Figure]:
    return [
        figure(f"requests a second, {name}", "1/s", peer.rate),
        figure(f"p99, {name}", "ms", peer.p99),
        figure(f"failed, {name}", "", peer.errors),
        figure(f"times {name}", "", mine.rate / peer.rate, at_least=TIMES),
    ]


def warm_up(plan: Plan, port: int) -> int:
    """Read the list of each user once, for at most `WARM_SECONDS`; return the number of lists."""
    given = {"count": plan.users, "seconds": WARM_SECONDS}
    return int(no_failure(ask(plan, port, "walk", **given))["read"]["count"])


def answer_bytes(server: Server) -> int:
    """Return the size in bytes of a response with one list."""
    import msgspec

    body = server.get(READ.replace("USER", "u0"))
    return len(msgspec.json.encode(body))


def empty_server(plan: Plan, size: int) -> Server:
    """Return a server that answers each request with `size` bytes, to be started with ``with``."""

    def command(port: int) -> list[str]:
        return python("nearline.bench.empty", str(port), str(size))

    return Server(command, plan.folder / "empty.txt", ready="/")
