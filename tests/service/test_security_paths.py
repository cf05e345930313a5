"""Paths that try to leave the API, ids that aren't ids, and what comes back in headers."""

import json
import re

import pytest
from api import check_problem
from samples import description, noise
from wire import JSON, UNKNOWN, connected, head, problem_of, receive_one, statuses

TRAVERSALS = [
    "/v1/jobs/..%2f", "/v1/jobs/%2e%2e", "/v1/jobs/..", "/v1/jobs/.", "/v1/datasets/../jobs", "/../etc/passwd",
    "/%2e%2e/%2e%2e/etc/passwd", "/v1/jobs/..%2f..%2f..%2fetc%2fpasswd", "/v1//jobs", "//v1/jobs", "//", "///",
    "/v1/jobs/", "/v1/jobs//", "/v1/jobs//result", "/./v1/jobs", "/v1/jobs/x/result/../../..", "/v1/jobs;a=b",
    "/v1/jobs/..;/", "/V1/jobs", "/v1/jobs%2f", "/v1%2fjobs", "/v1/jobs%00", "/v1/jobs/%00",
    f"/v1/jobs/jb_{UNKNOWN}%00", f"/v1/jobs/jb_{UNKNOWN}/result/cleaned.npy%00.txt",
    f"/v1/jobs/jb_{UNKNOWN}/result/..%2f..%2f..%2fstore.sqlite", f"/v1/jobs/jb_{UNKNOWN}%2fresult",
    "/v1/datasets/%c0%ae%c0%ae", "/v1/datasets/%252e%252e", "/%", "/v1/jobs/%", "/v1/jobs/%zz", "/store.sqlite",
    "/v1/jobs/store.sqlite", "/healthz%20", "/healthz/..", "/healthz.",
]  # fmt: skip


@pytest.mark.parametrize("path", TRAVERSALS)
def test_no_way_out(api, path):
    with connected(api.port) as connection:
        connection.sendall(head("GET", path))
        answer = receive_one(connection)
    assert statuses(answer) in ([404], [400]), answer
    assert b"root:" not in answer and b"SQLite" not in answer
    assert problem_of(answer)["type"] in ("/problems/not-found", "/problems/invalid-request")


@pytest.mark.parametrize("path", [b"/\xff", b"/v1/jobs/\xc3\xa4", b"/v1/\\jobs", b"/v1/jobs\x7f", b"/v1/jobs\x01", b"/<a>",
                                  b"/\"", b"/v1/jobs/\x1b[31m"])  # fmt: skip
