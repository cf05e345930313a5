"""Jobs from submission to their end: states, progress, waiting, cancelling, deleting."""

import json
import re
import threading
import time

import pytest
from api import FINAL, check_problem
from daemon import PATIENCE, eventually
from samples import description, noise

ID = re.compile(r"jb_[a-z0-9]{22}")
KEYS = {"id", "owner", "visibility", "type", "dataset", "model", "device", "priority", "parameters", "state", "position",
        "progress", "attempt", "created_at", "started_at", "finished_at", "error", "result"}  # fmt: skip


@pytest.fixture(scope="module")
def small(daemon):
    return daemon.api.upload(description(), noise())


# Enough work for some seconds, so that a running job can be looked at.
LONG = {"n_epochs": 400, "n_channels": 96, "n_times": 400}


@pytest.fixture(scope="module")
def large(daemon):
    return daemon.api.upload(description(**LONG), noise(**LONG))


def long_fit(large, **changes):
    grid = {"n_interpolate": [1, 2, 4, 8, 16, 24, 32, 48], "cv": 10, "thresh_method": "exact"}
    return {"type": "fit", "dataset": large["id"], "parameters": grid} | changes


def start_long(api, large, **changes):
    return api.submit(long_fit(large, **changes))


def cancel(api, job):
    response = api.delete(f"/v1/jobs/{job['id']}")
    assert response.status == 202, response
    assert response.json()["id"] == job["id"]
    return api.finish(job["id"])


