#!/usr/bin/env python3
"""A thousand listeners to events, beside clients that upload, fit and read.

    REJECTD_BUILD=build/release tests/bench/listeners.py [--listeners 1000] [--clients 64] [--seconds 60]

Starts a daemon of its own. Half of the listeners listen to the queue, the others to the jobs that the
clients make; one whose job has ended goes on with a newer one. First, for some seconds, the
listeners are there and nothing happens: what the daemon's threads then take of a processor is told.
Then the clients work: a tenth of what they do is an upload (dataset, samples, and its deletion), two
tenths a fit that is waited for, the rest reads of states and lists. Told are times of requests as the
clients see them, from one end of a shared machine to the other, the daemon's memory, and all that
went wrong; the exit status is 1 when anything did. Writes results/listeners.json (--name).
"""

import argparse
import collections
import http.client
import json
import multiprocessing
import os
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

import report  # noqa: E402
from api import FINAL  # noqa: E402
from daemon import Daemon  # noqa: E402
from samples import description, noise  # noqa: E402

SMALL = {"n_epochs": 20, "n_channels": 16, "n_times": 100}
FIT = {"n_interpolate": [1, 2], "consensus": [0.3, 0.6], "cv": 3, "thresh_method": "random_search"}
LIMITS = ["--user-requests-per-second", "0", "--user-queued-jobs", "0", "--max-uploads", "64"]
PROCESSES = 4  # that the clients are divided among


def read_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listeners", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--idle-seconds", type=float, default=10.0)
    parser.add_argument("--name", default="listeners", help="of the file in results/; empty: none is written")
    return parser.parse_args()


def raise_file_limit(wanted):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, hard), hard))


# ---- listeners, all in one thread of a process of their own ----


class Listeners:
    def __init__(self, port, count):
        self.port = port
        self.selector = selectors.DefaultSelector()
        self.jobs = []
        self.told = collections.Counter()
        self.errors = collections.Counter()
        for i in range(count):
            self.listen("/v1/events" if i % 2 == 0 else None)

    def listen(self, path):
        """To the queue, or to one of the last jobs (to the queue while there is none)."""
        of_queue = path is not None
        if path is None:
            path = f"/v1/jobs/{random.choice(self.jobs)}/events" if self.jobs else "/v1/events"
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.setblocking(False)
        state = {"queue": of_queue, "of_job": path != "/v1/events", "tail": b"", "begun": False, "ended": False}
        self.selector.register(connection, selectors.EVENT_READ, state)

    def close(self, connection):
        self.selector.unregister(connection)
        connection.close()

    def run(self, connection):
        """Until the other end of the pipe says so; it also tells of jobs."""
        going = True
        while going:
            while connection.poll():
                message = connection.recv()
                going = message is not None
                self.jobs = message or self.jobs
            for key, _ in self.selector.select(0.05):
                self.read(key.fileobj, key.data)
        connection.send((dict(self.told), dict(self.errors), len(self.selector.get_map())))

    def read(self, connection, state):
        try:
            got = connection.recv(65536)
        except OSError as error:
            self.errors[f"listener: {error}"] += 1
            got = b""
        if not state["begun"]:
            state["begun"] = True
            if not got.startswith(b"HTTP/1.1 200 "):
                self.errors[f"listener refused: {got[:60]!r}"] += 1
        text = state["tail"] + got
        lines = text.split(b"\n")
        state["tail"] = lines.pop()
        for line in lines:
            if line.startswith(b"event: "):
                kind = line[7:].decode()
                self.told[kind] += 1
                state["ended"] = state["ended"] or kind == "end"
        over = not got or (state["ended"] and b"\n0\r\n" in text)
        # Those that began while there was no job go on to one.
        moves_on = not state["queue"] and not state["of_job"] and self.jobs
        if over and not state["ended"]:
            self.errors["listener: its stream ended early"] += 1
        if over or moves_on:
            self.close(connection)
            self.listen("/v1/events" if state["queue"] else None)


def listen(port, count, connection):
    raise_file_limit(2 * count + 256)
    listeners = Listeners(port, count)
    connection.send("ready")
    listeners.run(connection)


# ---- clients ----


class Client(threading.Thread):
    def __init__(self, port, seed, dataset, until):
        super().__init__()
        self.port, self.random, self.dataset, self.until = port, random.Random(seed), dataset, until
        self.times, self.errors, self.jobs = [], [], []
        self.samples = noise(**SMALL, seed=seed).tobytes()
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def ask(self, kind, method, path, body=None, content_type="application/json", expected=200):
        begun = time.perf_counter()
        headers = {} if body is None else {"Content-Type": content_type}
        self.connection.request(method, path, body, headers)
        response = self.connection.getresponse()
        text = response.read()
        if kind is not None:
            self.times.append((kind, time.perf_counter() - begun))
        if response.status != expected:
            raise AssertionError(f"{method} {path}: {response.status} {text[:200]!r}")
        return json.loads(text) if text else None

    def upload(self):
        made = self.ask("create a dataset", "POST", "/v1/datasets", json.dumps(description(**SMALL)), expected=201)
        path = f"/v1/datasets/{made['id']}"
        self.ask("upload samples", "PUT", f"{path}/samples", self.samples, "application/octet-stream")
        self.ask("delete a dataset", "DELETE", path, expected=204)

    def fit(self):
        begun = time.perf_counter()
        parameters = FIT | {"random_state": self.random.randrange(1 << 31)}
        request = {"type": "fit", "dataset": self.dataset, "parameters": parameters}
        job = self.ask("submit a fit", "POST", "/v1/jobs", json.dumps(request), expected=202)
        self.jobs.append(job["id"])
        while job["state"] not in FINAL:
            job = self.ask(None, "GET", f"/v1/jobs/{job['id']}?wait=30")
        self.times.append(("fit, until its end", time.perf_counter() - begun))
        if job["state"] != "succeeded":
            raise AssertionError(f"a fit has {job['state']}: {job['error']}")

    def step(self):
        what = self.random.random()
        if what < 0.1:
            self.upload()
        elif what < 0.3:
            self.fit()
        elif what < 0.8 and self.jobs:
            self.ask("read a job", "GET", f"/v1/jobs/{self.random.choice(self.jobs)}")
        else:
            self.ask("list jobs", "GET", "/v1/jobs?limit=10")

    def run(self):
        while time.monotonic() < self.until:
            try:
                self.step()
            except (AssertionError, OSError, http.client.HTTPException) as error:
                self.errors.append(repr(error)[:300])
                self.connection.close()


