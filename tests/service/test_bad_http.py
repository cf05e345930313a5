"""HTTP itself used wrongly: methods, types, lengths, vanishing clients, smuggling shapes."""

import json
import random
import socket
import threading
import time

import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise

pytestmark = pytest.mark.usefixtures("unchanged")

UNKNOWN = "0123456789abcdefghijkl"


def status_of(answer):
    """Status codes of all responses in the bytes that came back."""
    parts = answer.split(b"HTTP/1.1 ")[1:]
    return [int(part[:3]) for part in parts]


WRONG_METHODS = [
    ("PUT", "/v1/datasets", "POST"),
    ("DELETE", "/v1/datasets", "GET"),
    ("PATCH", "/v1/datasets", "GET"),
    ("POST", f"/v1/datasets/ds_{UNKNOWN}", "GET"),
    ("GET", f"/v1/datasets/ds_{UNKNOWN}/samples", "PUT"),
    ("POST", f"/v1/datasets/ds_{UNKNOWN}/samples", "PUT"),
    ("PUT", "/v1/jobs", "POST"),
    ("POST", f"/v1/jobs/jb_{UNKNOWN}", "DELETE"),
    ("DELETE", f"/v1/jobs/jb_{UNKNOWN}/result", "GET"),
    ("PUT", "/v1/models", "GET"),
    ("PUT", f"/v1/models/md_{UNKNOWN}", "DELETE"),
    ("POST", "/healthz", "GET"),
    ("DELETE", "/readyz", "GET"),
    ("POST", "/openapi.yaml", "GET"),
    ("DELETE", "/", "GET"),
]


@pytest.mark.parametrize("method, path, allowed", WRONG_METHODS)
def test_wrong_method(api, method, path, allowed):
    response = api.request(method, path)
    check_problem(response, 405, "method-not-allowed")
    assert allowed in response.headers["Allow"].replace(" ", "").split(","), response.headers


@pytest.mark.parametrize("path", ["/v1", "/v1/", "/v2/datasets", "/v1/dataset", "/v1/datasets//samples",
                                  f"/v1/datasets/ds_{UNKNOWN}/other", "/v1/datasets/../jobs",
                                  "/v1/jobs/x/result/other.npy", "/etc/passwd",
                                  "/%2e%2e/%2e%2e/etc/passwd", "//", "/healthz/", "/HEALTHZ"])  # fmt: skip
def test_unknown_path(api, path):
    check_problem(api.get(path), 404, "not-found")


@pytest.mark.parametrize("kind", ["text/plain", "application/octet-stream", "multipart/form-data",
                                  "application/x-www-form-urlencoded", "json", "application/jsonx"])  # fmt: skip
@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/jobs"])
def test_wrong_content_type(api, path, kind):
    response = api.request("POST", path, json.dumps(description()), {"Content-Type": kind})
    check_problem(response, 415, "unsupported-media-type", None, "application/json")


@pytest.mark.parametrize("path", ["/v1/datasets", "/v1/jobs"])
def test_no_content_type(api, path):
    response = api.request("POST", path, json.dumps(description()))
    check_problem(response, 415, "unsupported-media-type", None, "application/json")


def head(method, path, *lines):
    text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    return (text + "".join(line + "\r\n" for line in lines) + "\r\n").encode()


JSON = "Content-Type: application/json"
BINARY = "Content-Type: application/octet-stream"


@pytest.fixture
def awaiting(api):
    """A dataset that still awaits its samples after the test, and is then removed."""
    dataset = api.create(description())
    yield dataset
    assert api.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


