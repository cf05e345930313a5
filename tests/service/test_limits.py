"""What one user may take, and whose job is next."""

import io
import json
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise


@pytest.fixture
def small_limits(own_daemon):
    return own_daemon("--user-queued-jobs", "3", "--user-bytes", "40K")


# Some seconds of work, so that what follows stays queued.
LONG = {"n_epochs": 600, "n_channels": 96, "n_times": 500}


def queue_up(own_daemon, *arguments):
    """A daemon whose only device is busy with a job of anna's; (daemon, {name: headers}, dataset)."""
    daemon = own_daemon(*arguments)
    dataset = daemon.api.upload(description(**LONG), noise(**LONG))
    daemon.api.request("PATCH", f"/v1/datasets/{dataset['id']}", json.dumps({"visibility": "lab"}),
                       {"Content-Type": "application/json"})  # fmt: skip
    headers = {name: {"Authorization": f"Bearer {daemon.add_token(name)}"} for name in ("anna", "bert")}
    first = submit(daemon, headers["anna"], dataset).json()
    eventually(lambda: state(daemon, headers["anna"], first["id"])["state"] == "running", 20, "it runs")
    return daemon, headers, dataset


def submit(daemon, headers, dataset, **more):
    return daemon.api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]} | more, headers=headers)


def state(daemon, headers, job):
    return daemon.api.get(f"/v1/jobs/{job}", headers=headers).json()


def test_a_single_job_waits_for_one_job(own_daemon):
    daemon, headers, dataset = queue_up(own_daemon)
    many = [submit(daemon, headers["anna"], dataset, priority=100).json() for _ in range(20)]
    single = submit(daemon, headers["bert"], dataset, priority=-100).json()
    assert single["position"] == 0, single
    assert state(daemon, headers["anna"], many[-1]["id"])["position"] >= len(many) - 1
    eventually(lambda: state(daemon, headers["bert"], single["id"])["state"] != "queued", 60, "bert's turn")
    for job in many:
        assert state(daemon, headers["anna"], job["id"])["state"] == "queued"
        daemon.api.request("DELETE", f"/v1/jobs/{job['id']}", headers=headers["anna"])
    daemon.kill()


def test_queued_jobs(own_daemon):
    daemon, headers, dataset = queue_up(own_daemon, "--user-queued-jobs", "3")
    for _ in range(3):
        assert submit(daemon, headers["anna"], dataset).status == 202
    refused = submit(daemon, headers["anna"], dataset)
    check_problem(refused, 429, "too-many-requests", mentions=["3 of your jobs"])
    assert int(refused.headers["Retry-After"]) >= 1
    assert submit(daemon, headers["bert"], dataset).status == 202
    daemon.kill()


def at_once(n, call):
    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(call, range(n)))


def test_queued_jobs_at_the_same_time(own_daemon):
    """Whoever asks in parallel gets no more than whoever doesn't."""
    daemon, headers, dataset = queue_up(own_daemon, "--user-queued-jobs", "3")
    answers = at_once(24, lambda i: submit(daemon, headers["anna"], dataset, priority=i))
    assert sorted({answer.status for answer in answers}) == [202, 429]
    assert sum(answer.status == 202 for answer in answers) == 3
    for answer in answers:
        if answer.status == 429:
            check_problem(answer, 429, "too-many-requests", mentions=["3 of your jobs"])
            assert int(answer.headers["Retry-After"]) >= 1
    daemon.kill()


def test_sent_again_though_the_queue_is_full(own_daemon):
    daemon, headers, dataset = queue_up(own_daemon, "--user-queued-jobs", "1")

    def send(key):
        return submit(daemon, headers["anna"] | {"Idempotency-Key": key}, dataset)

    first = send("first")
    assert first.status == 202
    check_problem(refused := send("second"), 429, "too-many-requests", mentions=["1 of your jobs"])
    assert int(refused.headers["Retry-After"]) >= 1
    again = send("first")
    assert again.status == 202 and again.json()["id"] == first.json()["id"]
    daemon.kill()


