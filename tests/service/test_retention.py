"""What is removed for good, on request or after its time, and what the log says of it."""

import http.client
import json

import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise

SLOW = ("--backend", "reference", "--threads", "1")
LONG = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
MARK = "Zebrafisch"  # in the names of channels and datasets


def marked(**changes):
    """A description whose names must not get into the log."""
    made = description(**changes)
    for channel in made["channels"]:
        channel["name"] = f"{MARK}{channel['name']}"
    return made | {"name": f"{MARK} patient"}


def audit_lines(daemon):
    """The lines of the log that say who removed what."""
    lines = [json.loads(line) for line in daemon.errors().splitlines()]
    return [line for line in lines if line["level"] == "audit"]


def line_of(daemon, identity):
    """It is written when the files are gone, which are removed after what the store knew of them."""
    return eventually(lambda: next((x for x in audit_lines(daemon) if x["id"] == identity), None), 5, "an audit line")


def store_bytes(daemon):
    return b"".join(path.read_bytes() for path in daemon.data.glob("store.sqlite*"))


def fitted(api, **changes):
    dataset = api.upload(marked(**changes), noise(**changes))
    job, _ = api.fit(dataset, cv=3)
    return dataset, job


def dataset_now(api, dataset):
    return api.get(f"/v1/datasets/{dataset['id']}").json()


class TestDeletion:
    def test_results_go_with_their_dataset(self, own_daemon):
        daemon = own_daemon("--log-level", "error")
        api = daemon.api
        dataset, job = fitted(api)
        other = api.upload(description(), noise(seed=5))
        model = api.get(job["result"]).json()["model"]
        assert len(daemon.blobs()) == 4 and job["result_removed_at"] is None
        response = api.delete(f"/v1/datasets/{dataset['id']}")
        assert response.status == 204

        after = api.job(job["id"])
        assert after["state"] == "succeeded" and after["result"] is None
        assert after["result_removed_at"] >= job["finished_at"]
        for path in ("", "/labels.npy", "/cleaned.npy", "/cleaned-epo.fif", "/reject_log.npz"):
            check_problem(api.get(job["result"] + path), 404, "not-found", mentions="removed")
        assert [path.name for path in daemon.blobs()] == [other["sha256"]]
        assert api.get(f"/v1/models/{model}").status == 200

        line = line_of(daemon, dataset["id"])
        assert line["event"] == "dataset-deleted" and line["user"] == "localhost"
        assert (line["results"], line["files"]) == (1, 3)
        assert line["request_id"] == response.headers["X-Request-Id"]
        assert api.delete(f"/v1/models/{model}").status == 204
        assert line_of(daemon, model)["event"] == "model-deleted"
        assert MARK not in daemon.errors()
        eventually(lambda: MARK.encode() not in store_bytes(daemon), 10, "its names leave the store's files")

    def test_a_killed_daemon_forgets_later(self, own_daemon):
        daemon = own_daemon()
        eventually(lambda: not (daemon.data / "store.sqlite-wal").stat().st_size, 10, "the log is cut off")
        for _ in range(10):  # it may have been quicker than the signal
            dataset = daemon.api.create(marked())
            assert daemon.api.delete(f"/v1/datasets/{dataset['id']}").status == 204
            daemon.kill()
            if MARK.encode() in store_bytes(daemon):
                break
            daemon.start()
        assert not daemon.alive()
        daemon.start()
        eventually(lambda: MARK.encode() not in store_bytes(daemon), 10, "its names leave the store's files")

    def test_what_others_need_stays(self, api, daemon):
        """The same samples and results, of two datasets."""
        one, of_one = fitted(api)
        two = api.upload(marked(), noise())
        of_two, _ = api.fit(two, cv=3)
        assert api.delete(f"/v1/datasets/{one['id']}").status == 204
        assert api.job(of_one["id"])["result"] is None
        assert api.get(f"{of_two['result']}/cleaned.npy").status == 200
        assert api.delete(f"/v1/datasets/{two['id']}").status == 204
        assert not daemon.blobs()

    def test_who_it_was(self, own_daemon):
        daemon = own_daemon()
        token = daemon.add_token("anna")
        headers = {"Authorization": f"Bearer {token}"}
        dataset = daemon.api.post("/v1/datasets", description(), headers).json()
        assert daemon.api.request("DELETE", f"/v1/datasets/{dataset['id']}", headers=headers).status == 204
        line = line_of(daemon, dataset["id"])
        assert line["user"] == "anna" and (line["results"], line["files"]) == (0, 0)
        assert token not in daemon.errors()


