"""The paper beside a real server under load: ``python -m benchmarks.capacity.checking`` is one of its clients."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.harness.environments import ROOT
from tests.servers import RedisServer

from . import paper
from .figures import DIFFS, Requests, ask, core_seconds
from .paper import Figures, Load


@dataclass(frozen=True, slots=True)
class Checked:
    """What was promised and what was found."""

    requests: float
    """A second."""
    promised: float
    """The share of the time in which the server's core is busy."""
    found: float


def check(server: RedisServer, figures: Figures, load: Load, *, clients: int, seconds: float) -> Checked:
    """Put a load on a server, by several processes at once, and see how busy it is.

    Args:
        server: whatever it holds is removed.
        figures: measured on it.
        load: what the processes ask together.
        clients: how many processes.
        seconds: for how long.
    """
    server.client.flushall()
    requests = Requests(server)
    appends, polls = requests.appends(), [requests.polls(0), requests.polls(DIFFS)]
    rates = [stream.rate / clients for stream in paper.streams(figures, load)]
    with TemporaryDirectory() as folder:
        started = []
        for number in range(clients):
            path = Path(folder, f"{number}.json")
            # A diff that is sent twice is appended once, which would be less work.
            kinds = [appends[number::clients], *polls]
            path.write_text(json.dumps([[body.hex() for body in kind] for kind in kinds]))
            order = (str(server.socket), str(path), str(seconds), json.dumps(rates), str(number))
            started.append(
                subprocess.Popen(
                    (sys.executable, "-m", __name__, *order), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
                )
            )
        for process in started:
            assert process.stdout
            process.stdout.readline()
        before, begun = core_seconds(server.client), time.monotonic()
        for process in started:
            assert process.stdin
            process.stdin.write(b"\n")
            process.stdin.flush()
        answered = [json.loads(process.communicate()[0]) for process in started]
        spent, took = core_seconds(server.client) - before, time.monotonic() - begun
    # What the clients really asked, as a slow machine may not let them ask everything.
    counts = [sum(each) for each in zip(*answered, strict=True)]
    asked = [
        stream._replace(rate=count / took) for stream, count in zip(paper.streams(figures, load), counts, strict=True)
    ]
    return Checked(sum(counts) / took, paper.busy(asked, figures.waking / 1e6), spent / took)


def client(address: str, path: str, seconds: float, rates: list[float], seed: int) -> list[int]:
    """Ask as chance has it.

    Args:
        address: the server's unix socket.
        path: of its requests: appends, polls that find nothing, polls that find something.
        seconds: for how long.
        rates: how many of each kind a second.
        seed: of chance.

    Returns:
        How many of each were answered.
    """
    chance = random.Random(seed)
    bodies = [[bytes.fromhex(body) for body in kind] for kind in json.loads(Path(path).read_text())]
    counts = [0] * len(bodies)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        print("ready", flush=True)
        sys.stdin.readline()
        begun = time.perf_counter()
        at = 0.0
        while (at := at + chance.expovariate(sum(rates))) < seconds:
            if (pause := at - (time.perf_counter() - begun)) > 0:
                time.sleep(pause)
            (kind,) = chance.choices(range(len(bodies)), rates)
            ask(connection, bodies[kind][counts[kind] % len(bodies[kind])])
            counts[kind] += 1
    return counts


if __name__ == "__main__":
    print(json.dumps(client(sys.argv[1], sys.argv[2], float(sys.argv[3]), json.loads(sys.argv[4]), int(sys.argv[5]))))
