"""SIGHUP: what can change does, what can't is named, and a wrong file changes nothing."""

import time
import signal
import threading

import pytest

from api import check_problem
from daemon import SANITIZED, eventually
from samples import description
from test_logs import lines


class Reloading:
    def __init__(self, make, folder, text):
        self.file = folder / "rejectd.ini"
        self.file.write_text(text)
        self.daemon = make("--config", str(self.file))

    def reload(self, text, event="reloaded"):
        self.file.write_text(text)
        return self.signal(event)

    def signal(self, event="reloaded"):
        before = len(lines(self.daemon, event))
        self.daemon.process.send_signal(signal.SIGHUP)
        return eventually(lambda: len(found := lines(self.daemon, event)) > before and found[-1], 10, event)


@pytest.fixture
def reloading(own_daemon, tmp_path):
    return lambda text="": Reloading(own_daemon, tmp_path, text)


def accepts(daemon, n_bytes):
    response = daemon.api.post("/v1/jobs", b"{" + b" " * (n_bytes - 1))
    assert response.status in (400, 413), response
    return response.status == 400


def changed(daemon, event):
    return [entry["setting"] for entry in lines(daemon, event)]


def test_limits_change(reloading):
    service = reloading("max-json-bytes = 4096\n")
    daemon = service.daemon
    assert accepts(daemon, 4096) and not accepts(daemon, 4097)
    service.reload("max-json-bytes = 8K\nmax-upload-bytes = 1000\n")
    assert accepts(daemon, 8192) and not accepts(daemon, 8193)
    problem = check_problem(daemon.api.post("/v1/datasets", description()), 413, "too-large")
    assert "1000" in problem["detail"]
    assert changed(daemon, "setting-changed") == ["max-upload-bytes", "max-json-bytes"]
    assert changed(daemon, "restart-needed") == []
    service.reload("")
    assert accepts(daemon, 100000)


def test_log_level_changes(reloading):
    service = reloading("log-level = info\n")
    service.daemon.api.get("/healthz", headers={"X-Request-Id": "before"})
    time.sleep(0.5)  # it is logged, or not, after the answer was read
    service.reload("log-level = debug\n")
    service.daemon.api.get("/healthz", headers={"X-Request-Id": "after"})
    of = lambda identity: [e for e in lines(service.daemon, "request") if e["request_id"] == identity]
    eventually(lambda: of("after"), 5, "it is logged")
    assert not of("before")


def test_some_need_a_restart(reloading):
    service = reloading("")
    service.reload("http-threads = 7\nthreads = 3\nmax-uploads = 2\n")
    daemon = service.daemon
    assert changed(daemon, "restart-needed") == ["threads", "http-threads"]
    assert all(entry["level"] == "warning" for entry in lines(daemon, "restart-needed"))
    assert changed(daemon, "setting-changed") == ["max-uploads"]
    service.signal()  # they are still to come
    assert changed(daemon, "restart-needed") == ["threads", "http-threads"] * 2
    assert changed(daemon, "setting-changed") == ["max-uploads"]


WRONG = {
    "unknown setting": ("colour = red\n", "colour"),
    "wrong value": ("max-json-bytes = 8K\nmax-uploads = none\n", ":2"),
    "no line": ("max-json-bytes\n", ":1"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_file_changes_nothing(reloading, name):
    text, mentions = WRONG[name]
    service = reloading("max-json-bytes = 4096\n")
    entry = service.reload(text, "reload-failed")
    assert entry["level"] == "error" and mentions in entry["message"]
    assert accepts(service.daemon, 4096) and not accepts(service.daemon, 4097)
    service.reload("max-json-bytes = 8K\n")
    assert accepts(service.daemon, 8192)


def test_a_missing_file_changes_nothing(reloading):
    service = reloading("max-json-bytes = 4096\n")
    service.file.unlink()
    assert "rejectd.ini" in service.signal("reload-failed")["message"]
    assert not accepts(service.daemon, 4097)


def test_flags_win_as_before(own_daemon, tmp_path):
    path = tmp_path / "rejectd.ini"
    path.write_text("max-json-bytes = 4096\n")
    daemon = own_daemon("--config", str(path), "--max-json-bytes", "8192")
    path.write_text("max-json-bytes = 2048\n")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: lines(daemon, "reloaded"), 10, "reloaded")
    assert accepts(daemon, 8192)
    assert changed(daemon, "setting-changed") == []


def test_under_load(reloading):
    """Settings change while requests are answered by all of them."""
    service = reloading("max-json-bytes = 4096\n")
    api = service.daemon.api
    going, failures = True, []

    def ask():
        while going:
            try:
                response = api.post("/v1/jobs", b"{" + b" " * 6000)
                assert response.status in (400, 413), response
                assert api.get("/v1/jobs").status == 200
            except (OSError, AssertionError) as failure:
                failures.append(failure)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        for i in range(5 if SANITIZED else 20):
            level = ("info", "warning", "info", "error")[i % 4]
            service.file.write_text(f"max-json-bytes = {('8K', '4K')[i % 2]}\nlog-level = {level}\n")
            service.daemon.process.send_signal(signal.SIGHUP)
            threading.Event().wait(0.05)
    finally:
        going = False
        for thread in threads:
            thread.join(60)
    assert not failures
    service.reload("max-json-bytes = 8K\n")
    assert accepts(service.daemon, 8192)