class TestLengths:
    def test_no_length_on_post(self, api):
        answer = api.raw(head("POST", "/v1/datasets", JSON))
        assert status_of(answer) in ([411], [400]), answer

    def test_no_length_on_put(self, api, awaiting):
        answer = api.raw(head("PUT", f"/v1/datasets/{awaiting['id']}/samples", BINARY))
        assert status_of(answer) in ([411], [422]), answer

    @pytest.mark.parametrize("kind", ["post", "put"])
    def test_chunked(self, api, awaiting, kind):
        body = json.dumps(description()).encode() if kind == "post" else noise().tobytes()
        chunks = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        path = "/v1/datasets" if kind == "post" else f"/v1/datasets/{awaiting['id']}/samples"
        answer = api.raw(
            head(kind.upper(), path, JSON if kind == "post" else BINARY, "Transfer-Encoding: chunked"),
            chunks)  # fmt: skip
        assert status_of(answer)[0] == 411, answer
        assert b"/problems/length-required" in answer

    @pytest.mark.parametrize("length", ["-1", "abc", "1e3", "0x10", "1 2", "99999999999999999999999"])
    @pytest.mark.parametrize("kind", ["post", "put"])
    def test_length_that_is_none(self, api, awaiting, kind, length):
        path = "/v1/datasets" if kind == "post" else f"/v1/datasets/{awaiting['id']}/samples"
        method = kind.upper()
        answer = api.raw(head(method, path, JSON if kind == "post" else BINARY, f"Content-Length: {length}"))
        assert all(status in (400, 411, 413) for status in status_of(answer)), answer

    def test_json_larger_than_the_limit(self, api):
        """Refused by its length alone, before the body is sent."""
        answer = api.raw(head("POST", "/v1/datasets", JSON, "Content-Length: 99999999999"), finish=False)
        assert status_of(answer) == [413], answer

    def test_samples_larger_than_declared(self, api, awaiting):
        path = f"/v1/datasets/{awaiting['id']}/samples"
        answer = api.raw(head("PUT", path, BINARY, "Content-Length: 99999999999"), finish=False)
        assert status_of(answer) in ([413], [422]), answer

    @pytest.mark.parametrize("path", ["/v1/datasets", "/v1/models"])
    def test_visibility_is_refused_before_the_body(self, api, path):
        lines = [BINARY, "Content-Length: 1000000", "Expect: 100-continue"]
        answer = api.raw(head("POST", f"{path}?visibility=labb", *lines), finish=False)
        assert status_of(answer) == [422] and b'"visibility"' in answer, answer

    @pytest.mark.parametrize("sent", [0, 1, 5000, 11519])
    def test_body_shorter_than_its_length(self, api, awaiting, sent):
        path = f"/v1/datasets/{awaiting['id']}/samples"
        answer = api.raw(head("PUT", path, BINARY, "Content-Length: 11520"), noise().tobytes()[:sent])
        assert 200 not in status_of(answer), answer

    def test_body_longer_than_its_length(self, api, awaiting):
        """What follows is another request, which is none."""
        path = f"/v1/datasets/{awaiting['id']}/samples"
        answer = api.raw(head("PUT", path, BINARY, "Content-Length: 11519"), noise().tobytes())
        assert 200 not in status_of(answer), answer

    def test_json_shorter_than_its_length(self, api):
        body = json.dumps(description()).encode()
        answer = api.raw(head("POST", "/v1/datasets", JSON, f"Content-Length: {len(body) + 10}"), body)
        assert 201 not in status_of(answer), answer


