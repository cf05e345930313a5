"""Jobs that are answered by the results of earlier ones."""

import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise

TYPES = {
    "fit": {"cv": 3},
    "thresholds": {"thresh_method": "random_search"},
    "ransac": {"n_resample": 5},
    "global_thresholds": {"cv": 3},
}


@pytest.fixture(scope="module")
def dataset(daemon):
    return daemon.api.upload(description(), noise())


def ask(api, dataset, parameters, job_type="fit", **more):
    """The job as it is at once."""
    body = {"type": job_type, "dataset": dataset["id"], "parameters": parameters} | more
    response = api.post("/v1/jobs", body)
    assert response.status == 202, response
    return response.json()


def compute(api, dataset, parameters, **more):
    job = ask(api, dataset, parameters, **more)
    assert job["answered_from"] is None
    return api.finish(job["id"])


@pytest.mark.parametrize("job_type", TYPES)
def test_same_again(api, dataset, job_type):
    parameters = TYPES[job_type] | {"random_state": 7}
    first = compute(api, dataset, parameters, job_type=job_type)
    second = ask(api, dataset, parameters, job_type=job_type)
    assert second["id"] != first["id"] and second["state"] == "succeeded"
    assert second["answered_from"] == first["id"] and second["progress"]["fraction"] == 1
    assert second["finished_at"] >= second["started_at"] >= second["created_at"] > first["created_at"]
    assert api.job(second["id"]) == second
    one, two = api.get(first["result"]).json(), api.get(second["result"]).json()
    if job_type == "fit":
        old, new = one.pop("model"), two.pop("model")
        assert old != new
        models = [api.get(f"/v1/models/{model}").json() for model in (old, new)]
        assert [model["job"] for model in models] == [first["id"], second["id"]]
        assert models[0]["channels"] == models[1]["channels"]
        for name in ("labels.npy", "cleaned.npy"):
            assert api.get(f"{first['result']}/{name}").body == api.get(f"{second['result']}/{name}").body
    assert one == two


def test_only_the_same(api, dataset):
    base = {"cv": 4, "random_state": 3}
    first = compute(api, dataset, base)
    assert ask(api, dataset, dict(reversed(base.items())))["answered_from"] == first["id"]
    for parameters, more in [
        ({"cv": 4, "random_state": 4}, {}), ({"cv": 3, "random_state": 3}, {}),
        (base | {"precision": "float32"}, {}), (base | {"precision": "float16"}, {}), (base, {"device": "cpu"}), (base, {"reuse": False}),
    ]:  # fmt: skip
        compute(api, dataset, parameters, **more)
    other = api.upload(description(), noise(seed=8))
    compute(api, other, base)
    moved = description()
    moved["channels"][0]["position"][2] *= 1.01
    compute(api, api.upload(moved, noise()), base)


def test_other_dataset_with_the_same_samples(api, dataset):
    first = compute(api, dataset, {"cv": 5})
    again = api.upload(description() | {"name": "another name"}, noise())
    second = ask(api, again, {"cv": 5})
    assert second["answered_from"] == first["id"] and second["dataset"] == again["id"]
    # Each has its own: what is deleted with the one stays with the other.
    assert api.delete(f"/v1/datasets/{again['id']}").status == 204
    assert api.job(second["id"])["result"] is None
    assert api.get(f"{first['result']}/cleaned.npy").status == 200
    third = api.upload(description(), noise())
    fourth = ask(api, third, {"cv": 5})
    assert fourth["answered_from"] == first["id"]


def test_what_is_gone_is_no_answer(own_daemon):
    daemon = own_daemon()
    api = daemon.api
    dataset = api.upload(description(), noise())
    first = compute(api, dataset, {"cv": 3})
    model = api.get(first["result"]).json()["model"]
    assert api.delete(f"/v1/models/{model}").status == 204
    second = compute(api, dataset, {"cv": 3})
    # Damage that is noticed: the file was not looked at since the start.
    labels = api.get(f"{second['result']}/labels.npy").body
    daemon.stop()
    damaged = next(path for path in daemon.blobs() if path.read_bytes() == labels)
    damaged.write_bytes(labels[:-1] + bytes([labels[-1] ^ 1]))
    daemon.start()
    third = compute(daemon.api, dataset, {"cv": 3})
    assert ask(daemon.api, dataset, {"cv": 3})["answered_from"] == third["id"]
    # A result whose job isn't over is none.
    long = {"cv": 3, "thresh_method": "exact", "n_interpolate": [1, 2]}
    jobs = [ask(daemon.api, dataset, long)["id"] for _ in range(2)]
    assert {daemon.api.finish(job)["state"] for job in jobs} == {"succeeded"}
    assert daemon.api.get(f"/v1/datasets/{dataset['id']}").status == 200


def test_not_of_others_unless_they_show_it(own_daemon):
    daemon = own_daemon()
    api, users = daemon.api, {}
    for name in ("anna", "bert"):
        token = daemon.add_token(name)
        users[name] = {"Authorization": f"Bearer {token}"}

    def run(name, dataset):
        body = {"type": "fit", "dataset": dataset, "parameters": {"cv": 3}}
        made = api.post("/v1/jobs", body, users[name]).json()
        get = lambda: api.get(f"/v1/jobs/{made['id']}", headers=users[name]).json()  # noqa: E731
        return eventually(lambda: (job := get())["state"] == "succeeded" and job, 20, "it succeeds")

    datasets = {}
    for name in users:
        made = api.post("/v1/datasets", description(), users[name]).json()
        assert api.put(f"/v1/datasets/{made['id']}/samples", noise().tobytes(), headers=users[name]).status == 200
        datasets[name] = made["id"]
    first = run("anna", datasets["anna"])
    assert first["answered_from"] is None
    second = run("bert", datasets["bert"])
    assert second["answered_from"] is None
    api.request("PATCH", f"/v1/jobs/{second['id']}", '{"visibility": "lab"}',
                users["bert"] | {"Content-Type": "application/json"})  # fmt: skip
    third = run("anna", datasets["anna"])
    assert third["answered_from"] == second["id"] and third["owner"] == "anna"
    model = api.get(third["result"], headers=users["anna"]).json()["model"]
    assert api.get(f"/v1/models/{model}", headers=users["anna"]).json()["owner"] == "anna"


def test_sent_again(api, dataset):
    key = {"Idempotency-Key": "reuse-1"}
    body = {"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 6}}
    first = api.post("/v1/jobs", body, key).json()
    api.finish(first["id"])
    assert api.post("/v1/jobs", body, key).json()["id"] == first["id"]
    key = {"Idempotency-Key": "reuse-2"}
    second = api.post("/v1/jobs", body, key).json()
    assert second["answered_from"] == first["id"]
    assert api.post("/v1/jobs", body, key).json()["id"] == second["id"]


@pytest.mark.parametrize("value", [1, "yes", [], {}])
def test_bad_reuse(api, dataset, unchanged, value):
    body = {"type": "fit", "dataset": dataset["id"], "reuse": value}
    check_problem(api.post("/v1/jobs", body), 422, "invalid-value", "reuse", "true or false")
