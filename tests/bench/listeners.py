#!/usr/bin/env python3
"""Listeners and other clients at the same time, against a rejectd of its own.

    REJECTD_BUILD=build/release tests/bench/listeners.py --listeners 1000 --clients 16 --seconds 10

Listeners wait at jobs in the queue while one job after the other runs there; clients ask for jobs,
lists and health. Printed: times of the clients' requests, how long after each other all listeners of
a job hear of its end, memory of the daemon, and errors.
"""

import argparse
import collections
import random
import resource
import selectors
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from daemon import Daemon  # noqa: E402
from samples import description, noise  # noqa: E402

SHAPE = {"n_epochs": 80, "n_channels": 32, "n_times": 200}
N_JOBS = 8


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    return parser.parse_args()


def raise_file_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


class Listeners:
    """All in one thread: sockets that are read as something comes."""

    def __init__(self, port, jobs, count):
        self.selector = selectors.DefaultSelector()
        self.ends = collections.defaultdict(list)  # of each job: when its listeners saw its end
        self.events = 0
        self.errors = 0
        self.open = 0
        for i in range(count):
            job = jobs[i % len(jobs)]
            connection = socket.create_connection(("127.0.0.1", port), timeout=30)
            connection.sendall(f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            state = {"job": job, "tail": b"", "ended": False, "begun": False}
            connection.setblocking(False)
            self.selector.register(connection, selectors.EVENT_READ, state)
            self.open += 1

    def run(self, until):
        while self.open > 0 and time.monotonic() < until():
            for key, _ in self.selector.select(0.1):
                self.read(key.fileobj, key.data)

    def read(self, connection, state):
        try:
            got = connection.recv(65536)
        except OSError:
            got = b""
        if not state["begun"]:
            state["begun"] = True
            self.errors += not got.startswith(b"HTTP/1.1 200 ")
        text = state["tail"] + got
        self.events += text.count(b"\nevent: ")
        if b"\nevent: end\n" in text:
            state["ended"] = True
            self.ends[state["job"]].append(time.monotonic())
        last = text.endswith(b"\r\n0\r\n\r\n") or not got
        state["tail"] = text[text.rfind(b"\n") :]
        if last:
            self.errors += not state["ended"]
            self.selector.unregister(connection)
            connection.close()
            self.open -= 1


def ask(api, jobs, until, times, errors):
    choose = random.Random(len(times))
    while time.monotonic() < until:
        kind, path = choose.choice([("job", f"/v1/jobs/{choose.choice(jobs)}"),
                                    ("list", "/v1/jobs?limit=10"), ("health", "/healthz")])  # fmt: skip
        begun = time.monotonic()
        try:
            status = api.get(path, timeout=30).status
        except OSError:
            status = 0
        times.append((kind, time.monotonic() - begun))
        if status != 200:
            errors.append((kind, status))


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def show(times, seconds):
    print(f"{'request':<10}{'number':>8}{'per s':>9}{'p50 ms':>9}{'p99 ms':>9}{'max ms':>9}")
    for kind in sorted({kind for kind, _ in times}):
        took = [1e3 * second for name, second in times if name == kind]
        print(f"{kind:<10}{len(took):>8}{len(took) / seconds:>9.0f}{quantile(took, 0.5):>9.1f}"
              f"{quantile(took, 0.99):>9.1f}{max(took):>9.1f}")  # fmt: skip


def measure(daemon, arguments):
    api = daemon.api
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))["id"]
    fit = {"type": "fit", "dataset": dataset,
           "parameters": {"n_interpolate": [1, 4, 8], "cv": 10, "thresh_method": "exact"}}  # fmt: skip
    jobs = [api.submit(fit)["id"] for _ in range(N_JOBS)]
    before = daemon.memory()["VmRSS"]
    listeners = Listeners(daemon.port, jobs, arguments.listeners)
    until = time.monotonic() + arguments.seconds
    times, errors = [], []
    clients = [threading.Thread(target=ask, args=(api, jobs, until, times, errors))
               for _ in range(arguments.clients)]  # fmt: skip
    for client in clients:
        client.start()
    listeners.run(lambda: until)
    during = daemon.memory()["VmRSS"]
    for client in clients:
        client.join()
    for job in jobs:
        api.delete(f"/v1/jobs/{job}")
    patience = time.monotonic() + 60
    listeners.run(lambda: patience)
    show(times, arguments.seconds)
    spreads = [1e3 * (max(ends) - min(ends)) for ends in listeners.ends.values()]
    print(f"\n{arguments.listeners} listeners at {N_JOBS} jobs: {listeners.events} events; the last one of a job "
          f"heard of its end {max(spreads, default=0):.0f} ms after the first")  # fmt: skip
    print(f"memory: {before >> 20} MiB before, {during >> 20} MiB with listeners, "
          f"{daemon.memory()['VmRSS'] >> 20} MiB after")  # fmt: skip
    failed = len(errors) + listeners.errors + listeners.open
    print(f"errors: {len(errors)} of clients, {listeners.errors} of listeners, {listeners.open} never ended")
    return failed


def main():
    arguments = read_arguments()
    raise_file_limit(2 * arguments.listeners + 256)
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(folder, ["--backend", "reference", "--threads", "1"]).start()
        try:
            failed = measure(daemon, arguments)
        finally:
            daemon.stop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
