"""Jobs that are refused at submission: which field, what was wrong, and nothing stored."""

import json

import pytest
from api import check_problem
from samples import description, noise, positions

UNKNOWN = "0123456789abcdefghijkl"
# 12 epochs of six EEG channels, an EOG channel, and an EEG channel marked bad.
CHANNELS = description()["channels"] + [
    {"name": "EOG", "type": "eog"},
    {"name": "B", "type": "eeg", "bad": True, "position": [0.0, 0.0, 0.09]},
]


@pytest.fixture(scope="module")
def dataset(daemon):
    return daemon.api.upload(description(channels=CHANNELS), noise(n_channels=8))


def refused(api, dataset, parameters, status, field, words, names=("invalid-value",)):
    before = api.listed("jobs")
    body = {"type": "fit", "dataset": dataset["id"], "parameters": parameters}
    response = api.post("/v1/jobs", body)
    assert response.status == status, response
    name = response.json()["type"].removeprefix("/problems/")
    assert name in names, response
    check_problem(response, status, name, field, words)
    assert api.listed("jobs") == before


PARAMETERS = {
    "unknown field": ({"colour": 1}, "parameters.colour", "accepted"),
    "cleaned text": ({"cleaned": "no"}, "parameters.cleaned", "true"),
    "cleaned a number": ({"cleaned": 0}, "parameters.cleaned", "true"),
    "cv text": ({"cv": "5"}, "parameters.cv", "integer"),
    "cv one": ({"cv": 1}, "parameters.cv", "2"),
    "cv larger than the epochs": ({"cv": 13}, "parameters.cv", "12"),
    "cv far too large": ({"cv": 10**6}, "parameters.cv", "1000"),
    "consensus above one": ({"consensus": [0.5, 1.1]}, "parameters.consensus[1]", "1"),
    "consensus below zero": ({"consensus": [-0.1]}, "parameters.consensus[0]", "0"),
    "consensus empty": ({"consensus": []}, "parameters.consensus", "0 entries"),
    "consensus a number": ({"consensus": 0.5}, "parameters.consensus", "array"),
    "consensus text": ({"consensus": ["half"]}, "parameters.consensus[0]", "string"),
    "n_interpolate as many as channels": ({"n_interpolate": [1, 6]}, "parameters.n_interpolate[1]", "6"),
    "n_interpolate below zero": ({"n_interpolate": [-1]}, "parameters.n_interpolate[0]", "0"),
    "n_interpolate a fraction": ({"n_interpolate": [1.5]}, "parameters.n_interpolate[0]", "integer"),
    "n_interpolate empty": ({"n_interpolate": []}, "parameters.n_interpolate", "0 entries"),
    "thresh_method": ({"thresh_method": "guess"}, "parameters.thresh_method", "exact"),
    "random_state negative": ({"random_state": -1}, "parameters.random_state", "0"),
    "random_state too large": ({"random_state": 2**32}, "parameters.random_state", "4294967295"),
    "picks text": ({"picks": "eeg"}, "parameters.picks", "array"),
    "picks empty": ({"picks": []}, "parameters.picks", "0 entries"),
    "picks unknown": ({"picks": ["E0", "Fp99"]}, "parameters.picks[1]", "Fp99"),
    "picks a number": ({"picks": [0]}, "parameters.picks[0]", "string"),
    "picks twice": ({"picks": ["E0", "E1", "E2", "E3", "E0"]}, "parameters.picks[4]", "twice"),
    "picks of a type that is not there": ({"picks": ["mag"]}, "parameters.picks[0]", "mag"),
    "picks mixed": ({"picks": ["eeg", "E0"]}, "parameters.picks[1]", "mixes"),
    "thresholds a list": ({"thresholds": [1e-4]}, "parameters.thresholds", "object"),
    "thresholds incomplete": ({"thresholds": {"E0": 1e-4}}, "parameters.thresholds", "E1"),
    "thresholds unknown": ({"thresholds": {"Fp99": 1e-4}}, "parameters.thresholds.Fp99", "channel"),
    "thresholds negative": ({"thresholds": {"E0": -1e-4}}, "parameters.thresholds.E0", "0"),
    "precision": ({"precision": "float8"}, "parameters.precision", "float32"),
    "precision of no type": ({"precision": 16}, "parameters.precision", "integer"),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(api, dataset, name):
    parameters, field, words = PARAMETERS[name]
    refused(api, dataset, parameters, 422, field, words, ("invalid-value", "unsuitable-dataset"))


def request(**changes):
    made = {"type": "fit", "dataset": "@"} | changes
    return {k: v for k, v in made.items() if v is not ...}


REQUESTS = {
    "not JSON": ("fit please", 400, "invalid-json", "", ()),
    "array": ("[]", 400, "invalid-json", "", "array"),
    "no type": (request(type=...), 422, "invalid-value", "type", "required"),
    "unknown type": (request(type="magic"), 422, "invalid-value", "type", "fit"),
    "type a number": (request(type=1), 422, "invalid-value", "type", "integer"),
    "no dataset": (request(dataset=...), 422, "invalid-value", "dataset", "required"),
    "dataset a number": (request(dataset=7), 422, "invalid-value", "dataset", "integer"),
    "dataset too long": (request(dataset="ds_" + "x" * 100), 422, "invalid-value", "dataset", ()),
    "unknown dataset": (request(dataset=f"ds_{UNKNOWN}"), (404, 422), None, "dataset", UNKNOWN),
    "fit with a model": (request(model=f"md_{UNKNOWN}"), 422, "invalid-value", "model", ()),
    "apply without a model": (request(type="apply"), 422, "invalid-value", "model", "required"),
    "apply of an unknown model": (
        request(type="apply", model=f"md_{UNKNOWN}"), (404, 422), None, "model", UNKNOWN),
    "unknown device": (request(device="cuda:77"), 422, "invalid-value", "device", "cpu"),
    "priority": (request(priority=1000), 422, "invalid-value", "priority", "100"),
    "unknown field": (request(colour=1), 422, "invalid-value", "colour", "accepted"),
    "parameters a list": (request(parameters=[]), 422, "invalid-value", "parameters", "array"),
}  # fmt: skip


@pytest.mark.parametrize("name", REQUESTS)
def test_request(api, dataset, name):
    body, status, problem, field, words = REQUESTS[name]
    before = api.listed("jobs")
    if not isinstance(body, str):
        body = json.dumps(body).replace('"@"', json.dumps(dataset["id"]))
    response = api.post("/v1/jobs", body)
    assert response.status in (status if isinstance(status, tuple) else (status,)), response
    problem = problem or response.json()["type"].removeprefix("/problems/")
    check_problem(response, response.status, problem, field, words)
    assert api.listed("jobs") == before


def suited(api, changes, status=422, data=None, **sizes):
    made = description(**sizes)
    made["channels"] = made["channels"] if changes is None else changes(made["channels"])
    shape = (made["n_epochs"], len(made["channels"]), made["n_times"])
    return api.upload(made, noise(*shape) if data is None else data)


def place(index, position):
    def change(channels):
        channels[index]["position"] = position
        return channels

    return change


def drop(index):
    def change(channels):
        del channels[index]["position"]
        return channels

    return change


UNSUITABLE = {
    "missing position": (drop(2), {}, {}, "channels[2].position", "E2"),
    "zero position": (place(4, [0, 0, 0]), {}, {}, "channels[4].position", "E4"),
    "coincident positions": (
        place(4, [float(x) for x in positions(6)[1]]), {}, {}, "channels[4].position", ("E4", "E1")),
    "two epochs": (None, {"n_epochs": 2}, {"cv": 2}, None, "3"),
    "one epoch": (None, {"n_epochs": 1}, {}, None, ()),
    "three channels without n_interpolate": (None, {"n_channels": 3}, {"cv": 3}, None, "4"),
    "one channel": (None, {"n_channels": 1}, {"cv": 3, "n_interpolate": [1]}, None, ()),
    "default cv with eight epochs": (None, {"n_epochs": 8}, {}, "parameters.cv", "8"),
    "nothing to analyse": (
        lambda channels: [c | {"type": "misc"} for c in channels], {}, {}, None, ()),
    "all channels bad": (lambda channels: [c | {"bad": True} for c in channels], {}, {}, None, ()),
}  # fmt: skip


@pytest.mark.parametrize("name", UNSUITABLE)
def test_dataset_that_does_not_allow_it(api, name):
    changes, sizes, parameters, field, words = UNSUITABLE[name]
    dataset = suited(api, changes, **sizes)
    refused(api, dataset, parameters, 422, field, words, ("invalid-value", "unsuitable-dataset"))
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


def test_samples_are_awaited(api):
    dataset = api.create(description())
    response = api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]})
    check_problem(response, 409, "conflict", None, "samples")
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


