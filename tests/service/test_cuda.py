"""Jobs on the CUDA backend, compiled for the processor (tests/cuda_emulation), over HTTP."""

import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from daemon import BUILD, SANITIZED, eventually, program
from samples import description, noise

MODULE = BUILD / "tests" / "cuda_emulation" / "rejectd_cuda_emulated.so"
SHAPE = {"n_epochs": 24, "n_channels": 10, "n_times": 40}
MANY = {"n_epochs": 300, "n_channels": 32, "n_times": 32}

pytestmark = pytest.mark.skipif(not MODULE.exists(), reason="the emulation is not built")


@pytest.fixture
def emulated(own_daemon):
    def make(*arguments, n=1, **environment):
        daemon = own_daemon(*arguments, environment={
            "REJECTD_CUDA_MODULE": str(MODULE),
            "REJECTD_EMULATED_DEVICES": str(n),
        } | environment)  # fmt: skip
        return daemon

    return make


def devices(api):
    return {device["id"]: device for device in api.get("/v1/devices").json()["devices"]}


def ready(daemon):
    eventually(lambda: all(d["state"] == "ready" for d in devices(daemon.api).values()), 30, "ready")
    return daemon.api


def run(api, dataset, device, kind="fit", **parameters):
    job, result = api.run({"type": kind, "dataset": dataset["id"], "device": device,
                           "parameters": parameters})  # fmt: skip
    return job, result


def process_of(daemon, device):
    for task in Path(f"/proc/{daemon.process.pid}/task").iterdir():
        for pid in (task / "children").read_text().split():
            if device in Path(f"/proc/{pid}/cmdline").read_text().split("\0"):
                return int(pid)
    raise AssertionError(f"{device} has no process")


JOBS = {
    "fit": {"cv": 4},
    "thresholds": {},
    "ransac": {},
    "global_thresholds": {},
    "validation_curve": {},
}


def test_without_cleaned_epochs(emulated):
    api = ready(emulated())
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    (_, cpu), (job, cuda) = (run(api, dataset, d, cv=4, cleaned=False) for d in ("cpu", "cuda:0"))
    assert cuda["labels"] == cpu["labels"] and cuda["timings"]["running"] > 0
    assert api.get(f"{job['result']}/labels.npy").status == 200
    assert api.get(f"{job['result']}/cleaned.npy").status == 404


def test_the_same_results_as_on_the_processor(emulated):
    api = ready(emulated(n=2))
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    for kind, parameters in JOBS.items():
        (_, cpu), (job, cuda) = (run(api, dataset, d, kind, **parameters) for d in ("cpu", "cuda:1"))
        assert cuda["device"] == "cuda:1" and "emulated device 1" in cuda["provenance"]["backend"]
        for key in ("labels", "bad_epochs", "consensus", "n_interpolate", "bad_channels"):
            assert cpu.get(key) == cuda.get(key), kind
        for key in ("thresholds", "reject"):
            names = sorted(cpu.get(key, {}))
            assert names == sorted(cuda.get(key, {}))
            assert np.allclose([cpu[key][n] for n in names], [cuda[key][n] for n in names], rtol=1e-9, atol=0)
    (resident,) = devices(api)["cuda:1"]["residents"]
    assert resident["datasets"] == [dataset["id"]] and not resident["in_use"]
    assert devices(api)["cuda:0"]["residents"] == []
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
    eventually(lambda: devices(api)["cuda:1"]["residents"] == [], 10, "it is forgotten")


def delete_all(api, datasets):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda dataset: api.delete(f"/v1/datasets/{dataset['id']}").status, datasets))
    assert set(answers) == {204}


def few_samples(api, n):
    shape = {"n_epochs": 10, "n_channels": 4, "n_times": 10}
    return [api.upload(description(**shape), noise(**shape, seed=i)) for i in range(n)]


