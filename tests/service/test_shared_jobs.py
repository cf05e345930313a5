"""Jobs that several GPUs share ("cuda:all"), which are fake ones, and what becomes of them when one fails."""

import json
import os
import signal
import time

import pytest
from api import check_problem
from daemon import PATIENCE, eventually
from samples import description, noise
from test_devices import SHAPE, Gpus, noticed_soon, rejectctl


@pytest.fixture
def gpus(own_daemon, tmp_path):
    def make(*arguments, n=2):
        return Gpus(own_daemon, tmp_path, arguments, n)

    return make


def both_busy(g, job, devices=("cuda:0", "cuda:1")):
    eventually(lambda: {g.devices()[d]["job"] for d in devices} == {job}, 20, f"all run {job}")


def slow(g, *devices):
    for device in devices:
        g.fault(device, "slow", once=False)


def heal(g, *devices):
    for device in devices:
        g.heal(device, "slow")


def slow_shared(g, dataset):
    """A fit that both GPUs have a share of, until they are healed."""
    slow(g, 0, 1)
    job = g.submit(dataset, "cuda:all", cv=4)
    both_busy(g, job)
    return job


def leader(g):
    """Of the one job that is shared: who has claimed it says so in the log first."""
    lines = [line for line in g.log().splitlines() if "job-started" in line]
    return 1 if "cuda:1" in lines[-1] else 0


def same(a, b, *keys):
    for key in keys or ("thresholds", "threshold_losses", "labels", "bad_epochs", "consensus", "n_interpolate"):
        assert a[key] == b[key], key


def expected(g, dataset, kind="fit", **parameters):
    return g.result(g.api.finish(g.submit(dataset, "cuda:0", kind, **parameters)))


@pytest.mark.parametrize("n", [2, 3])
def test_every_card_has_a_share(gpus, n):
    g = gpus(n=n).ready()
    dataset = g.dataset()
    alone = expected(g, dataset, cv=4)
    slow(g, *range(n))
    job = g.submit(dataset, "cuda:all", cv=4)
    names = [f"cuda:{i}" for i in range(n)]
    both_busy(g, job, names)
    assert {g.devices()[name]["state"] for name in names} == {"busy"}
    shown = rejectctl(g, "devices")
    assert shown.count(f"runs {job}") == n
    heal(g, *range(n))
    job = g.api.finish(job)
    assert (job["state"], job["attempt"], job["device"]) == ("succeeded", 1, "cuda:all")
    result = g.result(job)
    same(result, alone)
    assert sorted(result["provenance"]["devices"]) == names
    assert result["device"] in names and result["warnings"] == alone["warnings"]
    # The samples are kept by all of them; the job was one of its leader's.
    eventually(lambda: all(d["residents"] for i, d in g.devices().items() if i != "cpu"), 10, "residents")
    for name in names:
        (resident,) = g.devices()[name]["residents"]
        assert resident["sha256"] == dataset["sha256"] and not resident["in_use"]
    counts = {name: (name == result["device"]) + (name == "cuda:0") for name in names}
    eventually(lambda: {i: g.devices()[i]["jobs_done"] for i in names} == counts, 10, "the counts")
    assert all(g.devices()[name]["job"] is None for name in names)
    assert g.api.delete(f"/v1/datasets/{dataset['id']}").status == 204
    eventually(lambda: all(d["residents"] == [] for d in g.devices().values()), 10, "it is forgotten")


