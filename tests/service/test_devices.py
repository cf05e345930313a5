"""Jobs on GPUs, which are fake ones (tests/module): what the daemon makes of them and of their faults."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from api import check_problem
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


def test_apply_and_interpolate(gpus):
    """What a fit on one device has learned is applied on another; cleaned samples come back."""
    g = gpus(n=1).ready()
    dataset = g.dataset()
    fit = g.api.finish(g.submit(dataset, "cuda:0", cv=4))
    model = g.result(fit)["model"]
    assert g.api.get(f"/v1/models/{model}").status == 200
    cleaned = {}
    for device in ("cpu", "cuda:0"):
        job = g.api.submit({"type": "apply", "dataset": dataset["id"], "device": device, "model": model})
        job = g.api.finish(job["id"])
        result = g.result(job)
        assert result["device"] == device and result["model"] == model
        cleaned[device] = g.api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        labels = g.api.get(f"/v1/jobs/{job['id']}/result/labels.npy").array()
        assert labels.tolist() == result["labels"]
        assert len(cleaned[device]) == SHAPE["n_epochs"] - len(result["bad_epochs"])
    assert abs(cleaned["cpu"] - cleaned["cuda:0"]).max() < 1e-12
    job = g.api.submit({"type": "interpolate", "dataset": dataset["id"], "device": "cuda:0",
                        "parameters": {"channels": {"E1": "all"}}})  # fmt: skip
    assert g.result(g.api.finish(job["id"]))["interpolated"] == {"E1": SHAPE["n_epochs"]}
    ransac = g.api.finish(g.submit(dataset, "cuda:0", "ransac"))
    shape = g.api.get(f"/v1/jobs/{ransac['id']}/result/correlations.npy").array().shape
    assert shape == (SHAPE["n_epochs"], SHAPE["n_channels"])


def test_an_error_of_the_job_is_one(gpus):
    """What the numerics refuse fails the job, as it does on the processor, and costs no process."""
    g = gpus(n=1).ready()
    dataset = g.api.upload(description(**SHAPE), 0.0 * noise(**SHAPE))
    jobs = [g.api.finish(g.submit(dataset, device, "ransac")) for device in ("cpu", "cuda:0")]
    assert jobs[0]["state"] == jobs[1]["state"]
    assert jobs[0]["error"] == jobs[1]["error"]
    assert g.devices()["cuda:0"]["restarts"] == 0


WISHES = {
    "cuda:7": ("auto, cpu, cuda, cuda:all, cuda:0, cuda:1",),
    "cuda:every": ("auto, cpu, cuda, cuda:all, cuda:0, cuda:1",),
    "gpu": ("auto, cpu, cuda",),
    "cuda: 0": ('"auto", "cpu", "cuda", "cuda:0"',),
}


@pytest.mark.parametrize("wish", WISHES)
def test_wishes_for_no_device_are_refused(gpus, wish):
    g = gpus()
    dataset = g.dataset()
    response = g.api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"], "device": wish})
    check_problem(response, 422, "invalid-value", "device", WISHES[wish])


def test_auto_takes_a_gpu_and_cpu_stays_cpu(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    wishes = {"auto": "cuda:0", "cuda": "cuda:0", "cpu": "cpu"}
    jobs = {wish: g.submit(dataset, wish, cv=4) for wish in wishes}
    for wish, device in wishes.items():
        job = g.api.finish(jobs[wish])
        assert job["device"] == wish and job["attempt"] == 1
        assert g.result(job)["device"] == device
    counts = {"cpu": 1, "cuda:0": 2}
    eventually(lambda: {i: d["jobs_done"] for i, d in g.devices().items()} == counts, 10, "the counts")


def test_two_devices_run_two_jobs_at_once(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    for i in range(2):
        g.fault(i, "slow", once=False)
    jobs = [g.submit(dataset, cv=4) for _ in range(2)]
    eventually(lambda: {g.devices()[f"cuda:{i}"]["job"] for i in range(2)} == set(jobs), 20, "both run")
    assert {g.devices()[f"cuda:{i}"]["state"] for i in range(2)} == {"busy"}
    # The processor goes on beside them.
    assert g.result(g.api.finish(g.submit(dataset, "cpu", cv=4)))["device"] == "cpu"
    for i in range(2):
        g.heal(i, "slow")
    used = {g.result(g.api.finish(job))["device"] for job in jobs}
    assert used == {"cuda:0", "cuda:1"}


def test_a_job_goes_where_its_dataset_is(gpus):
    g = gpus().ready()
    one, two = g.dataset(1), g.dataset(2)
    for dataset, device in ((one, "cuda:0"), (two, "cuda:1")):
        g.api.finish(g.submit(dataset, device, cv=4))
        g.api.finish(g.submit(dataset, device, cv=4))
    eventually(lambda: all(d["residents"] for i, d in g.devices().items() if i != "cpu"), 10, "residents")
    for _ in range(5):
        assert g.result(g.api.finish(g.submit(one, cv=4)))["device"] == "cuda:0"
        assert g.result(g.api.finish(g.submit(two, cv=4)))["device"] == "cuda:1"


def test_residents_are_shown_and_forgotten(gpus):
    g = gpus(n=1).ready()
    one, twin = g.dataset(1), g.dataset(1)
    g.api.finish(g.submit(one, "cuda:0", cv=4))
    (resident,) = eventually(lambda: g.devices()["cuda:0"]["residents"], 10, "a resident")
    assert resident["sha256"] == one["sha256"]
    assert resident["datasets"] == [one["id"]]
    g.api.finish(g.submit(twin, "cuda:0", cv=5))
    (resident,) = g.devices()["cuda:0"]["residents"]
    assert resident["datasets"] == [one["id"], twin["id"]]
    assert resident["bytes"] == one["bytes"] and not resident["in_use"]
    free = g.devices()["cuda:0"]["memory"]["free"]
    assert free == (1 << 30) - one["bytes"]
    # As long as one dataset has these samples, they stay.
    assert g.api.delete(f"/v1/datasets/{one['id']}").status == 204
    time.sleep(0.3)
    (resident,) = g.devices()["cuda:0"]["residents"]
    assert resident["datasets"] == [twin["id"]]
    assert g.api.delete(f"/v1/datasets/{twin['id']}").status == 204
    eventually(lambda: g.devices()["cuda:0"]["residents"] == [], 10, "it is forgotten")
    assert g.devices()["cuda:0"]["memory"]["free"] == 1 << 30


def test_devices_tell_nobody_of_what_is_not_theirs(gpus):
    """Neither who works on what, nor that somebody has the same samples."""
    g = gpus(n=1).ready()
    seen_by = {user: {"Authorization": f"Bearer {g.daemon.add_token(user, *role)}"}
               for user, role in (("anna", ()), ("bert", ()), ("carla", ("--role", "admin")))}  # fmt: skip

    def gpu(user):
        devices = g.api.get("/v1/devices", headers=seen_by[user]).json()["devices"]
        return next(device for device in devices if device["id"] == "cuda:0")

    g.api.token = seen_by["anna"]["Authorization"].split()[1]
    dataset = g.dataset()
    g.api.finish(g.submit(dataset, "cuda:0", cv=4))
    eventually(lambda: gpu("anna")["residents"], 10, "a resident")
    g.fault(0, "slow", once=False)
    job = g.submit(dataset, "cuda:0", cv=4)
    g.running_on("cuda:0", job)
    for user in ("anna", "carla"):
        (resident,) = gpu(user)["residents"]
        assert resident["datasets"] == [dataset["id"]] and gpu(user)["job"] == job
    assert gpu("carla")["residents_total"] == {"datasets": 1, "bytes": dataset["bytes"] + 1000}
    assert gpu("anna")["residents_total"] is None
    shown = gpu("bert")
    assert (shown["state"], shown["job"], shown["residents"]) == ("busy", None, [])
    g.api.request("PATCH", f"/v1/jobs/{job}", '{"visibility": "lab"}', {"Content-Type": "application/json"})
    assert gpu("bert")["job"] == job and gpu("bert")["residents"] == []
    g.heal(0, "slow")
    assert g.api.finish(job)["state"] == "succeeded"
    # The same samples, of one's own: nothing, until they were worked on there.
    g.api.token = seen_by["bert"]["Authorization"].split()[1]
    own = g.dataset()
    assert own["sha256"] == dataset["sha256"] and gpu("bert")["residents"] == []
    assert g.api.finish(g.submit(own, "cuda:0", cv=4))["state"] == "succeeded"
    for user, datasets in (("anna", [dataset]), ("bert", [own]), ("carla", [dataset, own])):
        (resident,) = gpu(user)["residents"]
        assert resident["datasets"] == [shown["id"] for shown in datasets]


# ---- faults ----


def test_kill_costs_one_try_and_nothing_else(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    for i in range(2):
        g.fault(i, "slow", once=False)
    lost = g.submit(dataset, "cuda:0", cv=4)
    other = g.submit(dataset, "cuda:1", cv=4)
    g.running_on("cuda:0", lost)
    g.running_on("cuda:1", other)
    other_pid = g.pid("cuda:1")
    os.kill(g.pid("cuda:0"), signal.SIGKILL)
    g.wait_for("cuda:0", "busy", seconds=20)
    eventually(lambda: g.api.job(lost)["attempt"] == 2, 20, "the second try")
    g.heal(0, "slow")
    job = g.api.finish(lost)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert g.result(job)["device"] == "cuda:0"
    assert "warnings" not in g.result(job) or g.result(job)["warnings"] == []
    assert g.api.job(other)["state"] == "running" and g.pid("cuda:1") == other_pid
    g.heal(1, "slow")
    job = g.api.finish(other)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    devices = g.devices()
    assert devices["cuda:0"]["restarts"] == 1 and devices["cuda:1"]["restarts"] == 0
    eventually(lambda: g.devices()["cuda:0"]["jobs_done"] == 1, 10, "one job is done, once")
    assert "cuda:0: its process was ended by signal 9 (Killed)" in g.log()


def test_a_lost_job_prefers_another_gpu(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    g.fault(0, "crash", once=False)
    g.fault(1, "slow", once=False)
    busy = g.submit(dataset, "cuda:1", cv=4)
    g.running_on("cuda:1", busy)
    job = g.submit(dataset, cv=4)  # cuda:0 alone is free, and crashes
    eventually(lambda: g.devices()["cuda:0"]["restarts"] == 1, 20, "the crash")
    g.wait_for("cuda:0", "ready")
    g.heal(1, "slow")
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert g.result(job)["device"] == "cuda:1"


def test_a_lost_job_for_a_named_gpu_goes_to_another(gpus):
    g = gpus(n=3).ready()
    dataset = g.dataset()
    g.fault(1, "crash", once=False)
    job = g.api.finish(g.submit(dataset, "cuda:1", cv=4))
    assert (job["state"], job["attempt"], job["device"]) == ("succeeded", 2, "cuda:1")
    result = g.result(job)
    assert result["device"] in ("cuda:0", "cuda:2")
    (warning,) = result["warnings"]
    assert warning["code"] == "device-failed"
    assert "cuda:1 could not be used" in warning["message"] and result["device"] in warning["message"]
    # Who asks for that GPU is not answered by what another one made.
    request = {"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 4}, "reuse": True}
    g.heal(1, "crash")
    g.wait_for("cuda:1", "ready")
    again = g.api.finish(g.api.submit(request | {"device": "cuda:1"})["id"])
    assert again["answered_from"] is None and g.result(again)["device"] == "cuda:1"
    assert g.api.submit(request | {"device": "cuda:1"})["answered_from"] == again["id"]


def test_a_job_for_a_gpu_that_has_failed_goes_to_another(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    g.fault(1, "open-fail", once=False)
    os.kill(g.pid("cuda:1"), signal.SIGKILL)
    eventually(lambda: "failure 2" in g.log(), 20, "it is not expected back in a moment")
    for kind, parameters in JOBS.items():
        job = g.api.finish(g.submit(dataset, "cuda:1", kind, **parameters))
        assert job["attempt"] == 1
        result = g.result(job)
        assert result["device"] == "cuda:0"
        (warning,) = result["warnings"]
        assert warning["code"] == "device-failed" and "cuda:1 could not be used" in warning["message"]
    answer = g.api.post("/v1/estimate", {"type": "fit", "dataset": dataset["id"], "device": "cuda:1"})
    assert answer.json()["chosen"] == "cuda:0"
    g.heal(1, "open-fail")
    g.wait_for("cuda:1", "ready", seconds=30)
    job = g.api.finish(g.submit(dataset, "cuda:1", cv=5))
    assert g.result(job)["device"] == "cuda:1" and not g.result(job).get("warnings")


FAULTS = {
    "crash": "signal 9",
    "exit": "exit status 3",
    "fail": "the fake device has failed",
    "garbage": "makes no sense",
    "freeze": "has not answered",
    "hang": "has got nowhere",
}


def noticed_soon(fault):
    """Settings with which a fault is noticed soon, and by one limit alone: a frozen process gets nowhere, too."""
    return "--device-stall" if fault == "hang" else "--device-timeout", str(round(2 * PATIENCE))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_try(gpus, fault):
    g = gpus(*noticed_soon(fault), n=1).ready()
    dataset = g.dataset()
    g.fault(0, fault)
    job = g.api.finish(g.submit(dataset, cv=4))
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job
    assert g.result(job)["device"] == "cuda:0"
    assert FAULTS[fault] in g.log()
    assert g.devices()["cuda:0"]["restarts"] == 1
    assert len(g.children()) == 1


def test_the_second_loss_sends_a_job_to_the_processor(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, "crash", once=False)
    job = g.api.finish(g.submit(dataset, "cuda:0", cv=4))
    assert (job["state"], job["attempt"]) == ("succeeded", 3), job
    result = g.result(job)
    assert result["device"] == "cpu"
    (warning,) = result["warnings"]
    assert warning["code"] == "device-failed"
    assert "cuda:0" in warning["message"] and "processor" in warning["message"]


NO_ROOM = {"memory": "the fake device is full", "host-memory": "there is no memory beside it"}


@pytest.mark.parametrize("fault", NO_ROOM)
def test_no_room_on_the_device(gpus, fault):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, fault, once=False)
    for kind in ("fit", "global_thresholds"):
        job = g.api.finish(g.submit(dataset, "cuda:0", kind))
        assert (job["state"], job["attempt"], job["device"]) == ("succeeded", 1, "cuda:0")
        result = g.result(job)
        assert result["device"] == "cpu"
        (warning,) = result["warnings"]
        assert warning["code"] == "device-memory"
        assert NO_ROOM[fault] in warning["message"]
    assert g.devices()["cuda:0"]["restarts"] == 0
    assert g.devices()["cuda:0"]["state"] == "ready"


def test_a_device_that_always_crashes_fails(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, "open-crash", once=False)
    os.kill(g.pid("cuda:0"), signal.SIGKILL)
    device = g.wait_for("cuda:0", "restarting")
    assert device["reason"]
    # Jobs do not wait for it.
    job = g.api.finish(g.submit(dataset, cv=4))
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert g.result(job)["device"] == "cpu"
    device = g.wait_for("cuda:0", "failed", seconds=30)
    assert "signal 9" in device["reason"] and device["restarts"] == 4
    ready = g.api.get("/readyz")
    assert ready.status == 200 and ready.json()["devices"]["cuda:0"] == "failed"
    # Nor do those that ask for it.
    job = g.api.finish(g.submit(dataset, "cuda:0", cv=4))
    assert g.result(job)["device"] == "cpu"
    (warning,) = g.result(job)["warnings"]
    assert warning["code"] == "device-failed" and "cuda:0" in warning["message"]


def test_a_device_that_cannot_be_opened(gpus):
    g = gpus(n=1).ready()
    g.fault(0, "open-fail", once=False)
    os.kill(g.pid("cuda:0"), signal.SIGKILL)
    eventually(lambda: "can't be opened" in (g.devices()["cuda:0"]["reason"] or ""), 20, "the reason")
    g.heal(0, "open-fail")
    device = g.wait_for("cuda:0", "ready", seconds=30)
    assert device["reason"] is None


# ---- ends ----


def test_cancel(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, "slow", once=False)
    job = g.submit(dataset, cv=4)
    g.running_on("cuda:0", job)
    assert g.api.delete(f"/v1/jobs/{job}").status == 202
    assert g.api.finish(job)["state"] == "cancelled"
    eventually(lambda: g.devices()["cuda:0"]["job"] is None, 10, "it is idle")
    assert g.devices()["cuda:0"]["jobs_done"] == 0
    g.heal(0, "slow")
    job = g.api.finish(g.submit(dataset, cv=4))
    assert g.result(job)["device"] == "cuda:0"
    eventually(lambda: g.devices()["cuda:0"]["jobs_done"] == 1, 10, "one job is done")
    assert g.devices()["cuda:0"]["restarts"] == 0


def test_sigterm_hands_the_job_back(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, "slow", once=False)
    job = g.submit(dataset, cv=4)
    g.running_on("cuda:0", job)
    children = g.children()
    g.daemon.stop()
    assert "job-released" in g.log()
    assert not any(Path(f"/proc/{pid}").exists() for pid in children)
    g.heal(0, "slow")
    g.daemon.start()
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)


def test_a_killed_daemon_leaves_no_process_behind(gpus):
    g = gpus(n=2).ready()
    dataset = g.dataset()
    g.fault(0, "slow", once=False)
    job = g.submit(dataset, "cuda:0", cv=4)
    g.running_on("cuda:0", job)
    children = g.children()
    assert len(children) == 2
    g.daemon.kill()
    eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in children), 10, "they are gone")
    g.heal(0, "slow")
    g.daemon.start()
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    assert g.result(job)["device"] == "cuda:0"


def test_jobs_of_gpus_that_are_gone(gpus, own_daemon, tmp_path):
    """A job that asked for a GPU is not lost with it."""
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.fault(0, "slow", once=False)
    first, second = (g.submit(dataset, "cuda:0", cv=4) for _ in range(2))
    g.running_on("cuda:0", first)
    g.daemon.stop()
    daemon = own_daemon(folder=tmp_path)
    for job in (first, second):
        job = daemon.api.finish(job)
        assert job["state"] == "succeeded"
        result = daemon.api.get(job["result"]).json()
        assert result["device"] == "cpu"
        assert [w["code"] for w in result["warnings"]] == ["device-failed"]


def test_killed_again_and_again(gpus):
    """Whatever moment a device's process dies at, every job ends well."""
    g = gpus().ready()
    dataset = g.dataset()
    jobs = [g.submit(dataset, "auto" if i % 3 else "cuda", cv=4) for i in range(12)]
    for i in range(6):
        time.sleep(0.05 * (i % 4))
        try:
            os.kill(g.pid(f"cuda:{i % 2}"), signal.SIGKILL)
        except (AssertionError, ProcessLookupError, FileNotFoundError):
            pass
    for job in jobs:
        job = g.api.finish(job)
        assert job["state"] == "succeeded" and 1 <= job["attempt"] <= 3, job