@pytest.mark.parametrize("identity", [f"jb_{UNKNOWN}", "jb_", "x", "%2e%2e"])
def test_unknown_job(api, identity):
    for path in ("", "/result", "/result/labels.npy", "/result/cleaned.npy"):
        check_problem(api.get(f"/v1/jobs/{identity}{path}"), 404, "not-found")
    check_problem(api.delete(f"/v1/jobs/{identity}"), 404, "not-found")


@pytest.mark.parametrize("identity", [f"md_{UNKNOWN}", "md_", "x"])
def test_unknown_model(api, identity):
    check_problem(api.get(f"/v1/models/{identity}"), 404, "not-found")
    check_problem(api.delete(f"/v1/models/{identity}"), 404, "not-found")


@pytest.mark.parametrize("wait", ["-1", "61", "soon", "nan", ""])
def test_wait(api, dataset, wait):
    job, _ = api.fit(dataset, cv=3)
    response = api.get(f"/v1/jobs/{job['id']}?wait={wait}")
    assert response.status in (400, 422), response
    problem = response.json()["type"].removeprefix("/problems/")
    check_problem(response, response.status, problem, "wait")


@pytest.mark.parametrize("limit", ["-1", "0", "1001", "many", "99999999999999999999"])
def test_limit(api, limit):
    for kind in ("datasets", "jobs", "models"):
        response = api.get(f"/v1/{kind}?limit={limit}")
        assert response.status in (400, 422), response
        problem = response.json()["type"].removeprefix("/problems/")
        check_problem(response, response.status, problem, "limit")


def test_apply_to_a_dataset_without_its_channels(api, dataset):
    _, result = api.fit(dataset, cv=3)
    other = api.upload(description(n_channels=5), noise(n_channels=5))
    before = api.listed("jobs")
    response = api.post("/v1/jobs", {"type": "apply", "dataset": other["id"], "model": result["model"]})
    assert response.status == 422, response
    assert "E5" in response.json()["detail"], response
    assert api.listed("jobs") == before
