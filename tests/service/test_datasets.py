"""Datasets that are accepted: every way in, described, listed, deleted."""

import hashlib
import json
import re
import time

import numpy as np
import pytest
from api import as_base64, check_problem, npy_bytes
from samples import description, noise

ID = re.compile(r"ds_[a-z0-9]{22}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def check_ready(api, dataset, data):
    assert ID.fullmatch(dataset["id"]) and TIME.fullmatch(dataset["created_at"])
    assert dataset["state"] == "ready"
    assert dataset["sha256"] == hashlib.sha256(data.tobytes()).hexdigest()
    assert dataset["bytes"] == data.nbytes
    shape = [dataset["n_epochs"], dataset["n_channels"], dataset["n_times"]]
    assert shape == list(data.shape) and dataset["dtype"] == str(data.dtype)
    assert "data" not in dataset
    assert api.get(f"/v1/datasets/{dataset['id']}").json() == dataset


@DTYPES
def test_inline_nested(api, dtype):
    data = noise(dtype=dtype)
    check_ready(api, api.create(description(dtype=dtype, data=data.tolist())), data)


def test_inline_nested_tells_the_sizes(api):
    data = noise()
    made = {k: v for k, v in description(data=data.tolist()).items() if k not in ("n_epochs", "n_times")}
    check_ready(api, api.create(made), data)


@DTYPES
def test_inline_base64(api, dtype):
    data = noise(dtype=dtype)
    check_ready(api, api.create(description(dtype=dtype, data=as_base64(data))), data)


@DTYPES
@pytest.mark.parametrize("wrap, kind", [
    (np.ndarray.tobytes, "application/octet-stream"),
    (npy_bytes, "application/octet-stream"),
    (npy_bytes, "application/x-npy"),
])  # fmt: skip
def test_put(api, dtype, wrap, kind):
    data = noise(dtype=dtype)
    created = api.create(description(dtype=dtype))
    assert created["state"] == "awaiting_samples" and created["sha256"] is None
    response = api.put(f"/v1/datasets/{created['id']}/samples", wrap(data), kind)
    assert response.status == 200, response
    check_ready(api, response.json(), data)


def test_npy_version_2(api):
    data = noise()
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (12, 6, 20), }"
    header = header.ljust(115) + b"\n"
    body = b"\x93NUMPY\x02\x00" + len(header).to_bytes(4, "little") + header + data.tobytes()
    created = api.create(description())
    response = api.put(f"/v1/datasets/{created['id']}/samples", body)
    assert response.status == 200, response
    check_ready(api, response.json(), data)


def test_raw_samples_that_begin_like_npy(api):
    """A body of exactly the declared size is raw even if its first sample looks like the magic."""
    data = noise()
    data.view(np.uint8).reshape(-1)[:6] = np.frombuffer(b"\x93NUMPY", np.uint8)
    if not np.isfinite(data).all():
        data.view(np.uint8).reshape(-1)[6:8] = 0
    created = api.create(description())
    response = api.put(f"/v1/datasets/{created['id']}/samples", data.tobytes())
    assert response.status in (200, 422), response
    if response.status == 422:
        check_problem(response, 422, "invalid-samples")


def test_slow_client_in_small_pieces(api):
    """The body may come in pieces that end anywhere, also within a sample."""
    import http.client

    data = noise()
    created = api.create(description())
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.putrequest("PUT", f"/v1/datasets/{created['id']}/samples")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(data.nbytes))
    connection.endheaders()
    body, sizes = data.tobytes(), [1, 2, 3, 5, 7, 1001, 4093]
    at = 0
    while at < len(body):
        size = sizes[at % len(sizes)]
        connection.send(body[at : at + size])
        at += size
        time.sleep(0.002)
    response = connection.getresponse()
    assert response.status == 200
    check_ready(api, json.loads(response.read()), data)
    connection.close()


def test_everything_is_kept(api):
    made = description(
        events=[[100 * i, 0, 1 + i % 2] for i in range(12)], event_id={"standard": 1, "deviant": 2},
        device_to_head=[[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0.1], [0, 0, 0, 1]],
        name="sub-01 \u00f6\u8133", tmin=-0.30000000000000004, sfreq=999.9999999999999,
    )  # fmt: skip
    made["channels"][1] |= {"name": "\u8133 \"1\"", "bad": True}
    made["channels"][2] |= {"loc": [float(i) for i in range(11)] + [None], "coil_type": 3012, "type": "grad"}
    del made["channels"][3]["position"]
    kept = api.get(f"/v1/datasets/{api.create(made)['id']}").json()
    for key in ("name", "sfreq", "tmin", "n_epochs", "n_times", "dtype", "events", "event_id",
                "device_to_head"):  # fmt: skip
        assert kept[key] == made[key], key
    for have, want in zip(kept["channels"], made["channels"], strict=True):
        assert have | want == have | {"position": want.get("position")} | want, (have, want)


def test_null_counts_as_absent(api):
    made = description(name=None, events=None, event_id=None, device_to_head=None, data=None, tmin=None)
    assert api.create(made)["state"] == "awaiting_samples"


def test_same_samples_twice_are_two_datasets(api):
    data = noise(seed=5)
    one, two = api.upload(description(), data), api.upload(description(), data)
    assert one["id"] != two["id"] and one["sha256"] == two["sha256"]
    assert api.delete(f"/v1/datasets/{one['id']}").status == 204
    _, result = api.fit(two, cv=3)
    assert result["provenance"]["dataset_sha256"] == two["sha256"]


def test_list_newest_first(api):
    made = [api.create(description(name=f"number {i}"))["id"] for i in range(5)]
    listed = [dataset["id"] for dataset in api.listed("datasets")]
    assert listed[:5] == made[::-1]
    limited = api.get("/v1/datasets?limit=2").json()["datasets"]
    assert [dataset["id"] for dataset in limited] == made[:-3:-1]


def test_delete(api, daemon):
    dataset = api.upload(description(), noise(seed=6))
    path = f"/v1/datasets/{dataset['id']}"
    response = api.delete(path)
    assert response.status == 204 and response.body == b""
    for again in (api.get(path), api.delete(path)):
        check_problem(again, 404, "not-found")
    assert dataset["id"] not in [d["id"] for d in api.listed("datasets")]
    check_problem(api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]}), 404, "not-found")
    assert not [p for p in daemon.data.rglob("*") if p.name.endswith(dataset["sha256"][2:])]


def test_content_type_with_charset(api):
    response = api.request("POST", "/v1/datasets", json.dumps(description()),
                           {"Content-Type": "Application/JSON; charset=utf-8"})  # fmt: skip
    assert response.status == 201, response


def test_expect_continue(api):
    """curl waits for 100 Continue before it sends a large body."""
    body = json.dumps(description()).encode()
    request_head = (b"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                    b"Expect: 100-continue\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))  # fmt: skip
    answer = api.raw(request_head, body)
    assert b"201 Created" in answer, answer
