"""Memory of an idle subscribed connection; ours beside the stock server.

    python -m benchmarks.memory

The growth of the server's resident memory over all connections of a fresh server, each with
one subscription; what the kernel holds for its TCP connections is not the server's.
"""

from benchmarks.machine import raise_file_limit
from benchmarks.report import options, show, steps
from benchmarks.servers import Kind, postgres, serve
from benchmarks.subscribers import Subscribers

_RESERVED_FILES = 100


def main() -> None:
    chosen = options(__doc__ or "", connections=[10_000, 20_000], stock=True)
    most = raise_file_limit() - _RESERVED_FILES
    counts = [200] if chosen.small else sorted({min(one, most) for one in chosen.connections})
    kinds: list[Kind] = ["widgetwire", "stock"] if chosen.stock else ["widgetwire"]
    rows: list[list[object]] = []
    with postgres() as url, steps(len(kinds) + len(counts) - 1, "memory") as bar:
        for kind in kinds:
            for count in counts if kind == "widgetwire" else counts[:1]:
                bar.says(f"{kind}, {count:,} connections")
                with serve(kind, url) as server:
                    Subscribers(server.port, 20, "warm").close()
                    before = server.resident_bytes()
                    subscribers = Subscribers(server.port, count, "idle", confirmed=False)
                    subscribers.drain(1.0)
                    after = server.resident_bytes()
                    rows.append(
                        [
                            kind,
                            count,
                            before / 2**20,
                            after / 2**20,
                            (after - before) / count / 1024,
                        ]
                    )
                    subscribers.close()
                bar.done()
    columns = ("server", "connections", "MiB before", "MiB with them", "KiB each")
    show("Idle subscribed connections, one process", columns, rows, chosen.json)


if __name__ == "__main__":
    main()