def test_a_burst_of_deletions_leaves_no_samples_on_the_card(emulated):
    api = ready(emulated())
    empty = devices(api)["cuda:0"]["memory"]["free"]
    datasets = few_samples(api, 40 if SANITIZED else 160)
    for job in [api.submit({"type": "thresholds", "dataset": dataset["id"], "device": "cuda:0"})
                for dataset in datasets]:  # fmt: skip
        api.finish(job["id"])
    eventually(lambda: devices(api)["cuda:0"]["memory"]["free"] < empty, 10, "they are held")
    delete_all(api, datasets)
    eventually(lambda: devices(api)["cuda:0"]["memory"]["free"] == empty, 10, "all are forgotten")
    assert devices(api)["cuda:0"]["residents"] == []


def test_all_that_the_card_holds_is_counted(emulated):
    """Though no more than 64 are listed."""
    api = ready(emulated())
    empty = devices(api)["cuda:0"]["memory"]["free"]
    for dataset in few_samples(api, 70):
        run(api, dataset, "cuda:0", "thresholds")
    card = eventually(lambda: (d := devices(api)["cuda:0"])["residents_total"]["datasets"] == 70 and d, 10, "70")
    assert len(card["residents"]) == 64
    listed = sum(resident["bytes"] + resident["table_bytes"] for resident in card["residents"])
    assert card["residents_total"]["bytes"] == listed * 70 // 64
    assert empty - card["memory"]["free"] >= card["residents_total"]["bytes"]
    lines = api.get("/metrics").body.decode().splitlines()
    assert 'rejectd_device_residents{device="cuda:0"} 70' in lines
    assert f'rejectd_device_resident_bytes{{device="cuda:0"}} {listed * 70 // 64}' in lines
    shown = subprocess.run([program("rejectctl"), "--server", f"http://127.0.0.1:{api.port}", "devices"],
                           capture_output=True, text=True, check=True).stdout  # fmt: skip
    assert "and others: 70 in all" in shown


def test_more_deletions_than_can_be_told_leave_no_samples_on_the_card(emulated):
    """A process that doesn't answer is told of them when it does."""
    daemon = emulated("--device-timeout", "300", "--device-stall", "300")
    api = ready(daemon)
    datasets = few_samples(api, 300)
    for dataset in datasets[-40:]:
        run(api, dataset, "cuda:0", "thresholds")
    os.kill(process_of(daemon, "cuda:0"), signal.SIGSTOP)
    delete_all(api, datasets[:1])
    time.sleep(0.5)  # until it is told, and doesn't answer
    delete_all(api, datasets[1:])
    os.kill(process_of(daemon, "cuda:0"), signal.SIGCONT)
    eventually(lambda: devices(api)["cuda:0"]["residents"] == [], 10, "all are forgotten")
    assert devices(api)["cuda:0"]["restarts"] == 0


def test_all_cards_find_together_what_one_finds(emulated):
    api = ready(emulated(n=3))
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    for kind in ("fit", "thresholds"):
        (_, one), (_, cpu) = (run(api, dataset, device, kind, **JOBS[kind]) for device in ("cuda:0", "cpu"))
        job, shared = run(api, dataset, "cuda:all", kind, **JOBS[kind])
        assert job["device"] == "cuda:all" and job["attempt"] == 1
        assert shared["device"].startswith("cuda:") and shared["provenance"]["devices"]
        assert set(shared["provenance"]["devices"]) <= {"cuda:0", "cuda:1", "cuda:2"}
        for key in ("labels", "bad_epochs", "consensus", "n_interpolate"):
            assert shared.get(key) == one.get(key) == cpu.get(key)
        for key in ("thresholds", "threshold_losses", "loss"):
            assert shared.get(key) == one.get(key), "to the last digit"
        assert np.allclose(*([r["threshold_losses"][n] for n in sorted(r["threshold_losses"])]
                             for r in (shared, cpu)), rtol=1e-9, atol=0)  # fmt: skip
        assert shared.get("warnings") in (None, [])
    for kind in ("ransac", "global_thresholds"):
        result = run(api, dataset, "cuda:all", kind)[1]
        assert result["device"].startswith("cuda:") and "devices" not in result["provenance"]