def test_from_submission_to_success(api, small):
    job = api.submit({"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}, "priority": 5})
    assert KEYS <= set(job) and ID.fullmatch(job["id"])
    assert job["state"] in ("queued", "running", "succeeded")
    done = api.finish(job["id"])
    assert done["state"] == "succeeded" and done["attempt"] == 1 and done["error"] is None
    assert (done["type"], done["dataset"], done["model"]) == ("fit", small["id"], None)
    assert done["parameters"] == {"cv": 3} and done["priority"] == 5 and done["position"] is None
    assert done["progress"]["fraction"] == 1.0
    assert done["created_at"] <= done["started_at"] <= done["finished_at"]
    assert done["result"] == f"/v1/jobs/{job['id']}/result"
    assert api.job(job["id"]) == done


def test_list_newest_first(api, small):
    made = [api.submit({"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}})["id"]
            for _ in range(4)]  # fmt: skip
    assert [job["id"] for job in api.listed("jobs")][:4] == made[::-1]
    for identity in made:
        assert api.finish(identity)["state"] == "succeeded"


def test_list_shows_what_stays(api, small):
    """A job is listed as it will be for good from the moment when it has ended."""
    made = [api.submit({"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}})["id"]
            for _ in range(20)]  # fmt: skip
    ended = {}
    while len(ended) < len(made):
        for job in api.listed("jobs"):
            if job["id"] in made and job["state"] in FINAL:
                ended.setdefault(job["id"], job)
    for identity in made:
        assert api.job(identity) == ended[identity]


def test_progress_moves_with_the_work(api, large):
    job = start_long(api, large)
    seen = []
    while True:
        now = api.job(job["id"])
        if now["state"] in FINAL:
            break
        seen.append((now["state"], now["progress"]["stage"], now["progress"]["fraction"]))
        time.sleep(0.01)
    assert now["state"] == "succeeded", now
    fractions = [fraction for _, _, fraction in seen]
    assert fractions == sorted(fractions), "progress went back"
    assert all(0.0 <= fraction <= 1.0 for fraction in fractions)
    middle = {fraction for fraction in fractions if 0.0 < fraction < 1.0}
    assert len(middle) >= 5, f"progress stood still: {sorted(set(fractions))}"
    stages = {stage for state, stage, _ in seen if state == "running" and stage is not None}
    assert len(stages) >= 2, stages


def test_progress_does_not_go_back_in_lists(api, large):
    job = start_long(api, large)
    fractions = [0.0]
    state = job["state"]
    while state not in FINAL:
        now = next(each for each in api.listed("jobs") if each["id"] == job["id"])
        state = now["state"]
        fractions.append(now["progress"]["fraction"])
    assert state == "succeeded"
    assert fractions == sorted(fractions), "progress went back"
    assert fractions[-1] == 1.0


def test_asked_for_again_while_it_runs(api, large):
    """An Idempotency-Key brings the job as it is now, and its listeners nothing new."""
    key = {"Idempotency-Key": "while-it-runs"}
    request = long_fit(large, reuse=False)
    job = api.post("/v1/jobs", request, headers=key).json()
    fractions = [0.0]
    while job["state"] not in FINAL:
        job = api.post("/v1/jobs", request, headers=key).json()
        fractions.append(job["progress"]["fraction"])
    assert job["state"] == "succeeded"
    assert fractions == sorted(fractions), "progress went back"
    assert any(0.0 < fraction < 1.0 for fraction in fractions)


def test_change_does_not_wait(api, large):
    job = start_long(api, large, reuse=False)
    change = {"visibility": "lab"}
    response = api.request("PATCH", f"/v1/jobs/{job['id']}?wait=60", json.dumps(change),
                           {"Content-Type": "application/json"})  # fmt: skip
    assert response.status == 200, response
    assert response.json()["visibility"] == "lab"
    cancel(api, job)


def test_wait_returns_as_soon_as_it_is_finished(api, small):
    job = api.submit({"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}})
    begun = time.monotonic()
    assert api.job(job["id"], wait=60)["state"] == "succeeded"
    assert time.monotonic() - begun < 15 * PATIENCE


def test_wait_returns_after_its_time(api, large):
    job = start_long(api, large)
    begun = time.monotonic()
    now = api.job(job["id"], wait=0.3)
    took = time.monotonic() - begun
    assert now["state"] in FINAL or 0.25 <= took < 0.3 + 2 * PATIENCE, (took, now)
    if now["state"] not in FINAL:
        cancel(api, job)


def test_many_wait_at_once(api, large):
    """Waiting costs no thread: others are answered meanwhile, and all waiters get the end."""
    job = start_long(api, large)
    answers = []
    waiters = [threading.Thread(target=lambda: answers.append(api.job(job["id"], wait=60)))
               for _ in range(40)]  # fmt: skip
    for waiter in waiters:
        waiter.start()
    begun = time.monotonic()
    assert api.get("/healthz").status == 200
    assert time.monotonic() - begun < 2 * PATIENCE
    cancel(api, job)
    for waiter in waiters:
        waiter.join(30 * PATIENCE)
    assert len(answers) == 40 and all(answer["state"] in FINAL for answer in answers)


def test_cancel_while_running(api, large):
    job = start_long(api, large)
    eventually(lambda: api.job(job["id"])["state"] == "running", 20, "the job runs")
    begun = time.monotonic()
    ended = cancel(api, job)
    assert ended["state"] == "cancelled", ended
    assert time.monotonic() - begun < 5 * PATIENCE
    assert ended["result"] is None and ended["finished_at"]
    check_problem(api.get(f"/v1/jobs/{job['id']}/result"), 409, "conflict")
    check_problem(api.delete(f"/v1/jobs/{job['id']}"), 409, "conflict")


def test_cancel_while_queued(api, large):
    first, second, third = (start_long(api, large) for _ in range(3))
    eventually(lambda: api.job(first["id"])["state"] == "running", 20, "the first job runs")
    waiting = api.job(third["id"])
    if waiting["state"] == "queued":
        assert waiting["position"] >= 0 and waiting["attempt"] == 0
        assert waiting["started_at"] is None
    ended = cancel(api, third)
    assert ended["state"] == "cancelled" and ended["position"] is None
    if waiting["state"] == "queued":
        assert ended["started_at"] is None
    for job in (second, first):
        if api.job(job["id"])["state"] not in FINAL:
            api.delete(f"/v1/jobs/{job['id']}")
        assert api.finish(job["id"])["state"] in ("cancelled", "succeeded")


def test_priority(api, large, small):
    """Of the queued jobs the one of higher priority runs first."""
    blocking = start_long(api, large, priority=100)
    low = start_long(api, large, priority=-5)
    requests = [{"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}, "priority": p} for p in (0, 9)]
    middle, high = (api.submit(request) for request in requests)
    if api.job(low["id"])["state"] == "queued" and api.job(high["id"])["state"] == "queued":
        places = {name: api.job(job["id"])["position"] for name, job in
                  (("low", low), ("middle", middle), ("high", high))}  # fmt: skip
        if None not in places.values():
            assert places["high"] < places["middle"] < places["low"]
    cancel(api, blocking)
    ends = [api.finish(job["id"]) for job in (high, middle)]
    assert ends[0]["started_at"] <= ends[1]["started_at"]
    if api.job(low["id"])["state"] not in FINAL:
        api.delete(f"/v1/jobs/{low['id']}")
    assert ends[1]["started_at"] <= (api.finish(low["id"])["started_at"] or "9")


def test_result_while_unfinished(api, large):
    job = start_long(api, large)
    for path in ("/result", "/result/labels.npy", "/result/cleaned.npy"):
        response = api.get(f"/v1/jobs/{job['id']}{path}")
        if response.status != 200:
            check_problem(response, 409, "conflict", None, "state")
    if api.job(job["id"])["state"] not in FINAL:
        api.delete(f"/v1/jobs/{job['id']}")
    api.finish(job["id"])


def test_dataset_in_use_is_not_deleted(api):
    own = api.upload(description(**LONG), noise(**LONG, seed=3))
    job = start_long(api, own)
    response = api.delete(f"/v1/datasets/{own['id']}")
    if response.status == 204:
        assert api.job(job["id"])["state"] in FINAL
        return
    check_problem(response, 409, "conflict", None, "job")
    if api.job(job["id"])["state"] not in FINAL:
        api.delete(f"/v1/jobs/{job['id']}")
    api.finish(job["id"])
    assert api.delete(f"/v1/datasets/{own['id']}").status == 204


def test_client_that_stops_waiting_cancels_nothing(api, small):
    import socket

    job = api.submit({"type": "fit", "dataset": small["id"], "parameters": {"cv": 3}})
    connection = socket.create_connection(("127.0.0.1", api.port))
    connection.sendall(f"GET /v1/jobs/{job['id']}?wait=30 HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    connection.close()
    assert api.finish(job["id"])["state"] == "succeeded"


def test_models(api, small):
    job, result = api.fit(small, cv=3)
    model = api.get(f"/v1/models/{result['model']}").json()
    assert model["id"] == result["model"] and model["job"] == job["id"]
    assert model["dataset"] == small["id"]
    assert {c["name"]: c["threshold"] for c in model["channels"]} == result["thresholds"]
    assert model["types"] == [{"type": "eeg", "consensus": result["consensus"]["eeg"],
                               "n_interpolate": result["n_interpolate"]["eeg"]}]  # fmt: skip
    assert api.listed("models")[0] == model
    assert api.delete(f"/v1/models/{model['id']}").status == 204
    check_problem(api.get(f"/v1/models/{model['id']}"), 404, "not-found")
    assert api.get(f"/v1/jobs/{job['id']}/result").json() == result


def test_operations(api):
    assert api.get("/healthz").json() == {"status": "ok"}
    assert api.get("/readyz").status == 200
    described = api.get("/openapi.yaml")
    assert described.status == 200 and described.body.startswith(b"openapi: 3")
    assert api.get("/").status == 200
    head = api.request("HEAD", "/healthz")
    assert head.status in (200, 405) and head.body == b""


def test_keep_alive(api):
    """Many requests over one connection."""
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
    for _ in range(50):
        connection.request("GET", "/v1/jobs?limit=1")
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()
