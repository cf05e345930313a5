"""The end: jobs that run may end, within limits; and what the service manager is told."""

import signal
import socket
import threading
import time

import pytest

from api import FINAL, check_problem
from daemon import PATIENCE, eventually
from figures import figures
from samples import description, noise
from test_logs import lines

SHAPE = {"n_epochs": 100, "n_channels": 96, "n_times": 400}


def start_job(api, n_resample=1000):
    """A job that runs, for some ten seconds on one thread, and one behind it."""
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    request = {"type": "ransac", "dataset": dataset["id"], "parameters": {"n_resample": n_resample}}
    running, waiting = api.submit(request)["id"], api.submit(request)["id"]
    eventually(lambda: api.job(running)["state"] == "running", 20, "it runs")
    return dataset, running, waiting


def end(daemon, seconds):
    assert daemon.process.wait(seconds * PATIENCE) == 0, daemon.errors()


@pytest.mark.slow
def test_running_jobs_end(own_daemon):
    daemon = own_daemon("--threads", "1", "--drain-seconds", "300")
    api = daemon.api
    dataset, running, waiting = start_job(api, n_resample=300)
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: api.get("/readyz").status == 503, 5, "not ready")
    # Meanwhile: looking is possible, bringing work is not.
    assert api.get("/readyz").json()["status"] == "draining"
    assert api.get("/healthz").status == 200
    assert api.job(waiting)["state"] == "queued"
    assert figures(api).value("rejectd_draining") == 1
    response = api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]})
    check_problem(response, 503, "unavailable", mentions="stopping")
    assert response.headers["Retry-After"]
    check_problem(api.post("/v1/datasets", description()), 503, "unavailable")
    waited = {}
    waiter = threading.Thread(target=lambda: waited.update(api.job(running, wait=60)))
    waiter.start()
    end(daemon, 120)
    waiter.join(20)
    assert waited["state"] == "succeeded", "who waited for it was told"
    assert [e["jobs"] for e in lines(daemon, "draining")] == [1]
    assert not lines(daemon, "job-released")
    daemon.start()
    assert daemon.api.job(running)["state"] == "succeeded"
    assert daemon.api.job(running)["attempt"] == 1
    assert daemon.api.finish(waiting)["state"] == "succeeded"


def test_time_is_over(own_daemon):
    daemon = own_daemon("--threads", "1", "--drain-seconds", "1")
    _, running, waiting = start_job(daemon.api)
    start = time.monotonic()
    daemon.process.send_signal(signal.SIGTERM)
    end(daemon, 15)
    assert time.monotonic() - start >= 0.9
    assert [e["job"] for e in lines(daemon, "job-released")] == [running]
    daemon.start()
    job = daemon.api.job(running)
    assert job["state"] in ("queued", "running") and job["attempt"] <= 1, "it counts as no loss"
    for identity in (waiting, running):
        daemon.api.delete(f"/v1/jobs/{identity}")
        assert daemon.api.finish(identity)["state"] in FINAL


def test_twice_is_at_once(own_daemon):
    daemon = own_daemon("--threads", "1", "--drain-seconds", "600")
    _, running, waiting = start_job(daemon.api)
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: lines(daemon, "draining"), 5, "draining")
    assert daemon.alive()
    daemon.process.send_signal(signal.SIGTERM)
    end(daemon, 15)
    assert [e["job"] for e in lines(daemon, "job-released")] == [running]


def test_a_job_can_be_cancelled_meanwhile(own_daemon):
    daemon = own_daemon("--threads", "1", "--drain-seconds", "600")
    _, running, waiting = start_job(daemon.api)
    daemon.process.send_signal(signal.SIGTERM)
    eventually(lambda: daemon.api.get("/readyz").status == 503, 5, "draining")
    assert daemon.api.delete(f"/v1/jobs/{running}").status == 202
    end(daemon, 15)
    daemon.start()
    assert daemon.api.job(running)["state"] == "cancelled"
    daemon.api.delete(f"/v1/jobs/{waiting}")


def test_nothing_to_wait_for(own_daemon):
    daemon = own_daemon("--threads", "1", "--drain-seconds", "600")
    daemon.api.upload(description(), noise())
    daemon.process.send_signal(signal.SIGTERM)
    end(daemon, 5)


# ---- the service manager ----


class Manager:
    """The socket that a service manager would have."""

    def __init__(self, name):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)

    def hear(self, seconds=10):
        self.socket.settimeout(seconds * PATIENCE)
        return dict(line.split("=", 1) for line in self.socket.recv(4096).decode().split("\n"))

    def hear_until(self, key, seconds=10):
        deadline = time.monotonic() + seconds * PATIENCE
        while time.monotonic() < deadline:
            notice = self.hear(seconds)
            if key in notice:
                return notice
        raise AssertionError(f"no {key}")


@pytest.mark.parametrize("abstract", [False, True])
def test_notices(own_daemon, tmp_path, abstract):
    name = f"@rejectd-test-{tmp_path.name}" if abstract else str(tmp_path / "notify")
    manager = Manager(name)
    daemon = own_daemon("--threads", "1", "--drain-seconds", "600", environment={"NOTIFY_SOCKET": name})
    notice = manager.hear()
    assert notice["READY"] == "1" and str(daemon.port) in notice["STATUS"]
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    daemon.process.send_signal(signal.SIGHUP)
    notice = manager.hear()
    assert notice["RELOADING"] == "1"
    assert before <= int(notice["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert manager.hear()["READY"] == "1"
    daemon.process.send_signal(signal.SIGTERM)
    assert manager.hear()["STOPPING"] == "1"
    end(daemon, 10)
    manager.socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        manager.socket.recv(100)  # there was no watchdog, and so nothing else to say


def test_watchdog(own_daemon, tmp_path):
    name = str(tmp_path / "notify")
    manager = Manager(name)
    daemon = own_daemon(environment={"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000000"})
    assert manager.hear()["READY"] == "1"
    start = time.monotonic()
    for _ in range(4):
        assert manager.hear_until("WATCHDOG") == {"WATCHDOG": "1"}
    assert time.monotonic() - start < 4 * 2 * PATIENCE
    # The store doesn't answer: somebody holds its file locked against readers, too.
    connection = lock_store(daemon)
    try:
        eventually(lambda: lines(daemon, "store-unwell"), 60, "it is said")
        manager.socket.settimeout(0)
        drop_all(manager)
        manager.socket.settimeout(2.2)
        with pytest.raises(TimeoutError):
            while True:
                assert b"WATCHDOG" not in manager.socket.recv(4096)
    finally:
        connection.close()
    manager.hear_until("WATCHDOG", 40)


def lock_store(daemon):
    """Makes every read of the store fail: its table is gone until the transaction is undone."""
    import sqlite3

    class Undo:
        def __init__(self):
            self.path = daemon.data / "store.sqlite"
            with sqlite3.connect(self.path) as connection:
                connection.execute("ALTER TABLE models RENAME TO models_away")

        def close(self):
            with sqlite3.connect(self.path) as connection:
                connection.execute("ALTER TABLE models_away RENAME TO models")

    return Undo()


def drop_all(manager):
    try:
        while True:
            manager.socket.recv(4096)
    except BlockingIOError:
        pass
