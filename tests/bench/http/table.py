"""Tables of medians, with how much better we are than each peer."""

import json
import os
import platform
import statistics
from collections.abc import Iterator, Mapping
from pathlib import Path

Samples = dict[tuple[str, str], dict[str, list[float]]]
"""Numbers of each round, by workload and unit, then by server."""

_Row = tuple[tuple[str, str], dict[str, list[float]]]
RATES = ("MB/s", "req/s")
MEMORY = ("PSS MiB", "PSS MiB of one")
_TITLES = (
    (RATES, "Speed, and ours divided by theirs: above 1 is better for us"),
    (
        ("CPU s/GiB", "CPU us"),
        "Processor time of the server, and theirs divided by ours: above 1 is better for us",
    ),
    (("p50 ms", "p99 ms"), "Latency, and theirs divided by ours"),
    (MEMORY, "Most memory (PSS) of a server, and of one process of it, in any workload"),
)


def machine() -> str:
    """Return on what it was measured, in a line.

    Congestion control is told since BBR paces what goes over loopback, whoever sends; Headgate does
    without it there.
    """
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    return (
        f"{len(os.sched_getaffinity(0))} cores of {model}, {memory:.0f} GiB,"
        f" Linux {platform.release()} with {congestion}, Python {platform.python_version()}"
    )


def tables(samples: Samples, servers: list[str], ours: str) -> Iterator[str]:
    """Yield the lines of all tables."""
    for units, title in _TITLES:
        rows = [(row, by) for row, by in samples.items() if row[1] in units]
        if units == MEMORY:
            rows = _largest(rows)
        if not rows:
            continue
        yield ""
        yield title
        lines = [["workload", "unit", *servers]]
        for (workload, unit), by_server in rows:
            medians = {name: statistics.median(found) for name, found in by_server.items()}
            cells = [_cell(medians, name, ours, unit) for name in servers]
            lines.append([workload, unit, *cells])
        widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
        for line in lines:
            first = (cell.ljust(width) for cell, width in zip(line[:2], widths[:2], strict=True))
            rest = (cell.rjust(width) for cell, width in zip(line[2:], widths[2:], strict=True))
            yield "  ".join((*first, *rest)).rstrip()


def document(modes: Mapping[str, Samples], rounds: int) -> str:
    """Return all numbers as JSON."""
    return json.dumps(
        {
            "machine": machine(),
            "rounds": rounds,
            "results": [
                {"mode": mode, "workload": workload, "unit": unit, "samples": by_server}
                for mode, samples in modes.items()
                for (workload, unit), by_server in samples.items()
            ],
        },
        indent=1,
    )


def ratio(medians: Mapping[str, float], name: str, ours: str, unit: str) -> float | None:
    """Return how much better we are than a server; None when one of them has no number."""
    own, other = medians.get(ours), medians.get(name)
    if not own or not other:
        return None
    return own / other if unit in RATES else other / own


def _largest(rows: list[_Row]) -> list[_Row]:
    """Return, for each unit, the round with the most of each server."""
    most: dict[str, dict[str, list[float]]] = {}
    for (_, unit), by_server in rows:
        for name, found in by_server.items():
            known = most.setdefault(unit, {}).setdefault(name, [0.0])
            known[0] = max(known[0], *found)
    return [(("all", unit), by_server) for unit, by_server in most.items()]


def _cell(medians: Mapping[str, float], name: str, ours: str, unit: str) -> str:
    if name not in medians:
        return "-"
    value = medians[name]
    text = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    better = ratio(medians, name, ours, unit)
    return text if name == ours or better is None else f"{text} {better:.2f}x"
