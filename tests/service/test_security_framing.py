"""Requests that proxies and servers read in different ways: refused, and the connection closed."""

import json

import pytest
from samples import description, noise
from wire import BINARY, JSON, UNKNOWN, connected, head, problem_of, receive_all, receive_one, statuses

pytestmark = pytest.mark.usefixtures("unchanged")

BODY = json.dumps(description()).encode()
LENGTH = f"Content-Length: {len(BODY)}"
# What a smuggler hides in a body: it would be answered, were it read as a request.
HIDDEN = head("GET", "/healthz")


def refused(api, raw, mentions=None, field=None):
    """One answer, 400, and nothing of what follows is read as another request."""
    with connected(api.port) as connection:
        connection.sendall(raw + HIDDEN)
        answer = receive_all(connection)
    assert statuses(answer) == [400], answer
    assert b"Connection: close" in answer, answer
    if b"application/problem+json" in answer:  # else it is libmicrohttpd that refuses
        problem = problem_of(answer)
        assert problem["type"] == "/problems/invalid-request", problem
        if mentions is not None:
            assert mentions.lower() in problem["detail"].lower(), problem
        if field is not None:
            assert problem["field"] == field, problem
    else:
        assert mentions is None and field is None, answer
    return answer


@pytest.mark.parametrize("name, values", [
    ("Host", ["127.0.0.1"]),
    ("Content-Length", [str(len(BODY)), str(len(BODY))]),
    ("Content-Length", ["5", str(len(BODY))]),
    ("content-length", [str(len(BODY)), "0"]),
    ("Content-Type", ["application/json", "application/json"]),
    ("Content-Type", ["application/json", "text/plain"]),
    ("Authorization", ["Bearer a", "Bearer a"]),
    ("AUTHORIZATION", ["Bearer a", "Bearer b"]),
    ("Content-Range", ["bytes 0-1/2", "bytes 1-2/2"]),
    ("Transfer-Encoding", ["chunked", "chunked"]),
    ("Expect", ["100-continue", "100-continue"]),
    ("Origin", ["http://127.0.0.1", "http://evil.example"]),
    ("Range", ["bytes=0-1", "bytes=1-2"]),
    ("Idempotency-Key", ["a", "b"]),
])  # fmt: skip
def test_twice(api, name, values):
    own = {"content-length": [], "content-type": [LENGTH], "transfer-encoding": [JSON]}
    lines = own.get(name.lower(), [JSON, LENGTH]) + [f"{name}: {value}" for value in values]
    refused(api, head("POST", "/v1/datasets", *lines) + BODY, "more than one")


def test_length_and_chunks(api):
    chunks = f"{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n"
    for lines in ((LENGTH, "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 0"),
                  ("transfer-encoding: CHUNKED", "content-length: 3")):  # fmt: skip
        refused(api, head("POST", "/v1/datasets", JSON, *lines) + chunks, "both", "Transfer-Encoding")


@pytest.mark.parametrize("coding", ["gzip", "chunked, identity", "identity, chunked", "xchunked", "chunked;a=b",
                                    "\"chunked\"", "chunked chunked", "chunked\t"])  # fmt: skip
def test_codings(api, coding):
    """None of them is taken for chunked, or for none at all."""
    with connected(api.port, timeout=20) as connection:
        connection.sendall(head("POST", "/v1/datasets", JSON, f"Transfer-Encoding: {coding}") + b"0\r\n\r\n" + HIDDEN)
        answer = receive_all(connection)
    assert statuses(answer) == [400], answer


def test_chunks_with_http_1_0(api):
    refused(api, head("POST", "/v1/datasets", JSON, "Transfer-Encoding: chunked", version="HTTP/1.0"), "coding")


@pytest.mark.parametrize("length", ["+5", "-5", "5 5", "5,5", "0x5", "5;", "5 ", "5\t", "1e1", "", " ",
                                    "9223372036854775808", "18446744073709551615", "18446744073709551616",
                                    "99999999999999999999999999"])  # fmt: skip
def test_lengths(api, length):
    with connected(api.port) as connection:
        connection.sendall(head("POST", "/v1/datasets", JSON, f"Content-Length: {length}") + HIDDEN)
        answer = receive_all(connection)
    # To some of them libmicrohttpd gives the same answer twice; that it closes is what counts.
    assert statuses(answer) and set(statuses(answer)) <= {400, 413} and b"Connection: close" in answer, answer


