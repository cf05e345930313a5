"""What browsers are told, and what pages of other sites may have them send: nothing."""

import json

import pytest
from api import check_problem
from samples import description

pytestmark = pytest.mark.usefixtures("unchanged")

OTHERS = ["http://evil.example", "https://evil.example", "null", "http://127.0.0.1", "http://localhost:1",
          "http://127.0.0.1.evil.example", "file://", "", "http://"]  # fmt: skip
WRITES = [
    ("POST", "/v1/datasets"), ("POST", "/v1/jobs"), ("POST", "/v1/models"),
    ("DELETE", "/v1/jobs/jb_0123456789abcdefghijkl"), ("DELETE", "/v1/datasets/ds_0123456789abcdefghijkl"),
    ("PUT", "/v1/datasets/ds_0123456789abcdefghijkl/samples"), ("POST", "/healthz"), ("OPTIONS", "/v1/jobs"),
]  # fmt: skip
READS = ["/v1/datasets", "/v1/jobs", "/v1/models", "/v1/devices", "/v1/jobs/jb_0123456789abcdefghijkl/result"]
OPEN = ["/", "/healthz", "/readyz", "/openapi.yaml"]


@pytest.mark.parametrize("origin", OTHERS)
@pytest.mark.parametrize("method, path", WRITES)
def test_other_sites_have_nothing_done(api, method, path, origin):
    body = json.dumps(description()) if method in ("POST", "PUT") else None
    response = api.request(method, path, body, {"Content-Type": "application/json", "Origin": origin})
    check_problem(response, 403, "forbidden", "Origin")


@pytest.mark.parametrize("path", READS)
def test_other_sites_read_nothing(api, path):
    check_problem(api.get(path, headers={"Origin": "http://evil.example"}), 403, "forbidden", "Origin")
    check_problem(api.get(path, headers={"Sec-Fetch-Site": "cross-site"}), 403, "forbidden", "Sec-Fetch-Site")
    assert api.get(path, headers={"Sec-Fetch-Site": "none"}).status in (200, 404)


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open(api, path):
    response = api.get(path, headers={"Origin": "http://evil.example"})
    assert response.status == 200
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


def test_own_pages(api):
    """The same host and port, whatever a proxy makes of the scheme."""
    for scheme in ("http", "https", "HTTP"):
        origin = f"{scheme}://127.0.0.1:{api.port}"
        made = api.post("/v1/datasets", description(), headers={"Origin": origin, "Sec-Fetch-Site": "same-origin"})
        assert made.status == 201, made
        assert api.request("DELETE", made.headers["Location"], headers={"Origin": origin}).status == 204
    named = {"Origin": "https://localhost:8443", "Host": "localhost:8443"}
    assert api.get("/v1/jobs", headers=named).status == 200
    # Another name is not this machine, whatever page asks: it may have been made to point here.
    named = {"Origin": "https://lab.example", "Host": "lab.example"}
    check_problem(api.get("/v1/jobs", headers=named), 401, "unauthenticated")


def test_preflights_are_refused(api):
    response = api.request("OPTIONS", "/v1/jobs", headers={"Origin": "http://evil.example",
                           "Access-Control-Request-Method": "POST"})  # fmt: skip
    assert response.status == 403
    assert not [name for name in response.headers if name.lower().startswith("access-control-")]


# What a form of another site can send has one of these types, and none of them is accepted.
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms(api, kind):
    for path in ("/v1/datasets", "/v1/jobs"):
        response = api.request("POST", path, json.dumps(description()), {"Content-Type": kind})
        check_problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("path", OPEN + ["/v1/jobs", "/v1/jobs/jb_none", "/nowhere"])
def test_headers_of_answers(api, path):
    headers = api.get(path).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    # What has an ETag may be kept by the browser of who asked, and is asked for again.
    assert headers["Cache-Control"] == ("private, no-cache" if "ETag" in headers else "no-store")
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Server" not in headers
    if path == "/":
        assert headers["X-Frame-Options"] == "DENY"
        assert "script-src" not in headers["Content-Security-Policy"]