# ---- settings ----


def test_the_backend_decides(gpus, own_daemon, tmp_path):
    g = gpus("--backend", "cpu", n=2)
    assert list(g.devices()) == ["cpu"]
    assert "another" in g.api.get("/v1/devices").json()["cuda"]
    dataset = g.dataset()
    response = g.api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"], "device": "cuda:0"})
    check_problem(response, 422, "invalid-value", "device", "accepted: auto, cpu")


def test_backend_cuda_wants_a_gpu(gpus, own_daemon):
    with pytest.raises(AssertionError, match="no fake device is wanted"):
        gpus("--backend", "torch", n=0)
    with pytest.raises(AssertionError, match="CUDA module"):
        own_daemon("--backend", "cuda", "--cuda-module", "/nonexistent.so")


def test_backend_cuda_is_ready_with_a_gpu(gpus):
    g = gpus("--backend", "jax", n=1).ready()
    assert g.api.get("/readyz").status == 200
    g.fault(0, "open-fail", once=False)
    os.kill(g.pid("cuda:0"), signal.SIGKILL)
    eventually(lambda: g.api.get("/readyz").status == 503, 20, "not ready")
    assert g.api.get("/readyz").json()["devices"]["cuda:0"] == "restarting"


def test_device_memory(gpus):
    g = gpus("--device-memory", "64M", n=1).ready()
    assert g.devices()["cuda:0"]["memory"]["budget"] == 64 << 20


