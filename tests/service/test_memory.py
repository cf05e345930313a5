"""The daemon's memory while large bodies pass through it, and its files afterwards."""

import http.client
import threading

import numpy as np
import pytest
from samples import description

pytestmark = pytest.mark.slow  # a sanitizer changes what memory is used

EPOCHS, CHANNELS, TIMES = 300, 125, 1000
BYTES = EPOCHS * CHANNELS * TIMES * 8  # 300 MB


def stream(api, dataset, seed):
    """PUTs samples that are made epoch by epoch, so that this process holds none of it either."""
    rng = np.random.default_rng(seed)
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=300)
    connection.putrequest("PUT", f"/v1/datasets/{dataset['id']}/samples")
    connection.putheader("Content-Type", "application/octet-stream")
    connection.putheader("Content-Length", str(BYTES))
    connection.endheaders()
    one = 1e-5 * rng.standard_normal((CHANNELS, TIMES))
    for epoch in range(EPOCHS):
        connection.send(memoryview(one * (1.0 + epoch / EPOCHS)).cast("B"))
    response = connection.getresponse()
    assert response.status == 200, response.read()
    response.read()
    connection.close()


def test_upload_is_streamed(daemon, api):
    dataset = api.create(description(EPOCHS, CHANNELS, TIMES))
    daemon.reset_peak()
    before = daemon.memory()["VmRSS"]
    stream(api, dataset, 1)
    grown = daemon.memory()["VmHWM"] - before
    assert grown < 16e6, f"grew by {grown} bytes during an upload of {BYTES}"
    assert api.get(f"/v1/datasets/{dataset['id']}").json()["state"] == "ready"
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
    left = sum(path.stat().st_size for path in daemon.data.rglob("*") if path.is_file())
    assert left < 50e6, "the samples of a deleted dataset are still on disk"


def test_uploads_at_the_same_time(daemon, api):
    datasets = [api.create(description(EPOCHS, CHANNELS, TIMES)) for _ in range(3)]
    daemon.reset_peak()
    before = daemon.memory()["VmRSS"]
    threads = [threading.Thread(target=stream, args=(api, d, i)) for i, d in enumerate(datasets)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    grown = daemon.memory()["VmHWM"] - before
    assert grown < 32e6, f"grew by {grown} bytes"
    states = {d["id"]: d["state"] for d in api.listed("datasets")}
    assert all(states[d["id"]] == "ready" for d in datasets)
    digests = {api.get(f"/v1/datasets/{d['id']}").json()["sha256"] for d in datasets}
    assert len(digests) == 3
    for dataset in datasets:
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


def test_refused_bodies_are_not_kept(daemon, api):
    """Many refused requests leave the memory and the disk as they were."""
    body = '{"sfreq": 1, "colour": ' + " " * 1_000_000 + "1}"
    for _ in range(5):
        assert api.post("/v1/datasets", body).status == 422
    before = daemon.memory()["VmRSS"]
    for _ in range(60):
        assert api.post("/v1/datasets", body).status == 422
    assert daemon.memory()["VmRSS"] - before < 8e6


def test_fits_do_not_leak(daemon, api):
    from samples import noise

    dataset = api.upload(description(40, 16, 100), noise(40, 16, 100))
    for _ in range(10):
        api.fit(dataset)
    before = daemon.memory()["VmRSS"]
    for _ in range(60):
        api.fit(dataset)
    assert daemon.memory()["VmRSS"] - before < 8e6
