"""rejectd behind the reverse proxies that deploy/ has examples of: nginx always, Caddy where it is installed."""

import time

import numpy as np
import pytest
from api import check_problem
from daemon import eventually
from proxies import Proxy, Upstream, find
from samples import description, noise


def need(kind):
    if find(kind) is None or find("openssl") is None:
        pytest.skip(f"{kind} or openssl is not installed (tests/packages.txt)")


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def proxy(request, daemon, tmp_path_factory):
    need(request.param)
    proxy = Proxy(request.param, tmp_path_factory.mktemp(request.param), daemon.port)
    # Who comes through a proxy is not on this machine, and needs a token.
    proxy.api.token = daemon.api.token = daemon.add_token("anna")
    yield proxy
    daemon.api.token = None
    proxy.stop()


@pytest.fixture
def upstream():
    upstream = Upstream()
    yield upstream
    upstream.close()


@pytest.fixture(params=["nginx", "caddy"])
def told(request, upstream, tmp_path):
    """A proxy whose upstream is the test's."""
    need(request.param)
    proxy = Proxy(request.param, tmp_path, upstream.port)
    yield proxy
    proxy.stop()


class TestService:
    def test_upload_fit_and_download(self, proxy, api):
        shape = (60, 32, 400)  # 6 MB
        data = noise(*shape)
        dataset = proxy.api.upload(description(*shape), data)
        job, result = proxy.api.fit(dataset)
        assert result == api.get(job["result"]).json()
        cleaned = proxy.api.get(f"{job['result']}/cleaned.npy")
        assert cleaned.status == 200
        assert cleaned.body == api.get(f"{job['result']}/cleaned.npy").body
        assert cleaned.array().shape[1:] == data.shape[1:]

    def test_upload_streams(self, proxy, daemon):
        """Samples are with the daemon before the last of them has left the client."""
        shape = (40, 32, 400)
        data = noise(*shape).tobytes()
        dataset = proxy.api.create(description(*shape))
        connection = proxy.connect()
        connection.putrequest("PUT", f"/v1/datasets/{dataset['id']}/samples")
        connection.putheader("Authorization", f"Bearer {proxy.api.token}")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(len(data)))
        connection.endheaders(data[:-1000])

        def arrived():
            return sum(path.stat().st_size for path in daemon.data.glob("blobs/tmp-*")) >= len(data) // 2

        eventually(arrived, 20, "half of the samples are in the data directory")
        connection.send(data[-1000:])
        response = connection.getresponse()
        assert response.status == 200, response.read()
        connection.close()

    def test_refused_upload(self, proxy):
        """A client that is sending a large body that is not wanted reads why; Caddy cuts off larger ones."""
        megabytes = 16 if proxy.kind == "nginx" else 3
        response = proxy.api.put("/v1/datasets/ds_aaaaaaaaaaaaaaaaaaaaaa/samples", bytes(megabytes << 20))
        check_problem(response, 404, "not-found")

    def test_long_poll(self, proxy):
        shape = (300, 64, 300)
        dataset = proxy.api.upload(description(*shape), noise(*shape))
        job = proxy.api.submit({"type": "fit", "dataset": dataset["id"]})
        ended = proxy.api.job(job["id"], wait=60)
        assert ended["state"] == "succeeded", ended

    def test_large_head(self, proxy):
        headers = {f"X-Much-{i}": "x" * 4000 for i in range(12)}
        assert proxy.api.get("/v1/jobs", headers=headers).status in (400, 431)
        assert proxy.api.get("/v1/jobs").status == 200

    def test_daemon_is_away(self, own_daemon, tmp_path, proxy):
        daemon = own_daemon()
        daemon.stop()
        lonely = Proxy(proxy.kind, tmp_path, daemon.port)
        response = lonely.api.get("/v1/jobs")
        lonely.stop()
        check_problem(response, 503, "unavailable")
        assert response.headers["Retry-After"] == "5"


class TestWhatIsPassedOn:
    def head(self, told, upstream, **headers):
        assert told.api.get("/v1/jobs?limit=1", headers=headers).status == 200
        number, line, head = upstream.heads[-1]
        assert line == "GET /v1/jobs?limit=1 HTTP/1.1"
        return head

    def test_where_from(self, told, upstream):
        lies = {"X-Forwarded-For": "10.1.2.3", "Forwarded": "for=10.1.2.3", "X-Real-IP": "10.1.2.3"}
        head = self.head(told, upstream, **lies)
        assert head["x-forwarded-for"] == "127.0.0.1"
        assert head["x-forwarded-proto"] == "https"
        assert "10.1.2.3" not in str(head)

    def test_host_has_its_port(self, told, upstream):
        assert self.head(told, upstream)["host"] == f"localhost:{told.port}"

    def test_token(self, told, upstream):
        assert self.head(told, upstream, Authorization="Bearer abc")["authorization"] == "Bearer abc"

    def test_request_id(self, told, upstream):
        assert self.head(told, upstream, **{"X-Request-Id": "run-17.b"})["x-request-id"] == "run-17.b"
        made = {self.head(told, upstream, **lie)["x-request-id"]
                for lie in ({}, {"X-Request-Id": "a b"}, {"X-Request-Id": "x" * 65})}  # fmt: skip
        assert len(made) == 3 and all(len(name) >= 32 and " " not in name for name in made), made

    def test_connections_are_kept(self, told, upstream):
        for _ in range(5):
            self.head(told, upstream)
        assert upstream.connections == 1

    def test_events_come_at_once(self, told, upstream):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
        upstream.answer = [head, b"9\r\ndata: 1\n\n\r\n", b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"]
        upstream.pauses = 1.0
        connection = told.connect()
        connection.request("GET", "/v1/events")
        response = connection.getresponse()
        times = []
        for number in (1, 2):
            assert response.readline() == f"data: {number}\n".encode()
            assert response.readline() == b"\n"
            times.append(time.monotonic())
        connection.close()
        assert times[1] - times[0] > 0.5


class TestLimits:
    def test_requests_per_second(self, daemon, tmp_path):
        need("nginx")
        proxy = Proxy("nginx", tmp_path, daemon.port)
        connection = proxy.connect()
        statuses = []
        for _ in range(2000):
            connection.request("GET", "/healthz")
            response = connection.getresponse()
            body = response.read()
            statuses.append(response.status)
            if response.status == 429:
                break
        proxy.stop()
        assert statuses[:200] == [200] * 200
        assert statuses[-1] == 429, np.unique(statuses)
        assert response.headers["Content-Type"] == "application/problem+json", body
        assert response.headers["Retry-After"] == "1"
        assert b"/problems/too-many-requests" in body
