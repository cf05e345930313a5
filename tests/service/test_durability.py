"""What was acknowledged survives: SIGKILL at any moment, SIGTERM, restarts."""

import http.client
import random
import threading

import pytest
from api import FINAL
from daemon import SANITIZED
from samples import description, noise

KILLS = 6 if SANITIZED else 8  # crash_campaign.py has more
SHAPE = {"n_epochs": 40, "n_channels": 12, "n_times": 100}


class Client(threading.Thread):
    """Uploads and submits without pause and remembers all that was acknowledged."""

    def __init__(self, api, seed):
        super().__init__()
        self.api, self.rng = api, random.Random(seed)
        self.created, self.ready, self.jobs, self.deleted = [], [], [], []
        self.deleting = None
        self.going = True

    def run(self):
        while self.going:
            try:
                self.step()
            except (OSError, http.client.HTTPException):
                return  # the daemon is gone

    def step(self):
        data = noise(**SHAPE, seed=self.rng.randrange(1000))
        dataset = self.api.create(description(**SHAPE))
        self.created.append(dataset["id"])
        response = self.api.put(f"/v1/datasets/{dataset['id']}/samples", data.tobytes())
        assert response.status == 200, response
        self.ready.append((dataset["id"], response.json()["sha256"]))
        for _ in range(self.rng.randrange(3)):
            request = {"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 5}}
            self.jobs.append(self.api.submit(request)["id"])
        if self.rng.random() < 0.2:
            spare = self.api.create(description(**SHAPE))["id"]
            self.deleting = spare
            assert self.api.delete(f"/v1/datasets/{spare}").status == 204
            self.deleted.append(spare)


def check_kept(api, clients, finished):
    """Every acknowledged id is there; what was finished is exactly as it was."""
    for client in clients:
        for identity in client.created:
            assert api.get(f"/v1/datasets/{identity}").status == 200, identity
        for identity, digest in client.ready:
            dataset = api.get(f"/v1/datasets/{identity}").json()
            assert dataset["state"] == "ready" and dataset["sha256"] == digest
        for identity in client.deleted:
            assert api.get(f"/v1/datasets/{identity}").status == 404
        for identity in client.jobs:
            assert api.get(f"/v1/jobs/{identity}").status == 200, identity
    for identity, (job, labels) in finished.items():
        assert api.job(identity) == job
        assert api.get(f"/v1/jobs/{identity}/result/labels.npy").body == labels


def remember_finished(api, finished):
    for job in api.listed("jobs"):
        if job["state"] == "succeeded" and job["id"] not in finished:
            labels = api.get(f"/v1/jobs/{job['id']}/result/labels.npy")
            assert labels.status == 200, labels
            finished[job["id"]] = job, labels.body


def test_killed_again_and_again(own_daemon):
    daemon = own_daemon()
    rng = random.Random(20)
    clients, finished = [], {}
    for kill in range(KILLS):
        running = [Client(daemon.api, 100 * kill + i) for i in range(2)]
        for client in running:
            client.start()
        threading.Event().wait(rng.uniform(0.02, 0.7))
        try:
            remember_finished(daemon.api, finished)
        finally:
            daemon.kill()
        for client in running:
            client.going = False
            client.join(30)
            assert not client.is_alive()
        clients += running
        daemon.start()
        check_kept(daemon.api, clients, finished)
    assert sum(len(client.jobs) for client in clients) > 0

    known = {identity for client in clients for identity in client.jobs}
    for identity in known:
        job = daemon.api.finish(identity)
        assert job["state"] == "succeeded", job
        assert 1 <= job["attempt"] <= 3
        assert daemon.api.get(f"/v1/jobs/{identity}/result").status == 200
    check_kept(daemon.api, clients, finished)
    daemon.stop()
    left = [p for p in daemon.data.rglob("*") if "tmp" in p.name and p.is_file()]
    assert not left, "files of uploads that were cut off are left"


def test_running_job_is_run_again_once(own_daemon):
    shape = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
    daemon = own_daemon()
    dataset = daemon.api.upload(description(**shape), noise(**shape))
    request = {"type": "fit", "dataset": dataset["id"],
               "parameters": {"thresh_method": "exact", "n_interpolate": [1, 2, 4, 8, 16, 32]}}  # fmt: skip
    job, behind = daemon.api.submit(request), daemon.api.submit(request)
    while daemon.api.job(job["id"])["state"] == "queued":
        pass
    before = daemon.api.job(job["id"])
    daemon.kill()
    daemon.start()
    after = daemon.api.finish(job["id"])
    assert after["state"] == "succeeded", after
    assert after["attempt"] == before["attempt"] + (before["state"] not in FINAL)
    second = daemon.api.finish(behind["id"])
    assert second["state"] == "succeeded" and second["attempt"] == 1
    one, two = (daemon.api.get(j["result"]).json() for j in (after, second))
    assert one["labels"] == two["labels"] and one["loss"] == two["loss"]


def test_clean_shutdown_with_work_in_progress(own_daemon):
    shape = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
    daemon = own_daemon()
    dataset = daemon.api.upload(description(**shape), noise(**shape))
    request = {"type": "fit", "dataset": dataset["id"], "parameters": {"thresh_method": "exact"}}
    jobs = [daemon.api.submit(request)["id"] for _ in range(3)]
    waiter = threading.Thread(target=lambda: swallow(lambda: daemon.api.job(jobs[2], wait=60)))
    waiter.start()
    daemon.stop()
    waiter.join(20)
    assert not waiter.is_alive(), "a waiting client was left hanging"
    daemon.start()
    for identity in jobs:
        assert daemon.api.finish(identity)["state"] == "succeeded"


def swallow(call):
    try:
        call()
    except (OSError, http.client.HTTPException, AssertionError):
        pass


def test_restart_without_work(own_daemon):
    daemon = own_daemon()
    dataset = daemon.api.upload(description(), noise())
    job, result = daemon.api.fit(dataset, cv=3)
    lists = {kind: daemon.api.listed(kind) for kind in ("datasets", "jobs", "models")}
    cleaned = daemon.api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").body
    daemon.stop()
    daemon.start()
    assert {kind: daemon.api.listed(kind) for kind in lists} == lists
    assert daemon.api.get(job["result"]).json() == result
    assert daemon.api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").body == cleaned


def test_cancelled_stays_cancelled(own_daemon):
    shape = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
    daemon = own_daemon()
    dataset = daemon.api.upload(description(**shape), noise(**shape))
    request = {"type": "fit", "dataset": dataset["id"], "parameters": {"thresh_method": "exact"}}
    first, second = daemon.api.submit(request)["id"], daemon.api.submit(request)["id"]
    assert daemon.api.delete(f"/v1/jobs/{second}").status in (202, 409)
    state = daemon.api.job(second)["state"]
    daemon.kill()
    daemon.start()
    assert daemon.api.finish(first)["state"] == "succeeded"
    after = daemon.api.finish(second)["state"]
    assert after == state if state in FINAL else after in ("cancelled", "succeeded")


def test_two_daemons_on_one_directory(own_daemon, tmp_path):
    """The second one says so and ends; the first goes on."""
    daemon = own_daemon()
    with pytest.raises(AssertionError, match="did not start"):
        own_daemon(folder=tmp_path)
    assert daemon.api.get("/healthz").status == 200