class TestVanishing:
    """Clients that go away in the middle leave nothing, and nothing hangs."""

    def leave(self, api, request_head, body, reset):
        connection = socket.create_connection(("127.0.0.1", api.port), timeout=20)
        if reset:
            linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.sendall(request_head + body)
        time.sleep(0.05)
        connection.close()

    @pytest.mark.parametrize("reset", [False, True])
    def test_during_upload(self, api, daemon, awaiting, reset):
        path = f"/v1/datasets/{awaiting['id']}/samples"
        request_head = head("PUT", path, BINARY, "Content-Length: 11520")
        for sent in (0, 1, 4096, 11519):
            self.leave(api, request_head, noise().tobytes()[:sent], reset)
        assert api.get("/healthz").status == 200
        eventually(lambda: not left_over(daemon), 10, "temporary files are removed")

    @pytest.mark.parametrize("reset", [False, True])
    def test_during_post(self, api, reset):
        body = json.dumps(description()).encode()
        request_head = head("POST", "/v1/datasets", JSON, f"Content-Length: {len(body)}")
        for sent in (0, 10, len(body) - 1):
            self.leave(api, request_head, body[:sent], reset)
        assert api.get("/healthz").status == 200

    def test_during_head(self, api):
        for part in (b"G", b"GET /healthz HTTP/1.1\r\n", b"GET /healthz HTTP/1.1\r\nHost: x\r\nA"):
            self.leave(api, part, b"", True)
        assert api.get("/healthz").status == 200

    def test_many_at_once(self, api, awaiting):
        path = f"/v1/datasets/{awaiting['id']}/samples"
        request_head = head("PUT", path, BINARY, "Content-Length: 11520")
        rng = random.Random(1)

        def one():
            self.leave(api, request_head, noise().tobytes()[: rng.randrange(11520)], rng.random() < 0.5)

        threads = [threading.Thread(target=one) for _ in range(24)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert api.get("/healthz").status == 200


def left_over(daemon):
    """Files of unfinished uploads in the data directory."""
    return [p for p in daemon.data.rglob("*") if p.is_file() and ("tmp" in p.name or "part" in p.name
            or p.parent.name in ("tmp", "incoming"))]  # fmt: skip


class TestShapes:
    """Requests of a kind that make proxies and servers disagree about where a body ends."""

    CREATE = json.dumps(description()).encode()

    def refused(self, api, raw, body=b""):
        answer = api.raw(raw, body)
        assert not any(status < 400 for status in status_of(answer)), answer

    def test_length_and_chunked(self, api):
        chunk = f"{len(self.CREATE):x}\r\n".encode() + self.CREATE + b"\r\n0\r\n\r\n"
        lines = (JSON, f"Content-Length: {len(self.CREATE)}", "Transfer-Encoding: chunked")
        self.refused(api, head("POST", "/v1/datasets", *lines), chunk)

    def test_two_lengths(self, api):
        lines = (JSON, f"Content-Length: {len(self.CREATE)}", "Content-Length: 5")
        self.refused(api, head("POST", "/v1/datasets", *lines), self.CREATE)

    @pytest.mark.parametrize("coding", ["gzip", "chunked, identity", "x, chunked", " chunked\tx"])
    def test_other_codings(self, api, coding):
        self.refused(api, head("POST", "/v1/datasets", JSON, f"Transfer-Encoding: {coding}"), b"0\r\n\r\n")

    def test_body_with_get(self, api):
        """A body that isn't wanted is not taken for the next request."""
        hidden = head("DELETE", f"/v1/datasets/ds_{UNKNOWN}")
        answer = api.raw(head("GET", "/healthz", f"Content-Length: {len(hidden)}", "Connection: close"), hidden)
        assert len(status_of(answer)) == 1, answer

    @pytest.mark.parametrize("raw", [
        b"\r\n\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        bytes(range(256)) * 16,
        b"GET " + b"/x" * 40000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 80000 + b"\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 20000 + b"\r\n",
        b"GET /health\x00z HTTP/1.1\r\nHost: x\r\n\r\n",
    ], ids=range(10))  # fmt: skip
    def test_garbage(self, api, daemon, raw):
        answer = api.raw(raw)
        assert 200 not in status_of(answer), answer
        assert daemon.alive() and api.get("/healthz").status == 200

    def test_pipelined(self, api):
        answer = api.raw(head("GET", "/healthz") + head("GET", "/readyz", "Connection: close"))
        assert status_of(answer) == [200, 200], answer


def test_many_idle_connections(api):
    """Clients that connect and say nothing do not keep others out."""
    idle = [socket.create_connection(("127.0.0.1", api.port), timeout=20) for _ in range(60)]
    try:
        assert api.get("/healthz").status == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("origin", ["http://evil.example", "null"])
def test_other_origins_are_not_invited(api, origin):
    response = api.request("GET", "/v1/datasets", headers={"Origin": origin})
    assert "Access-Control-Allow-Origin" not in response.headers
