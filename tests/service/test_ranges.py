"""Results that the client has already, or wants a part of."""

import base64
import hashlib
import io

import pytest
from api import check_problem
from samples import description, noise
from test_files import epochs_of, post_file, saved


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
            assert response.headers["Content-Length"] == str(len(first.body))
        head = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nIf-None-Match: {tag}\r\nConnection: close\r\n\r\n"
        assert api.raw(head.encode(), finish=False).endswith(b"\r\n\r\n")
        assert api.get(path).body == first.body


@pytest.fixture(scope="module")
def fif_job(daemon, tmp_path_factory):
    path = saved(epochs_of(noise(8, 6, 30)), tmp_path_factory.mktemp("fif"), fmt="double")
    dataset = post_file(daemon.api, path).json()
    return daemon.api.fit(dataset, cv=3, consensus=[0.5], n_interpolate=[1])[0]


class TestMadeFiles:
    """What is made while it is sent has a tag of what it is made from."""

    def test_parts_are_the_whole(self, api, fif_job):
        path = f"{fif_job['result']}/cleaned-epo.fif"
        whole = api.get(path)
        assert whole.status == 200 and whole.headers["Accept-Ranges"] == "bytes"
        got, tag, size = io.BytesIO(), whole.headers["ETag"], len(whole.body)
        for first in range(0, size, 777):
            response = api.get(path, headers={"Range": f"bytes={first}-{first + 776}", "If-Range": tag})
            assert response.status == 206 and response.headers["ETag"] == tag
            last = min(first + 777, size) - 1
            assert response.headers["Content-Range"] == f"bytes {first}-{last}/{size}"
            got.write(response.body)
        assert got.getvalue() == whole.body
        assert api.get(path, headers={"Range": "bytes=-100"}).body == whole.body[-100:]
        check_problem(api.get(path, headers={"Range": f"bytes={size}-"}), 416, "range-not-satisfiable")
        assert api.get(path, headers={"If-None-Match": tag}).status == 304
        head = api.request("HEAD", path)
        assert head.headers["ETag"] == tag and int(head.headers["Content-Length"]) == size

    def test_tag_is_kept_by_a_restart(self, own_daemon, tmp_path):
        daemon = own_daemon()
        dataset = post_file(daemon.api, saved(epochs_of(noise(8, 6, 30)), tmp_path, fmt="double")).json()
        paths = [f"{daemon.api.fit(dataset, cv=3, consensus=[0.5], n_interpolate=[n])[0]['result']}/cleaned-epo.fif"
                 for n in (1, 2)]  # fmt: skip
        before = [daemon.api.get(path) for path in paths]
        daemon.stop()
        daemon.start()
        for path, old in zip(paths, before):
            new = daemon.api.get(path)
            assert (new.headers["ETag"], new.body) == (old.headers["ETag"], old.body)
        tags = {answer.headers["ETag"] for answer in before}
        assert len(tags) == len({answer.body for answer in before})

    def test_of_an_archive(self, api, fif_job):
        path = f"{fif_job['result']}/reject_log.npz"
        whole = api.get(path)
        assert api.get(path, headers={"If-None-Match": whole.headers["ETag"]}).status == 304
        assert api.get(path, headers={"Range": "bytes=0-9"}).body == whole.body

    def test_without_parts(self, api, fif_job):
        response = api.get(f"{fif_job['result']}/cleaned.set", headers={"Range": "bytes=0-9"})
        assert response.status == 200 and len(response.body) > 10
        assert response.headers["Accept-Ranges"] == "none" and "ETag" not in response.headers
