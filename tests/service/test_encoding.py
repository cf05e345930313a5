"""Compressed bodies: samples, files and JSON; damage, bombs and what isn't known."""

import gzip
import json
import subprocess

import numpy as np
import pytest
from api import check_problem, npy_bytes
from daemon import SANITIZED
from pieces import digest_of
from samples import description, noise


def zstd(data, *options):
    return subprocess.run(["zstd", "-c", *options], input=data, capture_output=True, check=True).stdout


def gzip_fast(data):
    return gzip.compress(data, compresslevel=1)


CODINGS = {"zstd": zstd, "gzip": gzip_fast}


@pytest.fixture(params=CODINGS)
def coding(request):
    return request.param, CODINGS[request.param]


@pytest.fixture
def awaiting(api):
    """A dataset that is removed after the test."""
    dataset = api.create(description())
    yield f"/v1/datasets/{dataset['id']}/samples"
    api.delete(f"/v1/datasets/{dataset['id']}")


def still_awaits(api, daemon, path):
    blobs = [p.name for p in daemon.blobs() if p.name.startswith(("tmp-", "partial-"))]
    return api.get(path.removesuffix("/samples")).json()["state"] == "awaiting_samples" and not blobs


@pytest.mark.parametrize("body", ["raw", "npy", "named npy"])
def test_samples(api, awaiting, coding, body):
    name, pack = coding
    data = noise()
    packed = pack(data.tobytes() if body == "raw" else npy_bytes(data))
    kind = "application/x-npy" if body == "named npy" else "application/octet-stream"
    response = api.put(awaiting, packed, kind, {"Content-Encoding": name, "Content-Digest": digest_of(packed),
                                                "Repr-Digest": digest_of(packed)})  # fmt: skip
    assert response.status == 200, response
    plain = api.upload(description(), data)
    assert response.json()["sha256"] == plain["sha256"]


def test_one_sample(api, coding):
    """Fewer bytes than tell what they are."""
    name, pack = coding
    dataset = api.create(description(1, 1, 1, dtype="float32"))
    response = api.put(f"/v1/datasets/{dataset['id']}/samples", pack(np.float32([1.5]).tobytes()),
                       headers={"Content-Encoding": name})  # fmt: skip
    assert response.status == 200, response


def test_many_samples(api, coding):
    shape = {"n_epochs": 100, "n_channels": 32, "n_times": 500}
    name, pack = coding
    data = np.round(noise(**shape), 6)
    dataset = api.create(description(**shape))
    response = api.put(f"/v1/datasets/{dataset['id']}/samples", pack(data.tobytes()),
                       headers={"Content-Encoding": name})  # fmt: skip
    assert response.status == 200, response
    assert response.json()["sha256"] == api.upload(description(**shape), data)["sha256"]
    api.delete(f"/v1/datasets/{dataset['id']}")


def test_json(api, coding):
    name, pack = coding
    made = description(data=noise().tolist())
    response = api.post("/v1/datasets", pack(json.dumps(made).encode()), {"Content-Encoding": name})
    assert response.status == 201 and response.json()["state"] == "ready", response
    job = {"type": "fit", "dataset": response.json()["id"], "parameters": {"cv": 3}}
    response = api.post("/v1/jobs", pack(json.dumps(job).encode()), {"Content-Encoding": name})
    assert response.status == 202, response
    assert api.finish(response.json()["id"])["state"] == "succeeded"


def test_file(api, coding, tmp_path):
    name, pack = coding
    path = tmp_path / "x.npz"
    np.savez(path, data=noise(), sfreq=100.0, ch_names=[f"E{i}" for i in range(6)], ch_types=["eeg"] * 6)
    response = api.request("POST", "/v1/datasets", pack(path.read_bytes()),
                           {"Content-Type": "application/octet-stream", "Content-Encoding": name})  # fmt: skip
    assert response.status == 201 and response.json()["state"] == "ready", response


@pytest.mark.parametrize("name", ["br", "deflate", "gzip, zstd", "zstd, zstd", "compress", "*", "aws-chunked"])
def test_unknown(api, awaiting, unchanged, name):
    for response in (api.put(awaiting, b"x" * 100, headers={"Content-Encoding": name}),
                     api.post("/v1/jobs", "{}", {"Content-Encoding": name}),
                     api.post("/v1/datasets", "{}", {"Content-Encoding": name})):  # fmt: skip
        check_problem(response, 415, "unsupported-media-type", "Content-Encoding", "zstd, gzip")
        assert response.headers["Accept-Encoding"] == "zstd, gzip"