def test_stored_bytes(small_limits):
    api = small_limits.api
    first = api.upload(description(12, 6, 50), noise(12, 6, 50))  # 28 KB
    refused = api.post("/v1/datasets", description(12, 6, 50))
    check_problem(refused, 413, "too-large", mentions=["28800 bytes", "40960"])
    file = api.request("POST", "/v1/datasets", bytes(30000), {"Content-Type": "application/octet-stream"})
    check_problem(file, 413, "too-large")
    assert len(api.listed("datasets")) == 1
    assert api.delete(f"/v1/datasets/{first['id']}").status == 204
    api.upload(description(12, 6, 50), noise(12, 6, 50))


def test_stored_bytes_at_the_same_time(small_limits):
    answers = at_once(24, lambda _: small_limits.api.post("/v1/datasets", description(6, 6, 50)))  # 14 KB
    assert sum(answer.status == 201 for answer in answers) == 2, answers
    assert {answer.status for answer in answers} == {201, 413}


def test_stored_bytes_are_those_of_the_samples(small_limits):
    """However small the file is that they are in."""
    shape = {"n_epochs": 20, "n_channels": 6, "n_times": 50}
    channels = description(**shape)["channels"]
    file = io.BytesIO()
    np.savez_compressed(
        file, data=np.zeros(tuple(shape.values())), sfreq=100.0, tmin=0.0, ch_types=["eeg"] * 6,
        ch_names=[channel["name"] for channel in channels],
        positions=[channel["position"] for channel in channels],
    )  # fmt: skip
    assert len(file.getvalue()) < 10000
    answer = small_limits.api.request(
        "POST", "/v1/datasets", file.getvalue(), {"Content-Type": "application/octet-stream"}
    )
    check_problem(answer, 413, "too-large", mentions=["add 48000", "40960"])
    assert small_limits.api.listed("datasets") == [] and small_limits.blobs() == []


def test_requests_per_second(own_daemon):
    daemon = own_daemon("--user-requests-per-second", "5")
    answers = [daemon.api.get("/v1/jobs") for _ in range(30)]
    refused = [answer for answer in answers if answer.status == 429]
    assert refused and answers[0].status == 200
    check_problem(refused[0], 429, "too-many-requests")
    assert int(refused[0].headers["Retry-After"]) >= 1
    assert daemon.api.get("/healthz").status == 200
    time.sleep(1.2)
    assert daemon.api.get("/v1/jobs").status == 200


def test_idempotency_key(daemon, api):
    dataset = api.upload(description(), noise())
    request = {"type": "fit", "dataset": dataset["id"],
               "parameters": {"cv": 3, "consensus": [0.5], "n_interpolate": [1]}}  # fmt: skip
    key = {"Idempotency-Key": "b6f1c1d2-0b6e-4c7a-9c5e-000000000001"}
    first = api.post("/v1/jobs", request, headers=key)
    again = api.post("/v1/jobs", request, headers=key)
    assert first.status == again.status == 202
    assert first.json()["id"] == again.json()["id"]
    assert first.headers["Location"] == again.headers["Location"]
    other = api.post("/v1/jobs", request | {"priority": 1}, headers=key)
    check_problem(other, 409, "conflict", field="Idempotency-Key")
    without = api.post("/v1/jobs", request)
    assert without.json()["id"] != first.json()["id"]
    assert api.finish(first.json()["id"])["state"] == "succeeded"
    assert api.post("/v1/jobs", request, headers=key).json()["state"] == "succeeded"
    # Whatever has become of the dataset.
    assert api.finish(without.json()["id"])["state"] == "succeeded"
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
    again = api.post("/v1/jobs", request, headers=key)
    assert again.status == 202 and again.json()["id"] == first.json()["id"]
    check_problem(api.post("/v1/jobs", request), 404, "not-found", field="dataset")


@pytest.mark.parametrize("key", ["", "a b", "x" * 256, "\x7f", "caf\xe9"])
def test_bad_idempotency_key(api, key):
    dataset = api.create(description())
    request = {"type": "fit", "dataset": dataset["id"]}
    response = api.post("/v1/jobs", request, headers={"Idempotency-Key": key})
    assert response.status in (400, 409, 422), response
    assert [job for job in api.listed("jobs") if job["dataset"] == dataset["id"]] == []