def test_thresholds_are_shared_and_other_jobs_are_not(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    alone = expected(g, dataset, "thresholds", augment=False)
    slow(g, 0, 1)
    job = g.submit(dataset, "cuda:all", "thresholds", augment=False)
    both_busy(g, job)
    heal(g, 0, 1)
    result = g.result(g.api.finish(job))
    same(result, alone, "thresholds", "threshold_losses")
    assert sorted(result["provenance"]["devices"]) == ["cuda:0", "cuda:1"]
    slow(g, 0, 1)
    given = {name: 1e-4 for name in alone["thresholds"]}
    for kind, parameters in (("ransac", {}), ("fit", {"cv": 4, "thresholds": given})):
        job = g.submit(dataset, "cuda:all", kind, **parameters)
        eventually(lambda: job in {d["job"] for d in g.devices().values()}, 10, "it runs")
        time.sleep(0.5)
        assert [d["job"] for d in g.devices().values()].count(job) == 1
        heal(g, 0, 1)
        result = g.result(g.api.finish(job))
        assert "devices" not in result["provenance"]
        slow(g, 0, 1)


def test_one_card_is_simply_that_card(gpus):
    g = gpus(n=1).ready()
    dataset = g.dataset()
    result = g.result(g.api.finish(g.submit(dataset, "cuda:all", cv=4)))
    assert result["device"] == "cuda:0" and "devices" not in result["provenance"]
    same(result, expected(g, dataset, cv=4))


def test_rejectctl_asks_for_all(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    shown = json.loads(rejectctl(g, "fit", dataset["id"], "--cv", "4", "--device", "cuda:all", "--json"))
    assert set(shown["result"]["provenance"]["devices"]) <= {"cuda:0", "cuda:1"}
    assert g.api.job(shown["job"])["device"] == "cuda:all"


def test_no_card_is_a_problem(own_daemon):
    api = own_daemon("--cuda-module", "/nonexistent.so").api
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    response = api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"], "device": "cuda:all"})
    check_problem(response, 422, "invalid-value", "device", ("cuda:all", "accepted: auto, cpu"))


def test_a_busy_card_is_not_waited_for(gpus):
    """Its share is searched by who leads; and it may help later."""
    g = gpus().ready()
    dataset = g.dataset()
    alone = expected(g, dataset, cv=4)
    slow(g, 1)
    busy = g.submit(g.dataset(2), "cuda:1", cv=4)
    g.running_on("cuda:1", busy)
    result = g.result(g.api.finish(g.submit(dataset, "cuda:all", cv=4)))
    assert result["device"] == "cuda:0" and result["provenance"]["devices"] == ["cuda:0"]
    same(result, alone)
    assert g.api.job(busy)["state"] == "running"
    g.heal(1, "slow")
    assert g.api.finish(busy)["state"] == "succeeded"


@pytest.mark.slow
def test_more_shares_than_channels(gpus):
    g = gpus(n=9).ready()
    dataset = g.dataset()
    result = g.result(g.api.finish(g.submit(dataset, "cuda:all", cv=4)))
    same(result, expected(g, dataset, cv=4))


# ---- faults ----

FAULTS = {
    "crash": "signal 9",
    "exit": "exit status 3",
    "fail": "the fake device has failed",
    "garbage": "makes no sense",
    "freeze": "has not answered",
    "hang": "has got nowhere",
    "memory": "the fake device is full",
}


# Sanitizers see nothing of the others that they don't see of one.
SLOW = ("exit", "freeze", "hang", "memory")


def some_slow(faults):
    return [pytest.param(fault, marks=pytest.mark.slow) if fault in SLOW else fault for fault in faults]


@pytest.mark.parametrize("fault", some_slow(FAULTS))
def test_who_helps_fails(gpus, fault):
    """It costs the job nothing but time: who leads searches that share too."""
    g = gpus(*noticed_soon(fault)).ready()
    dataset = g.dataset()
    alone = expected(g, dataset, cv=4)
    job = slow_shared(g, dataset)
    helper = 1 - leader(g)
    g.fault(helper, fault)
    g.heal(helper, "slow")
    eventually(lambda: "share-lost" in g.log(), 30, "the share is lost")
    g.heal(1 - helper, "slow")
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 1), job
    result = g.result(job)
    same(result, alone)
    assert result["device"] == f"cuda:{1 - helper}"
    assert result["provenance"]["devices"] == [f"cuda:{1 - helper}"]
    assert FAULTS[fault] in g.log()
    assert g.devices()[f"cuda:{helper}"]["restarts"] == (fault != "memory")
    # And it helps again.
    g.wait_for(f"cuda:{helper}", "ready")
    job = slow_shared(g, dataset)
    heal(g, 0, 1)
    assert len(g.result(g.api.finish(job))["provenance"]["devices"]) == 2


@pytest.mark.parametrize("fault", some_slow(["crash", "fail", "hang"]))
def test_who_leads_fails(gpus, fault):
    """That costs the job one try, as on one card; what others do for it is given up."""
    g = gpus(*noticed_soon(fault)).ready()
    dataset = g.dataset()
    alone = expected(g, dataset, cv=4)
    job = slow_shared(g, dataset)
    first = leader(g)
    g.fault(first, fault)
    g.heal(first, "slow")
    eventually(lambda: g.api.job(job)["attempt"] == 2, 30, "the second try")
    g.heal(1 - first, "slow")
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 2), job
    result = g.result(job)
    same(result, alone)
    assert result["device"] == f"cuda:{1 - first}"


def waits_for_others(g, job):
    """Until who leads has found its own share, and the other has not."""
    eventually(lambda: 0.25 < (g.api.job(job)["progress"] or {"fraction": 0})["fraction"] < 0.4, 20, "it waits")