def work(port, seeds, dataset, until, connection):
    clients = [Client(port, seed, dataset, until) for seed in seeds]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    connection.send(([time for c in clients for time in c.times], [error for c in clients for error in c.errors]))


# ---- the measurement ----


def processor_seconds(daemon):
    fields = Path(f"/proc/{daemon.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def threads_of(daemon):
    return len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))


def start(target, *arguments):
    here, there = multiprocessing.Pipe()
    process = multiprocessing.Process(target=target, args=(*arguments, there))
    process.start()
    return process, here


def idle(daemon, seconds):
    before = processor_seconds(daemon)
    time.sleep(seconds)
    return (processor_seconds(daemon) - before) / seconds


def load(daemon, arguments, dataset, listeners):
    """(times, errors, resident bytes by second) of the clients' work."""
    until = time.monotonic() + arguments.seconds
    divided = [range(i, arguments.clients, PROCESSES) for i in range(min(PROCESSES, arguments.clients))]
    workers = [start(work, daemon.port, list(seeds), dataset, until) for seeds in divided]
    memory = []
    while time.monotonic() < until:
        jobs = daemon.api.get("/v1/jobs?limit=30").json()["jobs"]
        listeners.send([job["id"] for job in jobs if job["state"] not in FINAL])
        memory.append(daemon.memory()["VmRSS"])
        time.sleep(1.0)
    times, errors = [], []
    for process, connection in workers:
        more = connection.recv()
        times += more[0]
        errors += more[1]
        process.join()
    return times, errors, memory


def quantile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def table(times, seconds):
    rows = []
    for kind in sorted({kind for kind, _ in times}):
        took = [1e3 * second for name, second in times if name == kind]
        rows.append({"request": kind, "number": len(took), "per_second": round(len(took) / seconds, 1),
                     "p50_ms": round(quantile(took, 0.5), 2), "p99_ms": round(quantile(took, 0.99), 2),
                     "most_ms": round(max(took), 2)})  # fmt: skip
    print(f"{'request':<20}{'number':>8}{'per s':>9}{'p50 ms':>10}{'p99 ms':>10}{'most ms':>10}")
    for row in rows:
        print(f"{row['request']:<20}{row['number']:>8}{row['per_second']:>9}{row['p50_ms']:>10}"
              f"{row['p99_ms']:>10}{row['most_ms']:>10}")  # fmt: skip
    return rows


def measure(daemon, arguments):
    dataset = daemon.api.upload(description(**SMALL), noise(**SMALL))["id"]
    made = {"listeners": arguments.listeners, "clients": arguments.clients, "seconds": arguments.seconds,
            "threads_before": threads_of(daemon), "rss_before": daemon.memory()["VmRSS"]}  # fmt: skip
    process, listeners = start(listen, daemon.port, arguments.listeners)
    listeners.recv()
    time.sleep(1.0)
    made["rss_with_listeners"] = daemon.memory()["VmRSS"]
    made["threads_with_listeners"] = threads_of(daemon)
    made["idle_processors"] = round(idle(daemon, arguments.idle_seconds), 4)
    times, errors, memory = load(daemon, arguments, dataset, listeners)
    made["rss_by_second"] = memory
    listeners.send(None)
    told, failed, still = listeners.recv()
    process.join()
    errors += [f"{count} times {what}" for what, count in failed.items()]
    if still != arguments.listeners:
        errors.append(f"{still} of {arguments.listeners} listeners are left")
    made |= {"rss_after": daemon.memory()["VmRSS"], "events_told": told, "errors": errors}
    made["requests"] = table(times, arguments.seconds)
    return made


def show(made):
    third = made["rss_by_second"][len(made["rss_by_second"]) // 3]
    print(f"\n{made['listeners']} listeners: {made['threads_with_listeners'] - made['threads_before']} more threads, "
          f"{100 * made['idle_processors']:.2f} % of a processor while nothing happens; "
          f"they were told {sum(made['events_told'].values())} events")  # fmt: skip
    print(f"resident memory, MiB: {made['rss_before'] >> 20} before, {made['rss_with_listeners'] >> 20} with "
          f"listeners, {third >> 20} after a third of the work, {made['rss_after'] >> 20} at its end")  # fmt: skip
    print(f"errors: {len(made['errors'])}")
    for error in made["errors"][:10]:
        print(f"  {error}")


def main():
    arguments = read_arguments()
    machine = report.machine()
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(folder, LIMITS + ["--threads", "1"]).start()
        try:
            made = measure(daemon, arguments)
        finally:
            daemon.stop()
    show(made)
    if arguments.name:
        report.write(arguments.name, {"machine": machine} | made)
    return 1 if made["errors"] else 0


if __name__ == "__main__":
    sys.exit(main())
