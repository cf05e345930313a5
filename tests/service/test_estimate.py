"""POST /v1/estimate: what a job would need and take."""

import json

import numpy as np
import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise
from test_devices import Gpus

SHAPE = {"n_epochs": 40, "n_channels": 16, "n_times": 200}
KINDS = ["fit", "thresholds", "ransac", "global_thresholds", "validation_curve"]


def estimate(api, kind="fit", **request):
    response = api.post("/v1/estimate", {"type": kind} | request)
    assert response.status == 200, response
    return response.json()


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_is_as_good_as_the_dataset(api, kind, unchanged):
    by_shape = estimate(api, kind, shape=SHAPE)
    (cpu,) = by_shape["devices"]
    assert by_shape["chosen"] == cpu["device"] == "cpu"
    assert by_shape["sample_bytes"] == 40 * 16 * 200 * 8
    assert cpu["fits"] and cpu["reason"] is None
    assert cpu["host_bytes"] > by_shape["sample_bytes"] and cpu["device_bytes"] == 0
    assert 0 < cpu["seconds"] < 1000 and cpu["basis"] in ("measured", "similar")
    assert by_shape["job_memory"] > 1 << 28


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_numbers_for_a_dataset(api, kind):
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    one = estimate(api, kind, dataset=dataset["id"])
    other = estimate(api, kind, shape=SHAPE)
    assert one["devices"][0]["host_bytes"] == other["devices"][0]["host_bytes"]
    assert one["devices"][0]["seconds"] == pytest.approx(other["devices"][0]["seconds"])
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


def test_it_learns_from_jobs_and_remembers(own_daemon):
    daemon = own_daemon("--threads", "1")
    api = daemon.api
    assert estimate(api, shape=SHAPE)["devices"][0]["basis"] == "similar"
    dataset = api.upload(description(**SHAPE), noise(**SHAPE))
    taken = []
    for i in range(6):
        job, _ = api.fit(dataset, cv=4 + i)
        times = [np.datetime64(job[key].rstrip("Z")) for key in ("started_at", "finished_at")]
        taken.append((times[1] - times[0]) / np.timedelta64(1, "s"))
    told = estimate(api, dataset=dataset["id"])["devices"][0]
    assert told["basis"] == "measured"
    assert min(taken) / 3 <= told["seconds"] <= 3 * max(taken) + 0.01, (told, taken)
    assert estimate(api, "ransac", shape=SHAPE)["devices"][0]["basis"] == "similar"
    daemon.kill()
    again = estimate(daemon.start().api, dataset=dataset["id"])["devices"][0]
    assert again == told


def test_when_queued_jobs_start(own_daemon):
    """In their order, each as long after the one before as that one takes."""
    api = own_daemon("--threads", "1").api
    shape = {"n_epochs": 200, "n_channels": 32, "n_times": 500}
    dataset = api.upload(description(**shape), noise(**shape))
    api.fit(dataset, cv=3)
    took = estimate(api, dataset=dataset["id"])["devices"][0]["seconds"]
    jobs = [api.fit_later(dataset, cv=4 + i % 5) for i in range(40)]

    def told():
        listed = {job["id"]: job for job in api.listed("jobs")}
        queued = [listed[job] for job in jobs if listed[job]["state"] == "queued"]
        return queued if len(queued) > 20 and all(job["estimated_start"] for job in queued) else None

    queued = eventually(told, 10, "starts are told")
    starts = [np.datetime64(job["estimated_start"].rstrip("Z")) for job in queued]
    gaps = [(later - earlier) / np.timedelta64(1, "s") for earlier, later in zip(starts, starts[1:])]
    assert min(gaps) > 0 and np.mean(gaps) == pytest.approx(took, rel=0.9), (gaps, took)
    last = api.job(jobs[-1])
    assert last["estimated_start"] and api.job(jobs[0])["state"] != "queued"
    for job in jobs:
        api.delete(f"/v1/jobs/{job}")
    assert api.finish(jobs[-1])["estimated_start"] is None