@pytest.mark.parametrize("operation", [90] if SANITIZED else [20, 90, 150, 300])
def test_cards_that_fail_cost_a_shared_job_tries(emulated, operation):
    """Each process fails at that operation, in its own share, in another's or in the rest."""
    api = emulated(n=2, REJECTD_FAULT=f"cuda:{operation}").api
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    expected = run(api, dataset, "cpu", cv=4)[1]
    for _ in range(2):
        job, result = run(api, dataset, "cuda:all", cv=4)
        assert job["attempt"] <= 3 and result["labels"] == expected["labels"]
        if result["device"] == "cpu" and job["attempt"] > 1:
            assert [w["code"] for w in result["warnings"]] == ["device-failed"]


@pytest.mark.parametrize("operation", [1, 20, 90] if SANITIZED else [1, 5, 20, 60, 90, 120, 200, 400])
def test_a_sticky_error_costs_tries_and_no_job(emulated, operation):
    """Each process fails at that operation: at its start, in its first job or in a later one."""
    api = emulated(REJECTD_FAULT=f"cuda:{operation}").api
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    expected = run(api, dataset, "cpu", cv=4)[1]
    for _ in range(2):
        job, result = run(api, dataset, "auto", cv=4)
        assert job["attempt"] <= 3
        assert result["labels"] == expected["labels"]
        if result["device"] == "cpu" and job["attempt"] > 1:
            assert [w["code"] for w in result["warnings"]] == ["device-failed"]


@pytest.mark.parametrize("memory, device, warnings", [
    ("2G", "cuda:0", []), ("10M", "cuda:0", ["in-pieces"]), ("3M", "cuda:0", ["in-pieces"]),
    ("1M", "cpu", ["device-memory"]),
])  # fmt: skip
def test_little_memory(emulated, memory, device, warnings):
    """A budget too small for the dataset makes the job slower, or moves it; it doesn't fail it."""
    api = ready(emulated("--device-memory", memory))
    dataset = api.upload(description(**MANY), noise(**MANY))
    expected = run(api, dataset, "cpu", cv=4)[1]
    _, result = run(api, dataset, "cuda:0", cv=4)
    assert result["labels"] == expected["labels"]
    assert (result["device"], [w["code"] for w in result["warnings"]]) == (device, warnings)
    if "in-pieces" in warnings:
        assert f"which may use {memory[:-1]}." in result["warnings"][0]["message"]


def test_a_card_that_is_too_small_refuses_no_job(emulated):
    """Whatever the job asks for, the processor does it, and the result says why."""
    api = ready(emulated("--device-memory", "256K"))
    dataset = api.upload(description(**MANY), noise(**MANY))
    for device in ("cuda:0", "cuda", "auto"):
        job, result = run(api, dataset, device, "thresholds")
        assert (job["attempt"], result["device"]) == (1, "cpu")
        assert [w["code"] for w in result["warnings"]] == ["device-memory"]


@pytest.mark.parametrize("capability", [75, 80])
def test_results_say_what_precision_was_used(emulated, capability):
    """cuBLAS multiplies bfloat16 from 8.0 on; before, and on the processor, it is float32."""
    api = ready(emulated(REJECTD_EMULATED_CAPABILITY=str(capability)))
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    for asked in ("float64", "float32", "float16", "bfloat16"):
        on_gpu = "float32" if asked == "bfloat16" and capability < 80 else asked
        assert run(api, dataset, "cuda:0", cv=4, precision=asked)[1]["precision"] == on_gpu
        on_cpu = "float32" if asked.endswith("16") else asked
        assert run(api, dataset, "cpu", cv=4, precision=asked)[1]["precision"] == on_cpu
    for kind in JOBS:
        assert run(api, dataset, "cuda:0", kind, precision="float16")[1]["precision"] == "float16"
