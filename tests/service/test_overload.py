"""Too much, too slow, too many: what is bounded, and that others go on meanwhile."""

import http.client
import json
import socket
import threading
import time

import pytest
from daemon import PATIENCE, Daemon, eventually
from pieces import Pieces
from samples import description, noise
from wire import BINARY, JSON, connected, drip, head, problem_of, receive_all, receive_one, statuses

MIB = 1 << 20


@pytest.fixture(scope="module")
def impatient(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("slow"), ["--header-timeout", "1", "--request-timeout", "2",
                    "--rate-window", "1", "--min-rate", "2K", "--idle-timeout", "60"])  # fmt: skip
    daemon.start()
    yield daemon
    daemon.stop()


class TestSlow:
    """Bytes that trickle: libmicrohttpd's timeout, which is 60 s here, never sees silence."""

    @pytest.fixture
    def daemon(self, impatient):
        return impatient

    def test_headers(self, daemon):
        with connected(daemon.port) as connection:
            sent = head("GET", "/healthz", "A: " + "b" * 2000)
            assert drip(connection, sent, 0.05, 20 * PATIENCE) is not None

    def test_silence(self, daemon):
        with connected(daemon.port) as connection:
            assert receive_all(connection) == b""

    def test_a_body_of_json(self, daemon):
        with connected(daemon.port) as connection:
            body = json.dumps(description(name="x" * 200)).encode()
            connection.sendall(head("POST", "/v1/datasets", JSON, f"Content-Length: {len(body) + 5000}"))
            assert drip(connection, body + b" " * 4999, 0.02, 20 * PATIENCE) is not None
        assert daemon.api.listed("datasets") == []

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    def test_a_body_that_is_refused(self, daemon, method):
        """Its body is dropped, but not for ever."""
        with connected(daemon.port) as connection:
            connection.sendall(head(method, "/nowhere", JSON, "Content-Length: 100000"))
            assert drip(connection, b" " * 99999, 0.02, 20 * PATIENCE) is not None

    def test_samples(self, daemon):
        dataset = daemon.api.create(description())
        path = f"/v1/datasets/{dataset['id']}/samples"
        data = noise().tobytes()
        with connected(daemon.port) as connection:
            connection.sendall(head("PUT", path, BINARY, f"Content-Length: {len(data)}"))
            assert drip(connection, data, 0.02, 30 * PATIENCE) is not None
        assert daemon.api.get(f"/v1/datasets/{dataset['id']}").json()["state"] == "awaiting_samples"

        # The line is cut before the upload has ended.
        eventually(Pieces(daemon.api, dataset, data).is_free, 10, "the upload has ended")
        # At three times the least rate it takes longer than any window, and is let through.
        with connected(daemon.port) as connection:
            connection.sendall(head("PUT", path, BINARY, f"Content-Length: {len(data)}"))
            for at in range(0, len(data), 600):
                connection.sendall(data[at : at + 600])
                time.sleep(0.1)
            assert statuses(receive_one(connection)) == [200]
        assert daemon.api.delete(f"/v1/datasets/{dataset['id']}").status == 204

    def test_the_next_request(self, daemon):
        """A connection that was good before may be silent for a while, but then not trickle."""
        with connected(daemon.port) as connection:
            connection.sendall(head("GET", "/healthz"))
            assert statuses(receive_one(connection)) == [200]
            time.sleep(2.5)
            connection.sendall(head("GET", "/healthz"))
            assert statuses(receive_one(connection)) == [200]
            connection.sendall(b"GET /healthz HTTP/1.1\r\n")
            assert drip(connection, b"A: " + b"b" * 2000, 0.05, 20 * PATIENCE) is not None

    def test_an_answer_that_is_not_taken(self, daemon):
        dataset = daemon.api.upload(description(20, 8, 20000), noise(20, 8, 20000))
        job = daemon.api.submit({"type": "interpolate", "dataset": dataset["id"], "channels": {"E0": "all"}})
        path = daemon.api.finish(job["id"])["result"] + "/cleaned.npy"
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", daemon.port))
            connection.sendall(head("GET", path))
            said = daemon.errors().count("slow-clients")
            eventually(lambda: daemon.errors().count("slow-clients") > said, 20, "it is given up")
            taken = len(receive_all(connection))
            assert 0 < taken < 20 * 8 * 20000 * 8
        # Who takes it slowly, but steadily, gets all of it.
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            connection.settimeout(60)
            connection.connect(("127.0.0.1", daemon.port))
            connection.sendall(head("GET", path, "Connection: close"))
            taken = 0
            while piece := connection.recv(1 << 20):
                taken += len(piece)
                time.sleep(0.05)
            assert taken > 20 * 8 * 20000 * 8
        assert daemon.api.delete(f"/v1/datasets/{dataset['id']}").status == 204

    def test_a_long_poll_is_not_slow(self, daemon):
        """Who waits for a job is in nobody's way, whatever the limits are."""
        dataset = daemon.api.upload(description(400, 16, 1000), noise(400, 16, 1000))
        job = daemon.api.submit({"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 10}})
        ended = daemon.api.job(job["id"], wait=4)
        assert ended["state"] in ("queued", "running", "succeeded"), ended
        if ended["state"] != "succeeded":
            assert daemon.api.delete(f"/v1/jobs/{job['id']}").status in (202, 409)


def status_of_health(daemon):
    """0 when there is no answer."""
    try:
        return daemon.api.get("/healthz").status
    except (OSError, http.client.HTTPException):
        return 0


class TestManyConnections:
    def test_beyond_the_limit(self, own_daemon):
        """They are told to come back, and who is connected is served."""
        daemon = own_daemon("--connection-limit", "16", "--http-threads", "2")
        idle = [socket.create_connection(("127.0.0.1", daemon.port), timeout=60) for _ in range(16)]
        try:
            eventually(lambda: status_of_health(daemon) == 503, 10, "all are counted")
            response = daemon.api.get("/healthz")
            assert response.status == 503 and response.headers["Connection"] == "close"
            assert int(response.headers["Retry-After"]) >= 1
            assert response.json()["type"] == "/problems/unavailable"
            idle[0].sendall(head("GET", "/healthz"))
            assert statuses(receive_one(idle[0])) == [200]
        finally:
            for connection in idle:
                connection.close()
        eventually(lambda: status_of_health(daemon) == 200, 10, "there is room again")

    def test_a_silent_crowd(self, own_daemon):
        """Whoever is beyond the limit and says nothing makes room soon."""
        daemon = own_daemon("--connection-limit", "8", "--http-threads", "2", "--header-timeout", "30")
        crowd = [socket.create_connection(("127.0.0.1", daemon.port), timeout=60) for _ in range(10)]
        try:
            assert receive_all(crowd[-1]) == b""
        finally:
            for connection in crowd:
                connection.close()

    def test_one_address(self, own_daemon):
        daemon = own_daemon("--connections-per-address", "5", "--unlimited-addresses", "127.0.0.9, 10.0.0.0/8")
        idle = [socket.create_connection(("127.0.0.1", daemon.port), timeout=60) for _ in range(5)]
        try:
            eventually(lambda: status_of_health(daemon) == 503, 10, "all are counted")
            with connected(daemon.port) as sixth:
                sixth.sendall(head("GET", "/healthz"))
                answer = receive_all(sixth)
                assert statuses(answer) == [503] and b"Retry-After: " in answer
                assert "this address" in problem_of(answer)["detail"]
            # Another client, and one that may have any number.
            for source in ("127.0.0.2", "127.0.0.9"):
                for _ in range(8):
                    with connected(daemon.port, source=source) as other:
                        other.sendall(head("GET", "/healthz"))
                        assert statuses(receive_one(other)) == [200]
            many = [socket.create_connection(("127.0.0.1", daemon.port), 60, ("127.0.0.9", 0)) for _ in range(12)]
            many[-1].sendall(head("GET", "/healthz"))
            assert statuses(receive_one(many[-1])) == [200]
            for connection in many:
                connection.close()
            # A flood isn't even answered.
            flood = [socket.create_connection(("127.0.0.1", daemon.port), timeout=60) for _ in range(40)]
            assert receive_all(flood[-1]) == b""
            for connection in flood:
                connection.close()
        finally:
            for connection in idle:
                connection.close()
        eventually(lambda: status_of_health(daemon) == 200, 10, "there is room again")

    def test_a_thousand(self, own_daemon):
        """A thousand open connections cost little memory, and others are answered."""
        daemon = own_daemon()
        before = daemon.memory()["VmRSS"]
        many = [socket.create_connection(("127.0.0.1", daemon.port), timeout=60) for _ in range(1000)]
        try:
            for connection in many:
                connection.sendall(head("GET", "/healthz"))
            for connection in many:
                assert statuses(receive_one(connection)) == [200]
            assert daemon.api.get("/readyz").status == 200
            assert daemon.memory()["VmRSS"] - before < 64 * MIB * PATIENCE
        finally:
            for connection in many:
                connection.close()


class TestBodyMemory:
    """JSON bodies of all requests share one budget."""

    ARGUMENTS = ("--max-body-memory", "16M", "--max-json-bytes", "8M")

    def begin(self, daemon, length, *lines):
        connection = socket.create_connection(("127.0.0.1", daemon.port), timeout=60)
        connection.sendall(head("POST", "/v1/datasets", JSON, f"Content-Length: {length}", *lines))
        return connection

    def test_the_budget(self, own_daemon):
        daemon = own_daemon(*self.ARGUMENTS)
        first = self.begin(daemon, 8 * MIB)
        second = self.begin(daemon, 4 * MIB)
        time.sleep(0.2)
        # The rest is for small bodies: three quarters are taken.
        third = self.begin(daemon, 2 * MIB, "Expect: 100-continue")
        answer = receive_all(third)
        assert statuses(answer) == [503] and b"Retry-After: " in answer
        assert problem_of(answer)["type"] == "/problems/unavailable"
        assert daemon.api.create(description())["id"]
        # What the first one held is free when it is gone.
        first.close()

        def fits():
            connection = self.begin(daemon, 2 * MIB, "Expect: 100-continue")
            with connection:
                return receive_one(connection).startswith(b"HTTP/1.1 100 ")

        eventually(fits, 10, "there is memory again")
        second.close()
        third.close()

    def test_memory_stays_below(self, own_daemon):
        """64 clients that post 8 MiB each, of which at most 12 MiB are held."""
        daemon = own_daemon(*self.ARGUMENTS)
        daemon.api.create(description())
        daemon.reset_peak()
        before = daemon.memory()["VmRSS"]
        body = b" " * (8 * MIB - 2) + b"{}"
        answers = []

        def post():
            with self.begin(daemon, len(body)) as connection:
                try:
                    connection.sendall(body)
                    answers.append(statuses(receive_one(connection)))
                except OSError:  # refused in the middle of its body
                    answers.append([])

        threads = [threading.Thread(target=post) for _ in range(64)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert all(answer in ([422], [400], [503], []) for answer in answers), answers
        assert [503] in answers or [] in answers
        # The connections' own buffers, and two bodies at the parser, come on top.
        assert daemon.memory()["VmHWM"] - before < 80 * MIB * PATIENCE
        eventually(lambda: daemon.api.post("/v1/datasets", description()).status == 201, 10, "all is free again")

    def test_a_budget_that_is_too_small(self, own_daemon):
        with pytest.raises(AssertionError, match="max-body-memory"):
            own_daemon("--max-body-memory", "8M", "--max-json-bytes", "8M")


class TestExpect:
    """Who asks before sending a body is told at once that it would be for nothing."""

    @pytest.mark.parametrize("method, path, lines, status", [
        ("POST", "/v1/datasets", [JSON, "Content-Length: 99999999999"], 413),
        ("POST", "/v1/datasets", ["Content-Type: text/plain", "Content-Length: 1000"], 415),
        ("POST", "/nowhere", [JSON, "Content-Length: 1000"], 404),
        ("POST", "/v1/datasets/ds_0123456789abcdefghijkl", [JSON, "Content-Length: 10"], 405),
        ("PUT", "/v1/datasets/ds_0123456789abcdefghijkl/samples", [BINARY, "Content-Length: 1000"], 404),
        ("GET", "/healthz", ["Content-Length: 10"], 400),
        ("POST", "/v1/jobs", [JSON, "Content-Length: 10", "Origin: http://evil.example"], 403),
        ("POST", "/v1/jobs", [JSON, "Transfer-Encoding: chunked"], 411),
    ])  # fmt: skip
    def test_refused_before_the_body(self, api, method, path, lines, status):
        with connected(api.port) as connection:
            connection.sendall(head(method, path, *lines, "Expect: 100-continue"))
            answer = receive_all(connection)  # closed: what might follow would be a body, or not
            assert statuses(answer) == [status], answer

    def test_too_many_uploads(self, own_daemon):
        daemon = own_daemon("--max-uploads", "1")
        data = noise().tobytes()
        made = [daemon.api.create(description()) for _ in range(2)]
        paths = [f"/v1/datasets/{one['id']}/samples" for one in made]
        with connected(daemon.port) as busy:
            busy.sendall(head("PUT", paths[0], BINARY, f"Content-Length: {len(data)}") + data[:100])
            time.sleep(0.3)
            with connected(daemon.port) as other:
                other.sendall(head("PUT", paths[1], BINARY, f"Content-Length: {len(data)}", "Expect: 100-continue"))
                answer = receive_all(other)
                assert statuses(answer) == [503] and b"Retry-After: " in answer, answer
            busy.sendall(data[100:])
            assert statuses(receive_one(busy)) == [200]

    def test_accepted(self, api):
        body = json.dumps(description()).encode()
        with connected(api.port) as connection:
            connection.sendall(head("POST", "/v1/datasets", JSON, f"Content-Length: {len(body)}",
                                    "Expect: 100-continue"))  # fmt: skip
            assert receive_one(connection).startswith(b"HTTP/1.1 100 ")
            connection.sendall(body)
            answer = receive_one(connection)
            assert statuses(answer) == [201], answer
            connection.sendall(head("GET", "/healthz"))
            assert statuses(receive_one(connection)) == [200]