def test_more_needs_more(api):
    def numbers(**shape):
        cpu = estimate(api, shape=SHAPE | shape)["devices"][0]
        return cpu["host_bytes"], cpu["seconds"]

    base = numbers()
    for larger in ({"n_epochs": 400}, {"n_channels": 64}, {"n_times": 2000}):
        more = numbers(**larger)
        assert more[0] > base[0] and more[1] > base[1], larger
    assert numbers(dtype="float32")[0] < base[0]


def test_absurd_shapes(api):
    """No number overflows; nothing fits."""
    largest = {"n_epochs": 1_000_000, "n_channels": 4096, "n_times": 2000}
    for kind in KINDS:
        answer = estimate(api, kind, shape=largest)
        assert answer["chosen"] is None
        cpu = answer["devices"][0]
        assert not cpu["fits"] and "memory" in cpu["reason"]
        assert cpu["host_bytes"] > 6e13 and cpu["seconds"] > 1000
    beyond = api.post("/v1/estimate", {"type": "fit", "shape": largest | {"n_times": 10_000_000}})
    check_problem(beyond, 422, "invalid-value", "shape.n_times", "too many samples")


@pytest.mark.parametrize("types, kind, parameters", [
    ({"mag": 102, "grad": 204, "eog": 2}, "fit", {}),
    ({"mag": 30, "eeg": 20}, "ransac", {"picks": ["mag"]}),
    ({"seeg": 40}, "fit", {}),
    ({"eeg": 32, "misc": 3}, "interpolate", {"channels": {"eeg7": "all"}}),
    ({"eeg": 32}, "interpolate", {"channels": "each"}),
])  # fmt: skip
def test_channel_types(api, types, kind, parameters):
    shape = {"n_epochs": 30, "n_times": 100, "channel_types": types}
    answer = estimate(api, kind, shape=shape, parameters=parameters)
    assert answer["sample_bytes"] == 30 * 100 * 8 * sum(types.values())
    assert answer["chosen"] == "cpu"


def test_apply(api):
    dataset = api.upload(description(), noise())
    job, result = api.fit(dataset, cv=3)
    answer = estimate(api, "apply", dataset=dataset["id"], model=result["model"])
    assert answer["chosen"] == "cpu"
    # The channels of a shape are others than those of the model.
    wrong = {"type": "apply", "shape": SHAPE, "model": result["model"]}
    check_problem(api.post("/v1/estimate", wrong), 422, "unsuitable-dataset")
    missing = {"type": "apply", "shape": SHAPE, "model": "md_0123456789abcdefghijkl"}
    check_problem(api.post("/v1/estimate", missing), 404, "not-found", "model")


@pytest.mark.parametrize("request_, status, name, field", [
    ({}, 422, "invalid-value", "type"),
    ({"type": "fit"}, 422, "invalid-value", "dataset"),
    ({"type": "fit", "dataset": "ds_0123456789abcdefghijkl"}, 404, "not-found", "dataset"),
    ({"type": "fit", "dataset": "ds_0123456789abcdefghijkl", "shape": SHAPE}, 422, "invalid-value", "shape"),
    ({"type": "fit", "shape": []}, 422, "invalid-value", "shape"),
    ({"type": "fit", "shape": {"n_epochs": 3, "n_times": 4}}, 422, "invalid-value", "shape.n_channels"),
    ({"type": "fit", "shape": SHAPE | {"n_epochs": 0}}, 422, "invalid-value", "shape.n_epochs"),
    ({"type": "fit", "shape": SHAPE | {"n_epochs": 1.5}}, 422, "invalid-value", "shape.n_epochs"),
    ({"type": "fit", "shape": SHAPE | {"dtype": "int8"}}, 422, "invalid-value", "shape.dtype"),
    ({"type": "fit", "shape": SHAPE | {"data": []}}, 422, "invalid-value", "shape.data"),
    ({"type": "fit", "shape": SHAPE | {"sfreq": -1}}, 422, "invalid-value", "shape.sfreq"),
    ({"type": "fit", "shape": SHAPE | {"channel_types": {"eeg": 3}}}, 422, "invalid-value", "shape.n_channels"),
    ({"type": "fit", "shape": {"n_epochs": 9, "n_times": 9, "channel_types": {"nose": 3}}}, 422, "invalid-value",
     "shape.channel_types.nose"),
    ({"type": "fit", "shape": {"n_epochs": 9, "n_times": 9, "channel_types": {"eeg": 4096, "eog": 1}}}, 422,
     "invalid-value", "shape.channel_types"),
    ({"type": "fit", "shape": SHAPE, "parameters": {"cv": 41}}, 422, "invalid-value", "parameters.cv"),
    ({"type": "fit", "shape": SHAPE, "parameters": {"picks": ["Fp1"]}}, 422, "invalid-value", None),
    ({"type": "fit", "shape": SHAPE, "device": "cuda:7"}, 422, "invalid-value", "device"),
    ({"type": "fit", "shape": SHAPE, "surprise": 1}, 422, "invalid-value", "surprise"),
])  # fmt: skip
def test_refusals(api, unchanged, request_, status, name, field):
    check_problem(api.post("/v1/estimate", request_), status, name, field)


