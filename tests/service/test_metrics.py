"""/metrics: what is counted is what happened, for those who may know."""

import http.client
import json
import re
import time
from pathlib import Path

import pytest

from api import check_problem
from daemon import BUILD, ROOT, eventually
from figures import figures
from samples import description, noise
from test_devices import Gpus, MODULE

NVML = BUILD / "tests" / "module" / "fake_nvml.so"
SLOW = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
FAST_FIT = {"cv": 3, "consensus": [0.5], "n_interpolate": [1]}


def requests(before, after, **labels):
    name = "rejectd_http_requests_total"
    return after.total(name, **labels) - before.total(name, **labels)


def counted(api, before, n):
    """The figures once n more requests, beside those for figures, are over: just after their answers."""
    others = lambda f: f.total("rejectd_http_requests_total") - f.total("rejectd_http_requests_total", route="/metrics")
    return eventually(lambda: (f := figures(api)) and others(f) - others(before) == n and f, 5, f"{n} are counted")


def test_requests_and_bytes(api):
    before = figures(api)
    dataset = api.create(description())
    body = noise().tobytes()
    assert api.put(f"/v1/datasets/{dataset['id']}/samples", body).status == 200
    shown = api.get(f"/v1/datasets/{dataset['id']}")
    assert api.request("HEAD", f"/v1/datasets/{dataset['id']}").status == 200
    assert api.get("/v1/datasets/ds_0123456789012345678901").status == 404
    assert api.get("/somewhere/else").status == 404
    assert api.request("BREW", "/v1/datasets").status == 405
    route = "/v1/datasets/{}"
    after = counted(api, before, 7)
    assert requests(before, after, route="/v1/datasets", method="POST", status="201") == 1
    assert requests(before, after, route=route, method="GET", status="200") == 1
    assert requests(before, after, route=route, method="HEAD", status="200") == 1
    assert requests(before, after, route=route, method="GET", status="404") == 1
    assert requests(before, after, route="unmatched", method="other", status="404") == 1
    assert requests(before, after, route="unmatched", method="other", status="405") == 1
    name = "rejectd_http_request_body_bytes_total"
    assert after.total(name, route="/v1/datasets/{}/samples") \
        - before.total(name, route="/v1/datasets/{}/samples") == len(body)  # fmt: skip
    name = "rejectd_http_response_body_bytes_total"
    assert after.total(name, route=route, method="GET") - before.total(name, route=route, method="GET") \
        >= len(shown.body)  # fmt: skip
    name = "rejectd_http_request_duration_seconds_count"
    assert after.total(name, route=route) - before.total(name, route=route) == 3


def test_a_request_that_went_away(api):
    before = figures(api)
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=20)
    connection.putrequest("POST", "/v1/jobs")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")
    time.sleep(0.2)
    connection.close()
    eventually(lambda: requests(before, figures(api), route="/v1/jobs", status="none") == 1, 5, "counted")


def test_waiting_is_not_timed(api):
    dataset = api.upload(description(), noise())
    before = figures(api)
    job = api.submit({"type": "fit", "dataset": dataset["id"], "parameters": FAST_FIT})
    before = counted(api, before, 1)
    api.job(job["id"], wait=20)
    after = counted(api, before, 1)
    assert requests(before, after, route="/v1/jobs/{}", status="200") == 1
    name = "rejectd_http_request_duration_seconds_count"
    assert after.total(name, route="/v1/jobs/{}") == before.total(name, route="/v1/jobs/{}")


def test_jobs(api):
    dataset = api.upload(description(), noise(seed=77))
    before = figures(api)
    job, _ = api.fit(dataset, **FAST_FIT)
    after = eventually(lambda: (f := figures(api)).value("rejectd_jobs_running") == 0 and f, 5, "no job")
    grew = lambda name, **labels: after.total(name, **labels) - before.total(name, **labels)
    assert grew("rejectd_jobs_finished_total", type="fit", state="succeeded") == 1
    assert grew("rejectd_jobs_finished_total") == 1
    assert grew("rejectd_job_duration_seconds_count", type="fit", device="cpu") == 1
    assert grew("rejectd_job_duration_seconds_sum", type="fit", device="cpu") > 0
    assert grew("rejectd_job_queue_wait_seconds_count", priority="0") == 1
    assert after.value("rejectd_blob_bytes") > before.value("rejectd_blob_bytes")


