"""Results that the client has already, or wants a part of."""

import base64
import hashlib

import pytest
from api import check_problem
from samples import description, noise


@pytest.fixture(scope="module")
def arrays(daemon):
    """Paths of arrays and their bytes."""
    dataset = daemon.api.upload(description(), noise())
    job, _ = daemon.api.fit(dataset, cv=3, consensus=[0.5], n_interpolate=[1])
    paths = [f"{job['result']}/labels.npy", f"{job['result']}/cleaned.npy"]
    return {path: daemon.api.get(path) for path in paths}


def test_what_an_array_tells_of_itself(api, arrays):
    for path, whole in arrays.items():
        digest = hashlib.sha256(whole.body)
        assert whole.headers["ETag"] == f'"{digest.hexdigest()}"'
        assert whole.headers["Repr-Digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        assert whole.headers["Accept-Ranges"] == "bytes"
        head = api.request("HEAD", path, headers={"Range": "bytes=0-0"})
        assert head.status == 200 and head.body == b""
        for name in ("ETag", "Repr-Digest", "Content-Length", "Content-Type"):
            assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize("text, part", [
    ("0-9", slice(0, 10)), ("5-5", slice(5, 6)), ("10-", slice(10, None)), ("-7", slice(-7, None)),
    ("-99999999", slice(0, None)), ("3-99999999", slice(3, None)),
])  # fmt: skip
def test_part(api, arrays, text, part):
    for path, whole in arrays.items():
        response = api.get(path, headers={"Range": f"bytes={text}"})
        assert response.status == 206, response
        assert response.body == whole.body[part]
        first = range(len(whole.body))[part][0]
        last = first + len(response.body) - 1
        assert response.headers["Content-Range"] == f"bytes {first}-{last}/{len(whole.body)}"
        assert response.headers["ETag"] == whole.headers["ETag"]
        assert response.headers["Repr-Digest"] == whole.headers["Repr-Digest"]


def test_all_parts_are_the_whole(api, arrays):
    for path, whole in arrays.items():
        got = b""
        while len(got) < len(whole.body):
            response = api.get(path, headers={"Range": f"bytes={len(got)}-{len(got) + 999}",
                                              "If-Range": whole.headers["ETag"]})  # fmt: skip
            assert response.status == 206
            got += response.body
        assert got == whole.body


def test_behind_the_end(api, arrays):
    for path, whole in arrays.items():
        for text in (f"{len(whole.body)}-", "99999999-", "-0"):
            response = api.get(path, headers={"Range": f"bytes={text}"})
            check_problem(response, 416, "range-not-satisfiable", field="Range")
            assert response.headers["Content-Range"] == f"bytes */{len(whole.body)}"


@pytest.mark.parametrize("headers", [
    {"Range": "bytes=0-1,3-4"}, {"Range": "epochs=0-1"}, {"Range": "bytes=x"}, {"Range": "bytes=9-2"},
    {"Range": "bytes=0-9", "If-Range": '"other"'}, {"Range": "bytes=0-9", "If-Range": "Thu, 26 Nov 2026 10:00:00 GMT"},
    {"If-None-Match": '"other"'},
])  # fmt: skip
def test_the_whole_after_all(api, arrays, headers):
    for path, whole in arrays.items():
        response = api.get(path, headers=headers)
        assert response.status == 200 and response.body == whole.body
        assert "Content-Range" not in response.headers


def test_nothing_new(api, arrays):
    paths = [*arrays, next(iter(arrays)).rsplit("/", 1)[0], "/openapi.yaml"]
    for path in paths:
        first = api.get(path)
        tag = first.headers["ETag"]
        assert first.headers["Cache-Control"] == "private, no-cache"
        for condition in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            response = api.get(path, headers={"If-None-Match": condition, "Range": "bytes=0-0"})
            assert response.status == 304 and response.body == b"", response
            assert response.headers["ETag"] == tag
        assert api.get(path).body == first.body
