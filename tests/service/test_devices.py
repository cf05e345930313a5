"""Jobs on GPUs, which are fake ones (tests/module): what the daemon makes of them and of their faults."""

import os
import signal
import time
from pathlib import Path

import pytest
from api import FINAL, check_problem
from daemon import BUILD, PATIENCE, eventually, program
from samples import description, noise

MODULE = BUILD / "tests" / "module" / "rejectd_fake.so"
SHAPE = {"n_epochs": 20, "n_channels": 8, "n_times": 30}


class Gpus:
    """A daemon with fake GPUs, and what is to go wrong with them."""

    def __init__(self, make, folder, arguments=(), n=2):
        self.faults = folder / "faults"
        self.faults.mkdir(exist_ok=True)
        environment = {
            "REJECTD_CUDA_MODULE": str(MODULE),
            "REJECTD_FAKE_DEVICES": str(n),
            "REJECTD_FAKE_FAULTS": str(self.faults),
        }
        self.daemon = make(*arguments, environment=environment)
        self.n = n

    @property
    def api(self):
        return self.daemon.api

    def fault(self, device, what, once=True):
        (self.faults / f"{device}-{what}").write_text("once" if once else "always")

    def heal(self, device, what):
        (self.faults / f"{device}-{what}").unlink(missing_ok=True)

    def devices(self):
        response = self.api.get("/v1/devices")
        assert response.status == 200, response
        return {device["id"]: device for device in response.json()["devices"]}

    def wait_for(self, device, *states, seconds=20):
        return eventually(lambda: (d := self.devices()[device])["state"] in states and d, seconds,
                          f"{device} is {' or '.join(states)}")  # fmt: skip

    def ready(self):
        for i in range(self.n):
            self.wait_for(f"cuda:{i}", "ready")
        return self

    def dataset(self, seed=0):
        return self.api.upload(description(**SHAPE), noise(**SHAPE, seed=seed))

    def submit(self, dataset, device="auto", kind="fit", **parameters):
        return self.api.submit({"type": kind, "dataset": dataset["id"], "device": device,
                                "parameters": parameters})["id"]  # fmt: skip

    def running_on(self, device, job):
        eventually(lambda: self.devices()[device]["job"] == job, 20, f"{job} runs on {device}")

    def result(self, job):
        assert job["state"] == "succeeded", job
        return self.api.get(job["result"]).json()

    def pid(self, device):
        """Of the device's process."""
        for process in self.children():
            arguments = Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
            if b"worker" in arguments and device.encode() in arguments:
                return process
        raise AssertionError(f"{device} has no process")

    def children(self):
        main = self.daemon.process.pid
        found = []
        for task in Path(f"/proc/{main}/task").iterdir():
            try:
                found += [int(pid) for pid in (task / "children").read_text().split()]
            except FileNotFoundError:
                pass
        return found

    def log(self):
        return self.daemon.errors()


@pytest.fixture
def gpus(own_daemon, tmp_path):
    def make(*arguments, n=2):
        return Gpus(own_daemon, tmp_path, arguments, n)

    return make


def test_devices_are_shown(gpus):
    g = gpus().ready()
    listed = g.api.get("/v1/devices").json()
    assert listed["cuda"] == "fake devices for tests"
    cpu, first, second = listed["devices"]
    assert (cpu["id"], cpu["kind"], cpu["state"], cpu["memory"]) == ("cpu", "cpu", "ready", None)
    assert (first["id"], first["kind"], first["name"]) == ("cuda:0", "cuda", "fake device 0")
    assert second["id"] == "cuda:1"
    assert first["reason"] is None and first["job"] is None
    assert first["memory"] == {"total": 1 << 30, "budget": 1 << 30, "free": 1 << 30}
    assert first["residents"] == [] and first["restarts"] == 0 and first["jobs_done"] == 0
    ready = g.api.get("/readyz")
    assert ready.status == 200
    assert ready.json() == {"status": "ok", "devices": {"cpu": "ready", "cuda:0": "ready", "cuda:1": "ready"}}


JOBS = {
    "fit": {"cv": 4},
    "thresholds": {},
    "ransac": {},
    "global_thresholds": {},
    "validation_curve": {},
}


@pytest.mark.parametrize("kind", JOBS)
def test_the_same_results_as_on_the_processor(gpus, kind):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    jobs = {}
    for device in ("cpu", "cuda:0"):
        jobs[device] = g.api.finish(g.submit(dataset, device, kind, **JOBS[kind]))
    results = {device: g.result(job) for device, job in jobs.items()}
    for device, result in results.items():
        assert result["device"] == device
        assert result["provenance"]["dataset_sha256"] == dataset["sha256"]
    assert "fake device 0" in results["cuda:0"]["provenance"]["backend"]
    for key in ("labels", "bad_epochs", "consensus", "n_interpolate", "bad_channels"):
        assert results["cpu"].get(key) == results["cuda:0"].get(key)