def test_queue(api):
    dataset = api.upload(description(**SLOW), noise(**SLOW))
    slow = {"type": "fit", "dataset": dataset["id"], "parameters": {"thresh_method": "exact"}}
    jobs = [api.submit(slow | {"priority": 9})["id"]]
    eventually(lambda: api.job(jobs[0])["state"] == "running", 20, "the first job runs")
    jobs += [api.submit(slow | {"priority": p})["id"] for p in (0, 0, -3)]
    found = figures(api)
    assert found.value("rejectd_jobs_running") == 1
    assert found.value("rejectd_device_busy", device="cpu") == 1
    assert found.value("rejectd_queue_depth", priority="0") == 2
    assert found.value("rejectd_queue_depth", priority="-3") == 1
    assert found.value("rejectd_queue_depth", priority="9") is None
    assert 0 <= found.value("rejectd_queue_oldest_seconds", priority="0") < 60
    for job in reversed(jobs):
        assert api.delete(f"/v1/jobs/{job}").status == 202
    after = figures(api)
    # The three that had not begun ended at once.
    name = "rejectd_jobs_finished_total"
    assert after.total(name, state="cancelled") - found.total(name, state="cancelled") >= 3
    api.finish(jobs[0])
    after = eventually(lambda: (f := figures(api)).value("rejectd_jobs_running") == 0 and f, 5, "no job")
    assert after.total(name, state="cancelled") - found.total(name, state="cancelled") == 4
    assert after.all("rejectd_queue_depth") == [({"priority": "0"}, 0)]


def test_disk_and_process(daemon, api):
    found = figures(api)
    blobs = [p.stat().st_size for p in daemon.blobs()]
    assert found.value("rejectd_blob_bytes") == sum(blobs)
    assert found.value("rejectd_blobs") == len(blobs)
    assert 0 < found.value("rejectd_disk_free_bytes") <= found.value("rejectd_disk_size_bytes")
    assert found.value("rejectd_uploads_open") == 0
    assert found.value("rejectd_event_listeners") == 0
    assert found.value("rejectd_store_up") == 1
    assert found.value("rejectd_store_errors_total") == 0
    assert found.value("rejectd_blob_errors_total") == 0
    assert found.value("rejectd_build_info", version="0.1.0", backend="auto") == 1
    assert abs(found.value("process_start_time_seconds") - time.time()) < 3600
    assert 0 < found.value("process_cpu_seconds_total") < 3600
    resident = daemon.memory()["VmRSS"]
    assert resident / 3 < found.value("process_resident_memory_bytes") < resident * 3
    open_files = len(list(Path(f"/proc/{daemon.process.pid}/fd").iterdir()))
    assert abs(found.value("process_open_fds") - open_files) < 10
    assert found.value("process_max_fds") >= found.value("process_open_fds")


def test_the_start_is_told_alike_each_time(own_daemon):
    """Alerts take another time for another start."""
    daemon = own_daemon()
    started = lambda: figures(daemon.api).value("process_start_time_seconds")
    first = started()
    for _ in range(10):
        time.sleep(0.013)
        assert started() == first
    daemon.stop()
    daemon.start()
    assert started() > first


def test_blobs_are_counted_at_the_start_too(own_daemon):
    daemon = own_daemon()
    daemon.api.upload(description(), noise())
    spare = daemon.api.upload(description(), noise(seed=1))
    before = figures(daemon.api)
    daemon.stop()
    daemon.start()
    after = figures(daemon.api)
    assert after.value("rejectd_blob_bytes") == before.value("rejectd_blob_bytes") == 2 * noise().nbytes
    assert daemon.api.delete(f"/v1/datasets/{spare['id']}").status == 204
    assert figures(daemon.api).value("rejectd_blobs") == 1


def test_a_lost_blob_is_an_error(own_daemon):
    daemon = own_daemon()
    dataset = daemon.api.upload(description(), noise())
    (daemon.data / "blobs" / dataset["sha256"]).unlink()
    job = daemon.api.finish(daemon.api.submit({"type": "fit", "dataset": dataset["id"]})["id"])
    assert job["state"] == "failed"
    assert figures(daemon.api).value("rejectd_blob_errors_total") >= 1


def test_a_damaged_blob_is_an_error_and_counted_no_more(own_daemon):
    daemon = own_daemon()
    dataset = daemon.api.upload(description(), noise())
    daemon.stop()
    with (daemon.data / "blobs" / dataset["sha256"]).open("r+b") as file:
        file.write(b"\0" * 8)
    daemon.start()
    assert figures(daemon.api).value("rejectd_blobs") == 1
    job = daemon.api.finish(daemon.api.submit({"type": "fit", "dataset": dataset["id"]})["id"])
    assert job["state"] == "failed"
    found = figures(daemon.api)
    assert found.value("rejectd_blob_errors_total") == 1
    assert found.value("rejectd_blobs") == found.value("rejectd_blob_bytes") == 0


@pytest.mark.skipif(not MODULE.exists(), reason="the fake devices are not built")
def test_devices(own_daemon, tmp_path):
    gpus = Gpus(own_daemon, tmp_path, n=2).ready()
    before = figures(gpus.api)
    assert before.value("rejectd_device_up", device="cuda:1") == 1
    assert before.value("rejectd_device_memory_bytes", device="cuda:0") > 0
    assert before.value("rejectd_device_memory_bytes", device="cpu") is None
    # It keeps four datasets.
    for seed in range(6):
        job = gpus.submit(gpus.dataset(seed), "cuda:0", **FAST_FIT)
        assert gpus.api.finish(job)["state"] == "succeeded"
    after = eventually(
        lambda: (f := figures(gpus.api)).value("rejectd_device_evictions_total", device="cuda:0") and f,
        10, "evictions are told",
    )  # fmt: skip
    assert after.value("rejectd_device_evictions_total", device="cuda:0") == 2
    assert after.value("rejectd_device_evictions_total", device="cuda:1") == 0
    assert after.value("rejectd_device_residents", device="cuda:0") == 4
    assert after.value("rejectd_device_resident_bytes", device="cuda:0") > 4 * 20 * 8 * 30 * 8
    assert after.total("rejectd_job_duration_seconds_count", device="cuda:0") == 6
    gpus.fault(1, "crash")
    job = gpus.submit(gpus.dataset(), "cuda:1", **FAST_FIT)
    gpus.api.finish(job)
    eventually(lambda: figures(gpus.api).value("rejectd_device_restarts_total", device="cuda:1"), 20, "restart")


