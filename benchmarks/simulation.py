"""What one server carries: computed from measured figures, simulated, and tried on a real server.

    python benchmarks/simulation.py
    python benchmarks/simulation.py --output figures.json
    python benchmarks/simulation.py --figures figures.json --objects 5000 --writes 20 --pollers 800

The last one measures nothing: it takes the figures of before, and tells of one load.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Not the folder of this file, whose modules would be found under a second name.
sys.path[0] = str(ROOT)

from benchmarks.capacity import checking, figures, paper, queueing  # noqa: E402
from benchmarks.capacity.paper import Figures, Load  # noqa: E402
from tests.servers import RedisServer, best_kind  # noqa: E402

LOADS = (
    Load(name="a site", objects=100_000, writes=50, pollers=2_000),
    Load(name="a large site", objects=1_000_000, writes=500, feeds_of_a_diff=2, pollers=20_000),
    Load(name="a server's fill", objects=2_000_000, writes=3_000, feeds_of_a_diff=2, pollers=60_000),
)
CHECKED = Load(name="checked", objects=500, writes=1_000, pollers=20_000)
SHARE = 0.5
"""Up to which nobody waits for long."""
SIMULATED_SECONDS = 20.0
CHECKED_SECONDS = 5.0
CLIENTS = 3
IN_STEP_SECONDS = 0.1
SITE_POLL = 500.0
GIGABYTE = 1e9
SITE_BUSY = 0.6
KEPT_OBJECTS = 2000
CACHED_FEEDS = 1000
CACHES = 2

OWN: dict[str, tuple[type, str]] = {
    "objects": (int, "how many objects change"),
    "writes": (float, "changes a second"),
    "feeds_of_a_diff": (int, "feeds that get each diff: the object's own, its parents', the model's"),
    "pollers": (int, "clients"),
    "interval": (float, "seconds between a client's polls"),
    "window": (float, "seconds for which a diff is kept"),
}

Table = list[Sequence[str]]


def main() -> None:
    """Measure, compute, simulate, check and print."""
    options = _parser().parse_args()
    if options.figures:
        found = Figures(**json.loads(options.figures.read_text()))
        show(*computed(found, _loads(options)))
        return
    with RedisServer(best_kind(), {"slowlog-log-slower-than": "-1"}) as server:
        figures.keep_apart(server)
        found = figures.measure(server, options.site_poll)
        show(*computed(found, _loads(options)), checked(server, found))
    if options.output:
        options.output.write_text(json.dumps(dataclasses.asdict(found), indent=1) + "\n")


def computed(found: Figures, given: Sequence[Load]) -> Iterator[Table]:
    """All that needs no server."""
    yield told(found)
    yield carried(found)
    yield loads(found, given)
    yield ends(found, given[-1])


def told(found: Figures) -> Table:
    """The figures."""
    return [
        ("measured", ""),
        ("an append of one diff", f"{found.append:.1f} µs of the server's core, {found.append_traffic:.0f} bytes"),
        ("a poll that finds nothing", f"{found.empty_poll:.1f} µs, {found.empty_traffic:.0f} bytes"),
        ("a poll that finds ten diffs", f"{found.full_poll:.1f} µs, {found.full_traffic:.0f} bytes"),
        ("what comes when it sleeps", f"{found.waking:.1f} µs more"),
        ("a feed", f"{found.feed_bytes:.0f} bytes of memory"),
        ("a diff in it", f"{found.diff_bytes:.0f} bytes of memory"),
        ("a poll in a process of the site", f"{found.site_poll:.0f} µs"),
    ]


def carried(found: Figures) -> Table:
    """What each resource allows when it is all that matters."""
    polls = paper.most_polls(found, SHARE, LOADS[0].news)
    return [
        (f"{SHARE:.0%} of what one server can do", ""),
        ("appends a second, where nobody polls", f"{paper.most_appends(found, SHARE):,.0f}"),
        ("polls a second, where nobody writes", f"{polls:,.0f}"),
        ("clients that poll every 5 seconds", f"{polls * 5:,.0f}"),
        ("diffs in a gigabyte, 10 in a feed", f"{10 * GIGABYTE / (found.feed_bytes + 10 * found.diff_bytes):,.0f}"),
        ("diffs in a gigabyte, one in a feed", f"{GIGABYTE / (found.feed_bytes + found.diff_bytes):,.0f}"),
    ]


def loads(found: Figures, given: Sequence[Load]) -> Table:
    """Loads on paper, and what the simulation says of the same."""
    columns = [_column(found, load) for load in given]
    return [(label, *(column[label] for column in columns)) for label in columns[0]]


def _column(found: Figures, load: Load) -> dict[str, str]:
    arriving = paper.streams(found, load)
    waking = found.waking / 1e6
    feeds, diffs = paper.kept(load)
    feeds_simulated, diffs_simulated = (
        share * load.objects for share in queueing.simulate_keeping(load, objects=KEPT_OBJECTS)
    )
    alone = queueing.simulate(found, load, seconds=SIMULATED_SECONDS)
    in_step = queueing.simulate(found, load, seconds=SIMULATED_SECONDS, spread=IN_STEP_SECONDS)
    return {
        "load": load.name,
        "objects": f"{load.objects:,}",
        "writes a second": f"{load.writes:,.0f}",
        "feeds that get each diff": f"{load.feeds_of_a_diff}",
        "clients that poll": f"{load.pollers:,}",
        "seconds between a client's polls": f"{load.interval:g}",
        "minutes that a diff is kept": f"{load.window / 60:g}",
        "share of what the server can do": f"{paper.work(arriving):.1%}",
        "its core is busy": f"{paper.busy(arriving, waking):.1%}",
        "the same, simulated": f"{alone.busy:.1%}",
        "mean wait": f"{paper.mean_wait(arriving, waking) * 1e6:.1f} µs",
        "the same, simulated ": f"{alone.mean_wait * 1e6:.1f} µs",
        "wait that one in a hundred exceeds": f"{alone.wait_99 * 1e6:.0f} µs",
        "longest wait, all clients within 0.1 s": f"{in_step.longest_wait * 1e3:.0f} ms",
        "feeds": f"{feeds:,.0f}",
        "the same, simulated  ": f"{feeds_simulated:,.0f}",
        "diffs": f"{diffs:,.0f}",
        "the same, simulated   ": f"{diffs_simulated:,.0f}",
        "memory": f"{paper.memory(found, load) / 1e6:,.0f} MB",
        "network": f"{paper.traffic(found, load) * 8 / 1e6:,.1f} Mbit/s",
        f"processes of the site for polls, {SITE_BUSY:.0%} busy": f"{paper.site_processes(found, load, SITE_BUSY):,}",
    }


def ends(found: Figures, load: Load) -> Table:
    """What more servers, and caches in front of the site, make of a load."""
    work = paper.work(paper.streams(found, load))
    memory = paper.memory(found, load) / 1e6
    rows: Table = [(f"servers that divide the shards of {load.name}", "of what the busiest can do", "most memory")]
    for servers in (1, 2, 3, 4, 8, 16):
        share = paper.largest_share(servers)
        rows.append((f"{servers}", f"{work * share:.1%}", f"{memory * share:,.0f} MB"))
    behind = paper.polls_behind_a_cache(CACHED_FEEDS, CACHES, 1.0)
    what = f"polls a second of {CACHED_FEEDS:,} public feeds behind {CACHES} caches"
    return [*rows, (what, f"{min(behind, load.polls):,.0f} instead of {load.polls:,.0f}")]


def checked(server: RedisServer, found: Figures) -> Table:
    """The paper beside the server itself."""
    result = checking.check(server, found, CHECKED, clients=CLIENTS, seconds=CHECKED_SECONDS)
    return [
        (f"{CLIENTS} processes, {result.requests:,.0f} requests a second", ""),
        ("busy, on paper", f"{result.promised:.1%}"),
        ("busy, as the server says", f"{result.found:.1%}"),
    ]


def _loads(options: argparse.Namespace) -> Sequence[Load]:
    """The one that the command line describes, or ours."""
    given = {name: value for name in OWN if (value := getattr(options, name)) is not None}
    return [dataclasses.replace(LOADS[0], name="this load", **given)] if given else LOADS


def show(*tables: Table) -> None:
    """Print tables."""
    for rows in tables:
        widths = [max(map(len, column)) for column in itertools.zip_longest(*rows, fillvalue="")]
        for row in rows:
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip())
        print()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Tell what one server of django-diffs carries.")
    parser.add_argument("--figures", type=Path, help="a file that --output wrote; nothing is measured then")
    parser.add_argument("--output", type=Path, help="where to write the figures that were measured, JSON")
    parser.add_argument(
        "--site-poll", type=float, default=SITE_POLL, help="microseconds of a process of the site for a poll"
    )
    for name, (kind, text) in OWN.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, help=text)
    return parser


if __name__ == "__main__":
    main()
