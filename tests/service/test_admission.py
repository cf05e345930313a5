"""What is taken and what is not: jobs by what they will need, uploads before their body is sent."""

import json
import os
import signal
import time

import pytest
from api import check_problem
from daemon import eventually
from samples import description, noise
from test_devices import Gpus
from wire import BINARY, JSON, connected, head, problem_of, receive_all, receive_one, statuses

SMALL = {"n_epochs": 20, "n_channels": 8, "n_times": 30}
LARGE = {"n_epochs": 200, "n_channels": 16, "n_times": 2000}
THREADS = ("--threads", "1")
QUICK = {"channels": {"E0": [0]}}  # a repair: large samples, little work


def host_bytes(api, dataset, device, kind="fit", **parameters):
    request = {"type": kind, "dataset": dataset["id"], "parameters": parameters}
    response = api.post("/v1/estimate", request)
    assert response.status == 200, response
    (found,) = (d for d in response.json()["devices"] if d["device"] == device)
    return found["host_bytes"]


def two_sizes(own_daemon, tmp_path, n_gpus):
    """A small dataset and a large one, and the host memory that a fit and a repair of them need."""
    probe = Gpus(own_daemon, tmp_path, THREADS, n_gpus)
    small, large = (probe.api.upload(description(**s), noise(**s)) for s in (SMALL, LARGE))
    bytes_small = host_bytes(probe.api, small, "cuda:0")
    bytes_large = host_bytes(probe.api, large, "cuda:0", "interpolate", **QUICK)
    probe.daemon.stop()
    return small, large, bytes_small, bytes_large


def with_memory(own_daemon, tmp_path, n_gpus, limit, small, large):
    """GPUs whose jobs may use so much of the host's memory together."""
    made = Gpus(own_daemon, tmp_path, (*THREADS, "--job-memory", str(limit)), n_gpus).ready()
    made.small, made.large = small, large
    return made


class TestTooLarge:
    """A job that can never run is refused when it is posted."""

    def test_refused_with_a_reason(self, own_daemon):
        api = own_daemon(*THREADS, "--job-memory", "1M").api
        dataset = api.upload(description(), noise())
        for kind in ("fit", "ransac", "thresholds", "global_thresholds", "validation_curve"):
            for device in ("auto", "cpu"):
                request = {"type": kind, "dataset": dataset["id"], "device": device}
                answer = api.post("/v1/jobs", request)
                check_problem(answer, 413, "too-large", "dataset", ["memory", "1.05 MB", "job-memory"])
        assert api.listed("jobs") == []
        estimate = api.post("/v1/estimate", {"type": "fit", "dataset": dataset["id"]}).json()
        assert estimate["chosen"] is None and estimate["job_memory"] == 1 << 20
        assert not estimate["devices"][0]["fits"] and "1.05 MB" in estimate["devices"][0]["reason"]

    def test_the_limit_is_that_of_the_estimate(self, own_daemon, tmp_path):
        first = own_daemon(*THREADS)
        dataset = first.api.upload(description(), noise())
        needed = host_bytes(first.api, dataset, "cpu")
        first.stop()
        for limit, status in ((needed - 1, 413), (needed, 202)):
            daemon = own_daemon(*THREADS, "--job-memory", str(limit), folder=tmp_path)
            answer = daemon.api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]})
            assert answer.status == status, answer
            if status == 202:
                assert daemon.api.finish(answer.json()["id"])["state"] == "succeeded"
            daemon.stop()

    def test_a_reload_changes_it(self, own_daemon, tmp_path):
        """A job that was accepted runs all the same, alone."""
        settings = tmp_path / "rejectd.ini"
        settings.write_text("")
        daemon = own_daemon(*THREADS, "--config", str(settings))
        dataset = daemon.api.upload(description(**LARGE), noise(**LARGE))
        jobs = [daemon.api.fit_later(dataset, cv=5 + i) for i in range(3)]
        settings.write_text("job-memory = 1M\n")
        daemon.process.send_signal(signal.SIGHUP)
        request = {"type": "fit", "dataset": dataset["id"]}
        eventually(lambda: daemon.api.post("/v1/jobs", request).status == 413, 10, "it is refused")
        assert [daemon.api.finish(job)["state"] for job in jobs] == ["succeeded"] * 3