def test_gpus_as_the_driver_sees_them(own_daemon):
    daemon = own_daemon("--nvml-library", str(NVML), environment={"REJECTD_FAKE_NVML_GPUS": "2"})
    found = figures(daemon.api)
    first, second = ({"gpu": str(i), "uuid": f"GPU-fake-{i}"} for i in range(2))
    assert found.value("rejectd_gpu_utilization_ratio", **first) == 0.25
    assert found.value("rejectd_gpu_memory_utilization_ratio", **second) == 0.11
    assert found.value("rejectd_gpu_memory_used_bytes", **second) == 2 << 30
    assert found.value("rejectd_gpu_memory_total_bytes", **first) == 80 << 30
    assert found.value("rejectd_gpu_temperature_celsius", **first) == 40
    assert found.value("rejectd_gpu_temperature_celsius", **second) is None


def test_without_a_driver(own_daemon):
    found = figures(own_daemon("--nvml-library", "/nowhere/libnvidia-ml.so.1").api)
    assert not [name for name in found.types if name.startswith("rejectd_gpu_")]


def test_who_may_read_them(own_daemon):
    daemon = own_daemon()
    figures(daemon.api)
    passed_on = {"X-Forwarded-For": "192.0.2.7"}
    check_problem(daemon.api.get("/metrics", headers=passed_on), 401, "unauthenticated")
    user, admin = daemon.add_token("anna"), daemon.add_token("carla", "--role", "admin")
    figures(daemon.api)  # from this machine, whoever it is
    for token, status in ((user, 403), (admin, 200), ("rjd_x", 401)):
        headers = passed_on | {"Authorization": f"Bearer {token}"}
        assert daemon.api.get("/metrics", headers=headers).status == status
    check_problem(daemon.api.get("/metrics", headers={"Host": "evil.example"}), 401, "unauthenticated")


# ---- what is built on them ----

KEYWORDS = set("""sum min max avg count topk by without on ignoring rate increase changes predict_linear
    histogram_quantile and or unless vector label_values le job instance route method status state type
    priority device gpu le __rate_interval""".split())  # fmt: skip


def names_in(expression):
    """The metrics of an expression of PromQL."""
    plain = re.sub(r"\{[^}]*\}", "", re.sub(r'"[^"]*"', "", expression))
    plain = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", plain)
    plain = re.sub(r"\[[^\]]*\]", "", plain)
    names = re.findall(r"[a-zA-Z_:][a-zA-Z0-9_:]*", re.sub(r"(?<![a-zA-Z_])[0-9.]+[a-z]*", "", plain))
    return {name for name in names if name not in KEYWORDS}


def expressions_of_dashboard():
    board = json.loads((ROOT / "deploy" / "grafana" / "rejectd.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield target["expr"]
    for annotation in board["annotations"]["list"]:
        yield annotation["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield re.sub(r",[^)]*", "", variable["definition"])


def expressions_of_alerts():
    text = (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text()
    found = re.findall(r"^( *)expr: (?:>\n((?:\1  .*\n)+)|(.*)\n)", text, re.M)
    assert len(found) == text.count("- alert:")
    return [" ".join(folded.split()) or plain for _, folded, plain in found]


def test_each_alert_has_its_advice():
    named = re.findall(r"- alert: (\w+)", (ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text())
    advice = (ROOT / "docs" / "operations.md").read_text().partition("## When an alert fires")[2]
    described = re.findall(r"`(Rejectd\w+)`", advice)
    assert sorted(named) == sorted(described) and len(named) > 10


def test_names_in_expressions():
    assert names_in('sum by (le) (rate(a_b_bucket{x="y"}[5m])) / 3 > 1e3 and up{job="z"} == 0') == {"a_b_bucket", "up"}


@pytest.mark.parametrize("source", [expressions_of_alerts, expressions_of_dashboard])
def test_alerts_and_dashboard_name_what_there_is(own_daemon, tmp_path, source):
    gpus = ("--nvml-library", str(NVML))
    found = figures(own_daemon(*gpus, environment={"REJECTD_FAKE_NVML_GPUS": "1"}).api)
    known = {"up"} | set(found.types)
    for name, kind in found.types.items():
        if kind == "histogram":
            known |= {name + "_bucket", name + "_sum", name + "_count"}
    used = set()
    for expression in source():
        names = names_in(expression)
        assert names, expression
        assert names <= known, (expression, names - known)
        used |= names
    assert len(used) > 10