def test_another_name_of_gzip(api, awaiting):
    assert api.put(awaiting, gzip_fast(noise().tobytes()), headers={"Content-Encoding": "x-gzip"}).status == 200


def test_identity(api, awaiting):
    assert api.put(awaiting, noise().tobytes(), headers={"Content-Encoding": "identity"}).status == 200


def test_not_in_pieces(api, daemon, awaiting, coding):
    name, pack = coding
    packed = pack(noise().tobytes())
    response = api.put(awaiting, packed, headers={"Content-Encoding": name,
                                                  "Content-Range": f"bytes 0-{len(packed) - 1}/{len(packed)}"})  # fmt: skip
    check_problem(response, 400, "invalid-request", "Content-Range", "Content-Encoding")
    assert still_awaits(api, daemon, awaiting)


@pytest.mark.parametrize("damage", ["plain", "empty", "cut", "broken", "tail"])
def test_damaged(api, daemon, awaiting, coding, damage):
    name, pack = coding
    body = noise().tobytes()
    packed = pack(body)
    sent = {"plain": body, "empty": b"", "cut": packed[:-5], "tail": packed + b"tail",
            "broken": packed[:5000] + bytes([packed[5000] ^ 0xFF]) + packed[5001:]}[damage]  # fmt: skip
    response = api.put(awaiting, sent, headers={"Content-Encoding": name})
    assert response.status in ((400, 413, 422) if damage == "broken" else (400,)), response
    assert still_awaits(api, daemon, awaiting)
    response = api.post("/v1/datasets", sent, {"Content-Encoding": name})
    assert response.status in (400, 413), response


@pytest.mark.parametrize("count", [0, 1, 11519])
def test_too_few_samples(api, daemon, awaiting, coding, count):
    name, pack = coding
    response = api.put(awaiting, pack(noise().tobytes()[:count]), headers={"Content-Encoding": name})
    check_problem(response, 422, "invalid-samples", "samples", f"has {count} bytes")
    assert still_awaits(api, daemon, awaiting)


@pytest.mark.parametrize("extra", [1, 8, 100_000])
@pytest.mark.parametrize("form", ["raw", "npy"])
def test_too_many_samples(api, daemon, awaiting, coding, extra, form):
    name, pack = coding
    body = noise().tobytes() if form == "raw" else npy_bytes(noise())
    response = api.put(awaiting, pack(body + bytes(extra)), headers={"Content-Encoding": name})
    check_problem(response, 413, "too-large")
    assert still_awaits(api, daemon, awaiting)


def test_bombs(own_daemon, coding):
    """What would be a gigabyte ends where the dataset, the file or the JSON has to."""
    name, pack = coding
    daemon = own_daemon("--max-json-bytes", "1M", "--max-upload-bytes", "20M")
    api = daemon.api
    bomb = pack(bytes(1 << 26)) * 16
    assert len(bomb) < 1 << 23
    path = f"/v1/datasets/{api.create(description())['id']}/samples"
    small = bomb[: 1 << 19]  # a longer one is refused by its length
    daemon.reset_peak()
    before = daemon.memory()["VmRSS"]
    kinds = [(api.put(path, small, headers={"Content-Encoding": name}))]
    for kind in ("application/json", "application/octet-stream"):
        body = (b"PK\x03\x04", b"{")[kind == "application/json"]
        made = pack(body + bytes(1 << 26))
        kinds.append(api.request("POST", "/v1/datasets", made, {"Content-Type": kind, "Content-Encoding": name}))
    for response in kinds:
        check_problem(response, 413, "too-large")
    assert still_awaits(api, daemon, path)
    assert api.listed("datasets")[0]["id"] == path.split("/")[3]
    if not SANITIZED:
        assert daemon.memory()["VmHWM"] - before < 64 << 20
    assert not daemon.blobs()


def test_wide_window(api, awaiting):
    """A frame whose decoding needs more than 8 MiB of what came before."""
    for window, status in ((23, 200), (24, 400)):
        packed = zstd(noise().tobytes(), f"--long={window}")
        response = api.put(awaiting, packed, headers={"Content-Encoding": "zstd"})
        assert response.status == status, (window, response)
        if status == 200:
            awaiting = f"/v1/datasets/{api.create(description())['id']}/samples"
