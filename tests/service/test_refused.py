"""A body that is not wanted is not read, and whoever is still sending it reads why."""

import time
from pathlib import Path

import pytest
from api import check_problem
from daemon import eventually

UNKNOWN = "/v1/datasets/ds_aaaaaaaaaaaaaaaaaaaaaa/samples"


@pytest.mark.parametrize("megabytes", [5, 16, 64])
def test_answer_arrives(api, megabytes):
    """http.client looks for an answer only when it has sent everything."""
    for _ in range(5):
        check_problem(api.put(UNKNOWN, bytes(megabytes << 20)), 404, "not-found")


def head(length):
    return (f"PUT {UNKNOWN} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
            f"Content-Length: {length}\r\n\r\n").encode()  # fmt: skip


def test_silent_client_is_let_go(api):
    """One that sends nothing more, and doesn't close, has its answer at once and is gone soon."""
    started = time.monotonic()
    answer = api.raw(head(1 << 30), b"some", finish=False)
    assert b" 404 " in answer.split(b"\r\n")[0]
    assert time.monotonic() - started < 10


def test_many_do_not_add_up(own_daemon):
    """However many are refused, descriptors are given back."""
    daemon = own_daemon()

    def descriptors():
        return len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))

    before = descriptors()
    for _ in range(200):
        assert b" 404 " in daemon.api.raw(head(1 << 30), b"some", finish=False)
    eventually(lambda: descriptors() <= before + 2, 20, "the descriptors are given back")
    assert daemon.api.get("/healthz").status == 200