@pytest.mark.parametrize("line", [
    b"Content-Length : 5", b"Content-Length\t: 5", b" Content-Length: 5", b"Content Length: 5",
    b"Content-Length:: 5", b": 5", b"X-A(b): 5", b"X\xff: 5", b"X\x01: 5", b"[x]: 1",
])  # fmt: skip
def test_names(api, line):
    with connected(api.port) as connection:
        connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n" + HIDDEN)
        answer = receive_all(connection)
    assert set(statuses(answer)) == {400}, answer


@pytest.mark.parametrize("value", [b"a\x00b", b"a\x01", b"\x7f", b"a\rb", b"\x0b", b"a\x00", b"\x00"])
@pytest.mark.parametrize("where", ["last", "before"])
def test_control_bytes(api, value, where):
    line = b"X-Test: " + value + b"\r\n"
    other = b"X-Other: 1\r\n"
    lines = other + line if where == "last" else line + other
    refused(api, b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n" + lines + b"\r\n")


@pytest.mark.parametrize("raw", [
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n b\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n\tb\r\nX-Other: 1\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chun\r\n ked\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Test:\r\n Content-Length: 5\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost:\r\n x\r\n\r\n",
])  # fmt: skip
def test_folded_lines(api, raw):
    refused(api, raw)


@pytest.mark.parametrize("raw", [
    b"GET /v1/jobs HTTP/1.1\nHost: x\n\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\nX-Test: a\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Test: a\n\r\n",
    b"GET /v1/jobs HTTP/1.1\nHost: x\r\n\r\n",
    b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\nX-Test: a\r\n\n",
])  # fmt: skip
def test_bare_line_feeds(api, raw):
    refused(api, raw)


@pytest.mark.parametrize("line", [
    b"GET /v1/jobs", b"GET", b"GET /v1/jobs HTTP/2.0", b"GET /v1/jobs HTTP/1.2", b"GET /v1/jobs HTTP/0.9",
    b"GET /v1/jobs http/1.1", b"GET /v1/jobs HTTP/1.1 ", b"GET /v1/jobs  HTTP/1.1", b"GET  /v1/jobs HTTP/1.1",
    b"GET /v1/jobs x HTTP/1.1", b"GET\t/v1/jobs HTTP/1.1", b"GET /v1/jobs HTTP/1.1x", b"\x00GET /v1/jobs HTTP/1.1",
    b"GET /v1/\x00jobs HTTP/1.1", b"GET /v1/jobs\x00 HTTP/1.1", b"PRI * HTTP/2.0", b"GET /v1/jobs?\x00 HTTP/1.1",
])  # fmt: skip
def test_request_lines(api, line):
    with connected(api.port, timeout=20) as connection:
        connection.sendall(line + b"\r\nHost: x\r\n\r\n" + HIDDEN)
        answer = receive_all(connection)
    assert statuses(answer) in ([400], [505], []), answer  # libmicrohttpd gives no answer to some


def test_no_host(api):
    refused(api, b"GET /v1/jobs HTTP/1.1\r\nX-Test: a\r\n\r\n", "Host", "Host")
    refused(api, b"GET /v1/jobs HTTP/1.1\r\n\r\n", "Host", "Host")
    with connected(api.port) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert statuses(receive_all(connection).replace(b"HTTP/1.0", b"HTTP/1.1")) == [200]


def test_empty_values_are_fine(api):
    """The measure of the head is not stricter than HTTP."""
    for line in (b"X-Test:", b"X-Test: ", b"X-Test:a", b"X-Test: \t a \t", b"X-Test: a: b: c", b"X-Test: \xc3\xa4",
                 b"A:b\r\nC:\r\nD: e"):  # fmt: skip
        with connected(api.port) as connection:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + line + b"\r\n\r\n")
            assert statuses(receive_one(connection)) == [200], line


def test_in_pieces(api):
    """However the bytes arrive; and large heads, which move in memory while they grow."""
    raw = head("GET", "/healthz", "A: b", "Cookie: " + "c" * 9000, "D:", *[f"X-{i}: {i}" for i in range(80)])
    for size in (1, 7, 1000, 5000):
        with connected(api.port) as connection:
            for at in range(0, len(raw), size):
                connection.sendall(raw[at : at + size])
            assert statuses(receive_one(connection)) == [200], size