class TestWaiting:
    """Jobs on two GPUs share the memory of the host."""

    @pytest.fixture
    def gpus(self, own_daemon, tmp_path):
        small, large, bytes_small, bytes_large = two_sizes(own_daemon, tmp_path, 2)
        # Room for three small ones, or for the large one, but not for it and a small one.
        assert bytes_large > 3 * bytes_small
        limit = bytes_large + bytes_small // 2
        made = with_memory(own_daemon, tmp_path, 2, limit, small, large)
        yield made
        for device in (0, 1):
            made.heal(device, "slow")

    def state(self, gpus, job):
        return gpus.api.job(job)["state"]

    def stays_queued(self, gpus, *jobs):
        for _ in range(10):
            assert [self.state(gpus, job) for job in jobs] == ["queued"] * len(jobs)
            time.sleep(0.05)

    def test_a_large_job_gets_its_turn(self, gpus):
        gpus.fault(0, "slow", once=False)
        running = gpus.submit(gpus.small, "cuda:0")
        gpus.running_on("cuda:0", running)
        # Small ones go on beside it.
        assert gpus.api.finish(gpus.submit(gpus.small, "cuda:1"))["state"] == "succeeded"
        large = gpus.submit(gpus.large, "cuda:1", "interpolate", **QUICK)
        self.stays_queued(gpus, large)  # long enough for its memory to be reserved
        later = [gpus.submit(gpus.small, device) for device in ("cuda:1", "cpu")]
        self.stays_queued(gpus, large, *later)
        assert "job-waits" in gpus.log()
        gpus.heal(0, "slow")
        jobs = [gpus.api.finish(job) for job in (large, *later)]
        assert [job["state"] for job in jobs] == ["succeeded"] * 3
        assert all(jobs[0]["started_at"] <= job["started_at"] for job in jobs[1:]), jobs
        assert gpus.api.finish(running)["state"] == "succeeded"

    def test_a_stream_of_small_jobs_does_not_starve_it(self, gpus):
        """On both other devices there is always another one that would fit."""
        gpus.fault(0, "slow", once=False)
        running = gpus.submit(gpus.small, "cuda:0")
        gpus.running_on("cuda:0", running)
        large = gpus.submit(gpus.large, "cuda:1", "interpolate", **QUICK)
        stream = [gpus.submit(gpus.small, device) for _ in range(20) for device in ("cuda:0", "cpu")]
        self.stays_queued(gpus, large)
        gpus.heal(0, "slow")
        done = gpus.api.finish(large)
        assert done["state"] == "succeeded"
        assert [gpus.api.finish(job)["state"] for job in stream] == ["succeeded"] * len(stream)
        earlier = [gpus.api.job(job)["started_at"] < done["started_at"] for job in stream]
        assert sum(earlier) <= 1, "only what was claimed already runs before it"

    def test_one_that_is_cancelled_holds_nobody_up(self, gpus):
        gpus.fault(0, "slow", once=False)
        running = gpus.submit(gpus.small, "cuda:0")
        gpus.running_on("cuda:0", running)
        large = gpus.submit(gpus.large, "cuda:1", "interpolate", **QUICK)
        self.stays_queued(gpus, large)  # long enough for its memory to be reserved
        later = [gpus.submit(gpus.small, device) for device in ("cuda:1", "cpu")]
        self.stays_queued(gpus, large, *later)
        assert gpus.api.delete(f"/v1/jobs/{large}").status == 202
        assert [gpus.api.finish(job)["state"] for job in later] == ["succeeded"] * 2
        assert self.state(gpus, running) == "running"

    def test_a_device_that_fails_holds_nobody_up(self, gpus):
        gpus.fault(0, "slow", once=False)
        running = gpus.submit(gpus.small, "cuda:0")
        gpus.running_on("cuda:0", running)
        large = gpus.submit(gpus.large, "cuda:1", "interpolate", **QUICK)
        self.stays_queued(gpus, large)  # long enough for its memory to be reserved
        later = gpus.submit(gpus.small, "cpu")
        self.stays_queued(gpus, large, later)
        gpus.fault(1, "open-fail", once=False)
        os.kill(gpus.pid("cuda:1"), signal.SIGKILL)
        assert gpus.api.finish(later)["state"] == "succeeded"
        gpus.heal(1, "open-fail")
        gpus.heal(0, "slow")
        assert gpus.api.finish(large)["state"] == "succeeded"


class TestWaitingBesideOthers:
    """Three GPUs; there is room for a large job and one small one."""

    @pytest.fixture
    def gpus(self, own_daemon, tmp_path):
        small, large, bytes_small, bytes_large = two_sizes(own_daemon, tmp_path, 3)
        limit = bytes_large + 3 * bytes_small // 2
        made = with_memory(own_daemon, tmp_path, 3, limit, small, large)
        try:
            self.wait(made)
            yield made
        finally:
            for device in (0, 1, 2):
                made.heal(device, "slow")

    def wait(self, gpus):
        """A large job waits for memory, reserved on cuda:2, which has a small one to do meanwhile; so has
        cuda:1, and cuda:0 is free."""
        for device in (0, 1, 2):
            gpus.fault(device, "slow", once=False)
        before = [gpus.submit(gpus.small, device) for device in ("cuda:0", "cuda:1")]
        for i, job in enumerate(before):
            gpus.running_on(f"cuda:{i}", job)
        gpus.waiting = gpus.submit(gpus.large, "cuda", "interpolate", **QUICK)
        eventually(lambda: "job-waits" in gpus.log(), 10, "memory is reserved")
        gpus.running_on("cuda:2", gpus.submit(gpus.small, "cuda:2"))
        gpus.heal(0, "slow")
        assert gpus.api.finish(before[0])["state"] == "succeeded"
        assert gpus.api.job(gpus.waiting)["state"] == "queued"

    def test_cancelled_while_its_device_works(self, gpus):
        assert gpus.api.delete(f"/v1/jobs/{gpus.waiting}").status == 202
        assert gpus.api.finish(gpus.submit(gpus.small, "cuda:0"), 15)["state"] == "succeeded"
        assert {gpus.devices()[f"cuda:{i}"]["state"] for i in (1, 2)} == {"busy"}

    def test_another_device_takes_it(self, gpus):
        gpus.heal(1, "slow")
        assert gpus.api.finish(gpus.waiting, 15)["state"] == "succeeded"
        assert gpus.devices()["cuda:2"]["state"] == "busy"