class TestRetention:
    def test_results_then_datasets(self, own_daemon):
        daemon = own_daemon("--result-retention-seconds", "2", "--dataset-retention-seconds", "6")
        api = daemon.api
        dataset, job = fitted(api)
        assert dataset["created_at"] < dataset["expires_at"]
        assert job["finished_at"] < job["expires_at"] < dataset_now(api, dataset)["expires_at"]
        assert api.listed("jobs")[0]["expires_at"] == job["expires_at"]
        assert api.listed("datasets")[0]["expires_at"] == dataset_now(api, dataset)["expires_at"]
        after = eventually(lambda: (j := api.job(job["id"]))["result_removed_at"] and j, 10, "the result goes")
        assert after["result"] is None and after["expires_at"] is None
        assert dataset_now(api, dataset)["state"] == "ready"
        line = line_of(daemon, job["id"])
        assert line["event"] == "result-expired" and "user" not in line
        assert len(daemon.blobs()) == 1
        eventually(lambda: api.get(f"/v1/datasets/{dataset['id']}").status == 404, 15, "the dataset goes")
        assert line_of(daemon, dataset["id"])["event"] == "dataset-expired"
        assert not daemon.blobs()
        assert MARK not in daemon.errors()

    def test_not_while_a_job_is_to_use_it(self, own_daemon):
        daemon = own_daemon("--dataset-retention-seconds", "1", *SLOW)
        api = daemon.api
        dataset = api.upload(description(**LONG), noise(**LONG))
        body = {"type": "fit", "dataset": dataset["id"], "parameters": {"n_interpolate": [1, 4, 8], "cv": 10}}
        job = api.submit(body)["id"]
        unused = api.create(description())
        eventually(lambda: api.get(f"/v1/datasets/{unused['id']}").status == 404, 10, "the unused one goes")
        assert dataset_now(api, dataset)["state"] == "ready"
        api.delete(f"/v1/jobs/{job}")
        eventually(lambda: api.get(f"/v1/datasets/{dataset['id']}").status == 404, 30, "it goes")

    def test_not_while_it_is_uploaded(self, own_daemon):
        """An upload that takes longer than datasets are kept."""
        daemon = own_daemon("--dataset-retention-seconds", "1")
        api = daemon.api
        dataset, body = api.create(description()), noise().tobytes()
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        connection.putrequest("PUT", f"/v1/datasets/{dataset['id']}/samples")
        connection.putheader("Content-Length", len(body))
        connection.endheaders()
        connection.send(body[:5000])
        later = api.create(description())
        eventually(lambda: api.get(f"/v1/datasets/{later['id']}").status == 404, 10, "the later one goes")
        connection.send(body[5000:])
        assert connection.getresponse().status == 200
        connection.close()
        eventually(lambda: api.get(f"/v1/datasets/{dataset['id']}").status == 404, 10, "it goes")

    def test_for_ever_until_it_is_set(self, own_daemon, tmp_path):
        """A setting that is read again, and what is older than the daemon."""
        settings = tmp_path / "rejectd.ini"
        settings.write_text("")
        daemon = own_daemon("--config", settings)
        dataset, job = fitted(daemon.api)
        assert dataset["expires_at"] is None and job["expires_at"] is None
        daemon.stop()
        daemon.start()
        settings.write_text("dataset-retention-seconds = 1\n")
        daemon.process.send_signal(1)
        eventually(lambda: daemon.api.get(f"/v1/datasets/{dataset['id']}").status == 404, 20, "it goes")
        assert daemon.api.job(job["id"])["result_removed_at"]
        assert line_of(daemon, dataset["id"])["files"] == 3
        assert not daemon.blobs()


class TestTimeout:
    @pytest.mark.parametrize("seconds", ["1", "0"])
    def test_long_jobs(self, own_daemon, seconds):
        daemon = own_daemon("--job-timeout-seconds", seconds, *SLOW)
        api = daemon.api
        dataset = api.upload(description(**LONG), noise(**LONG))
        body = {"type": "fit", "dataset": dataset["id"], "parameters": {"n_interpolate": [1, 4, 8], "cv": 10}}
        job = api.submit(body)["id"]
        small = api.submit({"type": "fit", "dataset": api.upload(description(), noise())["id"], "parameters": {"cv": 3}})["id"]
        if seconds == "0":
            eventually(lambda: api.job(job)["progress"]["fraction"] > 0, 20, "it runs")
            api.delete(f"/v1/jobs/{job}")
            assert api.finish(job)["state"] == "cancelled"
            return
        job = api.finish(job)
        assert job["state"] == "failed" and job["error"]["type"] == "/problems/time-limit"
        assert "may run for 1 s" in job["error"]["detail"] and job["result"] is None
        assert api.finish(small)["state"] == "succeeded"  # the worker goes on
        assert not [path for path in daemon.blobs() if path.name.startswith("tmp-")]