def test_other_users_datasets(own_daemon):
    daemon = own_daemon()
    tokens = {user: daemon.add_token(user) for user in ("anna", "berta")}
    api = daemon.api
    api.token = tokens["anna"]
    dataset = api.upload(description(), noise())
    assert estimate(api, dataset=dataset["id"])["chosen"] == "cpu"
    api.token = tokens["berta"]
    request = {"type": "fit", "dataset": dataset["id"]}
    check_problem(api.post("/v1/estimate", request), 404, "not-found", "dataset")
    api.token = None
    assert api.post("/v1/estimate", request).status == 401


def test_gpus(own_daemon, tmp_path):
    g = Gpus(own_daemon, tmp_path, ("--threads", "1"), 2).ready()
    answer = estimate(g.api, shape=SHAPE)
    cpu, *cards = answer["devices"]
    assert [card["device"] for card in cards] == ["cuda:0", "cuda:1"]
    assert answer["chosen"] == "cuda:0"
    assert all(card["device_bytes"] > 40 * 16 * 224 * 8 and not card["in_pieces"] for card in cards)
    assert {card["basis"] for card in cards} == {"assumed"}
    assert estimate(g.api, shape=SHAPE, device="cpu")["chosen"] == "cpu"
    assert estimate(g.api, shape=SHAPE, device="cuda:1")["chosen"] == "cuda:1"

    # The fake cards have 1 GiB: this goes through them in pieces.
    large = estimate(g.api, shape={"n_epochs": 1000, "n_channels": 64, "n_times": 2000})
    card = large["devices"][1]
    assert card["in_pieces"] and card["fits"] and "pieces" in card["reason"]
    # And this not at all: not even one channel of it with its tables.
    huge = estimate(g.api, shape={"n_epochs": 40_000, "n_channels": 5, "n_times": 1500})
    card = huge["devices"][1]
    assert not card["fits"] and "device's memory" in card["reason"], card
    assert huge["chosen"] == "cpu"

    # The one that has the samples is taken.
    dataset = g.dataset()
    assert g.api.finish(g.submit(dataset, "cuda:1"))["state"] == "succeeded"

    def chosen():
        return estimate(g.api, dataset=dataset["id"])["chosen"]

    eventually(lambda: chosen() == "cuda:1", 10, "cuda:1 is known to have the samples")
    assert estimate(g.api, dataset=dataset["id"])["devices"][2]["basis"] == "measured"


def test_body_limits(own_daemon):
    api = own_daemon("--max-json-bytes", "2K").api
    body = json.dumps({"type": "fit", "shape": SHAPE, "parameters": {"picks": ["x"] * 1000}})
    check_problem(api.post("/v1/estimate", body), 413, "too-large")