def test_without_gpus(own_daemon):
    daemon = own_daemon("--cuda-module", "/nonexistent.so")
    listed = daemon.api.get("/v1/devices").json()
    assert [device["id"] for device in listed["devices"]] == ["cpu"]
    assert "nonexistent" in listed["cuda"]


def test_gpus_that_cannot_be_listed(own_daemon):
    """A driver that crashes whoever asks it costs the GPUs, not the service."""
    daemon = own_daemon(environment={"REJECTD_CUDA_MODULE": str(MODULE), "REJECTD_FAKE_DEVICES": "crash"})
    listed = daemon.api.get("/v1/devices").json()
    assert [device["id"] for device in listed["devices"]] == ["cpu"]
    assert "signal 9" in listed["cuda"]


def test_the_daemon_itself_has_no_module(gpus):
    g = gpus(n=1).ready()
    assert "rejectd_fake.so" not in Path(f"/proc/{g.daemon.process.pid}/maps").read_text()
    assert "rejectd_fake.so" in Path(f"/proc/{g.pid('cuda:0')}/maps").read_text()


def test_version_tells_of_gpus():
    environment = {"REJECTD_CUDA_MODULE": str(MODULE), "REJECTD_FAKE_DEVICES": "1"}
    output = subprocess.run([program("rejectd"), "--version"], env=os.environ | environment,
                            capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert "CUDA: fake devices for tests" in output
    assert "cuda:0: fake device 0, 1.0 GiB" in output


def test_version_tells_of_a_driver_that_crashes():
    environment = {"REJECTD_CUDA_MODULE": str(MODULE), "REJECTD_FAKE_DEVICES": "crash"}
    done = subprocess.run([program("rejectd"), "--version"], env=os.environ | environment,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0
    assert "CUDA: the GPUs can't be listed" in done.stdout and "signal 9" in done.stdout


def test_worker_is_not_for_hands():
    done = subprocess.run([program("rejectd"), "worker"], capture_output=True, text=True)
    assert done.returncode == 2 and "started by rejectd itself" in done.stderr


# ---- rejectctl ----


def rejectctl(g, *arguments):
    done = subprocess.run([program("rejectctl"), "--server", f"http://127.0.0.1:{g.api.port}", *arguments],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_rejectctl_devices(gpus, own_daemon, tmp_path):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    g.api.finish(g.submit(dataset, "cuda:0", cv=4))
    eventually(lambda: g.devices()["cuda:0"]["residents"], 10, "a resident")
    shown = rejectctl(g, "devices")
    assert "cuda:0   ready      fake device 0" in shown
    assert "of 1.0 GiB free  1 jobs" in shown and f"holds {dataset['id']}" in shown
    assert json.loads(rejectctl(g, "devices", "--json"))["cuda"] == "fake devices for tests"
    g.fault(0, "open-fail", once=False)
    os.kill(g.pid("cuda:0"), signal.SIGKILL)
    eventually(lambda: "can't be opened" in rejectctl(g, "devices"), 10, "the reason is shown")