def test_who_leads_dies_while_it_waits(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    job = slow_shared(g, dataset)
    first = leader(g)
    g.heal(first, "slow")
    waits_for_others(g, job)
    os.kill(g.pid(f"cuda:{first}"), signal.SIGKILL)
    eventually(lambda: g.api.job(job)["attempt"] == 2, 20, "the second try")
    g.heal(1 - first, "slow")
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 2)
    same(g.result(job), expected(g, dataset, cv=4))
    assert g.devices()[f"cuda:{1 - first}"]["restarts"] == 0


@pytest.mark.slow
def test_who_waits_does_not_hang(gpus):
    """Nothing is expected of a process while others have their shares, but that it lives."""
    stretched = round(2 * PATIENCE)
    g = gpus("--device-timeout", str(stretched), "--device-stall", str(stretched)).ready()
    dataset = g.dataset()
    job = slow_shared(g, dataset)
    g.heal(leader(g), "slow")
    waits_for_others(g, job)
    time.sleep(1.5 * stretched)
    heal(g, 0, 1)
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    assert {d["restarts"] for d in g.devices().values()} == {0}


def test_all_cards_fail(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    for i in range(2):
        g.fault(i, "crash", once=False)
    job = g.api.finish(g.submit(dataset, "cuda:all", cv=4))
    assert (job["state"], job["attempt"]) == ("succeeded", 3), job
    result = g.result(job)
    assert result["device"] == "cpu" and "devices" not in result["provenance"]
    (warning,) = result["warnings"]
    assert warning["code"] == "device-failed" and "processor" in warning["message"]


def test_no_room_where_it_is_led(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    for i in range(2):
        g.fault(i, "memory", once=False)
    job = g.api.finish(g.submit(dataset, "cuda:all", cv=4))
    assert (job["state"], job["attempt"]) == ("succeeded", 1)
    result = g.result(job)
    assert result["device"] == "cpu"
    assert [w["code"] for w in result["warnings"]] == ["device-memory"]


def test_an_error_of_the_job_is_one(gpus):
    """Samples whose squares overflow fail the job, wherever, and cost no process."""
    g = gpus().ready()
    dataset = g.api.upload(description(**SHAPE), 1e200 * noise(**SHAPE))
    jobs = [g.api.finish(g.submit(dataset, device, cv=4)) for device in ("cpu", "cuda:all")]
    assert [job["state"] for job in jobs] == ["failed", "failed"]
    for job in jobs:  # which of the channels is named depends on who had the first share
        assert job["error"]["type"] == "/problems/invalid-samples" and "too large" in job["error"]["detail"]
    assert {d["restarts"] for d in g.devices().values()} == {0}


# ---- ends ----


def test_cancel(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    job = slow_shared(g, dataset)
    assert g.api.delete(f"/v1/jobs/{job}").status == 202
    assert g.api.finish(job)["state"] == "cancelled"
    eventually(lambda: {d["state"] for d in g.devices().values()} == {"ready"}, 20, "all are idle")
    heal(g, 0, 1)
    assert g.api.finish(g.submit(dataset, "cuda:all", cv=4))["state"] == "succeeded"
    assert {d["restarts"] for d in g.devices().values()} == {0}


def test_progress_never_falls(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    job = slow_shared(g, dataset)
    seen = [g.api.job(job)["progress"]]
    g.heal(leader(g), "slow")
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        seen.append(g.api.job(job)["progress"])
        time.sleep(0.02)
    fractions = [progress["fraction"] for progress in seen if progress is not None]
    assert fractions == sorted(fractions) and 0.2 < fractions[-1] < 0.4, fractions
    heal(g, 0, 1)
    assert g.api.finish(job)["state"] == "succeeded"


def test_sigterm_hands_the_job_back(gpus):
    g = gpus().ready()
    dataset = g.dataset()
    job = slow_shared(g, dataset)
    g.daemon.stop()
    assert g.log().count("job-released") == 1
    heal(g, 0, 1)
    g.daemon.start()
    job = g.api.finish(job)
    assert (job["state"], job["attempt"]) == ("succeeded", 1)


def test_killed_again_and_again(gpus):
    """Whatever moment a process dies at, shared jobs and others end well."""
    g = gpus(n=3).ready()
    dataset = g.dataset()
    jobs = [g.submit(dataset, "cuda" if i % 3 == 0 else "cuda:all", cv=4) for i in range(12)]
    for i in range(8):
        time.sleep(0.03 * (i % 4))
        try:
            os.kill(g.pid(f"cuda:{i % 3}"), signal.SIGKILL)
        except (AssertionError, ProcessLookupError, FileNotFoundError):
            pass
    results = []
    for job in jobs:
        job = g.api.finish(job)
        assert job["state"] == "succeeded" and 1 <= job["attempt"] <= 3, job
        results.append(g.result(job))
    for result in results:
        same(result, results[0], "labels", "consensus", "n_interpolate")