def test_bytes_that_no_uri_has(api, path):
    with connected(api.port) as connection:
        connection.sendall(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = receive_one(connection)
    assert statuses(answer) == [400], answer
    problem_of(answer)


@pytest.mark.parametrize("identity", ["x" * 36, "x" * 40, "x" * 100, "x" * 158, "x" * 200, "x" * 3000, "jb_", "' OR 1=1 --",
                                      "%27%20OR%201=1%20--", "jb_" + "%25" * 20, "${jndi}", "{{7*7}}"])  # fmt: skip
@pytest.mark.parametrize("kind", ["jobs", "datasets", "models"])
def test_odd_ids(api, kind, identity):
    identity = identity.replace(" ", "%20").replace("{", "%7B").replace("}", "%7D")
    for suffix in ("", "/result", "/samples", "/model.h5"):
        answer = api.get(f"/v1/{kind}/{identity}{suffix}")
        assert answer.status in (404, 405), answer
    assert api.delete(f"/v1/{kind}/{identity}").status == 404


@pytest.mark.parametrize("identity", ["../jobs", "ds_" + "x" * 500, "ds_\u0000", "ds_'--", "", "ds_\r\nX-A: b"])
def test_odd_ids_in_json(api, identity):
    answer = api.post("/v1/jobs", {"type": "fit", "dataset": identity})
    assert answer.status in (400, 404, 422), answer
    assert "X-A" not in answer.headers


class TestAbsoluteForm:
    """GET http://host/path, as clients send it to a proxy: every server must take it."""

    def get(self, api, target, host):
        with connected(api.port) as connection:
            connection.sendall(head("GET", target, host=host))
            return statuses(receive_one(connection))

    def test_own(self, api):
        assert self.get(api, "http://lab/healthz", "lab") == [200]
        assert self.get(api, "HTTPS://localhost:8765/v1/jobs?limit=1", "LOCALHOST:8765") == [200]
        assert self.get(api, "http://lab", "lab") == [404]

    @pytest.mark.parametrize("target", ["http://evil/healthz", "http:///healthz", "http://lab@evil/healthz",
                                        "http://" + "x" * 300 + "/healthz", "http://lab:1/healthz"])  # fmt: skip
    def test_others(self, api, target):
        assert self.get(api, target, "lab") == [400]

    @pytest.mark.parametrize("target", ["ftp://lab/healthz", "lab/healthz", "file:///etc/passwd", "healthz", "*"])
    def test_no_path(self, api, target):
        assert self.get(api, target, "lab") in ([404], [400])


class TestHeaderInjection:
    """What a client chose comes back in headers only where it can't end a line."""

    NAMES = ["a\r\nX-Injected: 1", "a\nX-Injected: 1", 'a"; filename="b', "../../etc/passwd", "a\u0000b", "ä\u2028b",
             "a" * 255, "\\", ";", "%0d%0aX-Injected:%201"]  # fmt: skip

    def lines(self, port, method, path, *lines, body=b""):
        with connected(port) as connection:
            connection.sendall(head(method, path, *lines) + body)
            answer = receive_one(connection)
        return answer.partition(b"\r\n\r\n")[0].split(b"\r\n"), answer

    @pytest.mark.parametrize("name", NAMES)
    def test_names_of_datasets(self, api, name):
        body = json.dumps(description(name=name)).encode()
        found, answer = self.lines(api.port, "POST", "/v1/datasets", JSON, f"Content-Length: {len(body)}", body=body)
        assert not any(line.lower().startswith(b"x-injected") for line in found), answer
        if statuses(answer) == [201]:
            location = [line for line in found if line.startswith(b"Location: ")][0].decode()
            assert re.fullmatch(r"Location: /v1/datasets/ds_[a-z0-9]{22}", location), location
            assert api.delete(location.removeprefix("Location: ")).status == 204
        else:
            assert statuses(answer) in ([400], [422]), answer

    @pytest.mark.parametrize("name", [name for name in NAMES if "\u0000" not in name])
    def test_names_of_files(self, api, name):
        dataset = api.upload(description(name=name), noise()) if not any(c < " " for c in name) else None
        if dataset is None:
            check_problem(api.post("/v1/datasets", description(name=name)), 422, "invalid-value", "name")
            return
        job, _ = api.run({"type": "interpolate", "dataset": dataset["id"], "channels": {"E0": "all"}})
        for file in ("cleaned-epo.fif", "cleaned.set", "cleaned.npy"):
            found, answer = self.lines(api.port, "GET", f"{job['result']}/{file}", "Connection: close")
            for line in found:
                assert not line.lower().startswith(b"x-injected"), answer
                if line.startswith(b"Content-Disposition: "):
                    assert re.fullmatch(rb'Content-Disposition: attachment; filename="[^"\\/\x00-\x1f\x7f]+"', line), line

    @pytest.mark.parametrize("path", ["/v1/jobs/%0d%0aX-Injected:%201", "/%0aX-Injected:1", "/v1/jobs?limit=%0d%0aX-Injected:1"])
    def test_paths(self, api, path):
        found, answer = self.lines(api.port, "GET", path)
        assert not any(line.lower().startswith(b"x-injected") for line in found), answer

    def test_allow_lists_only_our_methods(self, api):
        found, answer = self.lines(api.port, "A" * 200, "/v1/jobs")
        allow = [line for line in found if line.startswith(b"Allow: ")]
        assert allow == [b"Allow: POST, GET, HEAD"], answer