class TestBeforeTheBody:
    """Whoever asks before sending a body (Expect: 100-continue) gets the final answer at once, and
    whoever doesn't gets it as well; the connection ends there, and nothing is stored."""

    def ask(self, api, method, path, *lines):
        answers = []
        for expect in ([], ["Expect: 100-continue"]):
            with connected(api.port, timeout=20) as connection:
                connection.sendall(head(method, path, *lines, *expect))
                answers.append(receive_all(connection))
        assert statuses(answers[0]) == statuses(answers[1]), answers
        return statuses(answers[1]), problem_of(answers[1])

    def refuses(self, api, status, words, method, path, *lines):
        got, problem = self.ask(api, method, path, *lines)
        assert got == [status], problem
        assert words in problem["detail"], problem

    def test_samples_over_the_limit(self, own_daemon):
        api = own_daemon("--max-upload-bytes", "1M").api
        dataset = api.create(description())
        path = f"/v1/datasets/{dataset['id']}/samples"
        self.refuses(api, 413, "1048576", "PUT", path, BINARY, "Content-Length: 6000000")
        self.refuses(api, 413, "1048576", "POST", "/v1/datasets", BINARY, "Content-Length: 60000000")
        assert api.get(f"/v1/datasets/{dataset['id']}").json()["state"] == "awaiting_samples"

    def test_over_the_quota(self, own_daemon):
        api = own_daemon("--user-bytes", "1M").api
        self.refuses(api, 413, "1048576", "POST", "/v1/datasets", BINARY, "Content-Length: 6000000")
        assert api.listed("datasets") == []

    def test_samples_of_another_size(self, own_daemon):
        api = own_daemon().api
        dataset = api.create(description())
        path = f"/v1/datasets/{dataset['id']}/samples"
        self.refuses(api, 422, "5000000", "PUT", path, BINARY, "Content-Length: 5000000")
        piece = "Content-Range: bytes 0-4999999/5000000"
        self.refuses(api, 422, "5000000", "PUT", path, BINARY, "Content-Length: 5000000", piece)

    def test_no_room_on_the_disk(self, own_daemon):
        """More than any disk here has."""
        api = own_daemon("--max-upload-bytes", "50T").api
        shape = {"n_epochs": 1000, "n_channels": 100, "n_times": 50_000_000 // 10}
        dataset = api.create(description(**shape))
        length = 8 * shape["n_epochs"] * shape["n_channels"] * shape["n_times"]
        path = f"/v1/datasets/{dataset['id']}/samples"
        self.refuses(api, 507, "are needed", "PUT", path, BINARY, f"Content-Length: {length}")
        piece = f"Content-Range: bytes 0-{length - 1}/{length}"
        self.refuses(api, 507, "are needed", "PUT", path, BINARY, f"Content-Length: {length}", piece)
        self.refuses(api, 507, "are needed", "POST", "/v1/datasets", BINARY, f"Content-Length: {length}")
        assert len(api.listed("datasets")) == 1

    def test_too_many_requests(self, own_daemon):
        api = own_daemon("--user-requests-per-second", "1").api
        body = ("POST", "/v1/datasets", BINARY, "Content-Length: 6000000")

        def limited():
            with connected(api.port) as connection:
                connection.sendall(head(*body, "Expect: 100-continue"))
                answer = receive_one(connection)
            return statuses(answer) == [429] and b"Retry-After: " in answer

        eventually(limited, 10, "requests are limited")

    def test_too_many_jobs(self, own_daemon):
        api = own_daemon(*THREADS, "--user-queued-jobs", "1").api
        dataset = api.upload(description(**LARGE), noise(**LARGE))
        request = json.dumps({"type": "ransac", "dataset": dataset["id"], "parameters": {"n_resample": 1000}})
        for _ in range(2):  # one runs, one waits
            eventually(lambda: api.post("/v1/jobs", request).status == 202, 10, "it is queued")
        with connected(api.port) as connection:
            connection.sendall(head("POST", "/v1/jobs", JSON, "Content-Length: 1000", "Expect: 100-continue"))
            answer = receive_all(connection)
        assert statuses(answer) == [429] and b"Retry-After: " in answer, answer
        for job in api.listed("jobs"):
            api.delete(f"/v1/jobs/{job['id']}")