class TestPipelines:
    def test_several(self, api):
        with connected(api.port) as connection:
            connection.sendall(HIDDEN * 20 + head("GET", "/readyz", "Connection: close"))
            assert statuses(receive_all(connection)) == [200] * 21

    def test_after_a_refused_body(self, api):
        """The body that was refused is skipped to its last byte, and what follows is answered."""
        with connected(api.port) as connection:
            last = head("GET", "/healthz", "Connection: close")
            connection.sendall(head("POST", "/nowhere", JSON, LENGTH) + BODY + last)
            assert statuses(receive_all(connection)) == [404, 200]
        # Requests in a body are a body.
        lines = ("Content-Type: text/plain", f"Content-Length: {len(HIDDEN)}")
        with connected(api.port) as connection:
            connection.sendall(head("POST", "/v1/datasets", *lines) + HIDDEN)
            assert statuses(receive_one(connection)) == [415]
            connection.sendall(head("GET", "/readyz", "Connection: close"))
            assert statuses(receive_all(connection)) == [200]

    def test_after_a_large_refused_body(self, api):
        """One that isn't skipped ends the connection; what follows is not looked at."""
        lines = ("Content-Type: text/plain", "Content-Length: 99999999")
        with connected(api.port) as connection:
            connection.sendall(head("POST", "/v1/datasets", *lines) + HIDDEN * 3)
            assert statuses(receive_all(connection)) == [415]

    def test_body_with_get(self, api):
        with connected(api.port) as connection:
            connection.sendall(head("GET", "/healthz", f"Content-Length: {len(HIDDEN)}") + HIDDEN)
            answer = receive_one(connection)
            assert statuses(answer) == [400], answer
            connection.sendall(head("GET", "/readyz", "Connection: close"))
            assert statuses(receive_all(connection)) == [200]

    def test_upload_and_more(self, api):
        """What follows an upload is another request, not more samples."""
        dataset = api.create(description())
        data = noise().tobytes()
        with connected(api.port) as connection:
            connection.sendall(head("PUT", f"/v1/datasets/{dataset['id']}/samples", BINARY,
                                    f"Content-Length: {len(data)}") + data
                               + head("GET", "/healthz", "Connection: close"))  # fmt: skip
            assert statuses(receive_all(connection)) == [200, 200]
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


class TestSizes:
    def test_many_headers(self, api):
        refused(api, head("GET", "/v1/jobs", *[f"X-{i}: 1" for i in range(120)]), "headers")

    def test_large_headers(self, api):
        refused(api, head("GET", "/v1/jobs", "Cookie: " + "c" * 17000), "headers")

    def test_larger_ones(self, api):
        """Beyond its own memory libmicrohttpd refuses, before any route."""
        for raw in (head("GET", "/healthz", "Cookie: " + "c" * 200000), head("GET", "/" + "x" * 200000),
                    head("GET", "/healthz", *[f"X-{i}: 1" for i in range(30000)])):  # fmt: skip
            with connected(api.port) as connection:
                try:
                    connection.sendall(raw)
                except OSError:
                    pass
                assert statuses(receive_all(connection)) in ([400], [414], [431], []), raw[:80]
        assert api.get("/healthz").status == 200

    def test_long_uri(self, api):
        refused(api, head("GET", "/v1/jobs?" + "x" * 5000), "URI")
        refused(api, head("GET", "/" + "x" * 5000), "URI")

    def test_arguments(self, api):
        refused_softly(api, "/v1/jobs?" + "&".join(f"a{i}=1" for i in range(20)), "arguments")
        refused_softly(api, "/v1/jobs?limit=1&limit=2", "twice")
        refused_softly(api, "/v1/jobs?limit=1%00", "NUL")
        refused_softly(api, "/v1/jobs?lim%00it=1", "NUL")


def refused_softly(api, path, mentions):
    """The framing is clear, so that the connection may go on."""
    with connected(api.port) as connection:
        connection.sendall(head("GET", path))
        answer = receive_one(connection)
        assert statuses(answer) == [400] and mentions in problem_of(answer)["detail"], answer
        connection.sendall(HIDDEN)
        assert statuses(receive_one(connection)) == [200]


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "OPTIONS", "PROPFIND", "get", "G", "X" * 300, "GET/", "*"])
def test_methods(api, method):
    """None of them is answered with what was sent, or does anything."""
    for path in ("/healthz", "/v1/jobs", f"/v1/jobs/jb_{UNKNOWN}"):
        with connected(api.port) as connection:
            connection.sendall(head(method, path, "X-Secret: of a cookie"))
            answer = receive_one(connection)
        assert statuses(answer) == [405], answer
        assert b"\r\nAllow: " in answer and b"of a cookie" not in answer, answer


def test_connect_to_elsewhere(api):
    for target in ("example.com:443", "127.0.0.1:22", "*"):
        with connected(api.port) as connection:
            connection.sendall(head("CONNECT", target))
            assert statuses(receive_one(connection))[0] in (400, 404, 405)


def test_upgrades_are_ignored(api):
    with connected(api.port) as connection:
        connection.sendall(head("GET", "/healthz", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c",
                                "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"))  # fmt: skip
        assert statuses(receive_one(connection)) == [200]
