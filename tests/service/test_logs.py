"""The log: JSON lines, request ids that follow into jobs, nothing that is not for a log."""

import json
import os
import re
import subprocess

import pytest

from api import check_problem
from daemon import LISTENING, PATIENCE, eventually, program
from samples import description, noise

MADE = re.compile(r"[0-9a-f]{16}")


def lines(daemon, event=None):
    """All lines of the log, which must be JSON objects of the same form."""
    found = []
    for line in daemon.errors().splitlines():
        entry = json.loads(line)
        assert list(entry)[:3] == ["time", "level", "event"] and list(entry)[-1] == "message", entry
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry["time"])
        assert entry["level"] in ("debug", "info", "warning", "error")
        found.append(entry)
    return [entry for entry in found if event in (None, entry["event"])]


def line_of(daemon, identity, event="request"):
    """The one line of that event about a request; it comes after the answer."""
    about = lambda: [e for e in lines(daemon, event) if e.get("request_id") == identity]
    found = eventually(about, 5, f"{event} of {identity}")
    assert len(found) == 1, found
    return found[0]


def test_each_answer_has_an_id(api):
    seen = set()
    for method, path in (("GET", "/healthz"), ("GET", "/v1/jobs"), ("POST", "/v1/jobs"), ("GET", "/nothing"),
                         ("DELETE", "/healthz"), ("HEAD", "/")):  # fmt: skip
        identity = api.request(method, path).headers["X-Request-Id"]
        assert MADE.fullmatch(identity)
        seen.add(identity)
    assert len(seen) == 6


@pytest.mark.parametrize("given", ["a", "0-9._A", "x" * 64])
def test_id_of_the_client(daemon, api, given):
    given = given if len(given) == 64 else given + os.urandom(4).hex()
    response = api.get("/v1/jobs/jb_none", headers={"X-Request-Id": given})
    assert response.headers["X-Request-Id"] == given
    problem = check_problem(response, 404, "not-found")
    assert problem["request_id"] == given
    entry = line_of(daemon, given)
    assert (entry["status"], entry["problem"]) == (404, "not-found")


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, 'a"b', "a;b", "\u00e4", "a\tb"])
def test_id_that_is_not_accepted(api, given):
    response = api.get("/v1/jobs/jb_none", headers={"X-Request-Id": given.encode()})
    assert MADE.fullmatch(response.headers["X-Request-Id"])
    assert response.json()["request_id"] == response.headers["X-Request-Id"]


def test_early_refusals_have_one_too(api):
    answer = api.raw(b"GET /healthz HTTP/1.1\r\nX-Request-Id: early\r\nContent-Length: 1\r\n"
                     b"Transfer-Encoding: chunked\r\nHost: x\r\n\r\n")  # fmt: skip
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"400" in head.split(b"\r\n")[0]
    assert b"X-Request-Id: early" in head
    assert json.loads(body)["request_id"] == "early"


def test_the_id_follows_into_the_job(own_daemon):
    daemon = own_daemon()
    api = daemon.api
    dataset = api.upload(description(), noise())
    request = {"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 3}}
    response = api.post("/v1/jobs", request, headers={"X-Request-Id": "my-fit"})
    assert response.status == 202 and response.json()["request_id"] == "my-fit"
    job = response.json()["id"]
    assert api.finish(job)["request_id"] == "my-fit"
    assert [j["request_id"] for j in api.listed("jobs") if j["id"] == job] == ["my-fit"]
    for event in ("job-queued", "job-started", "job-ended"):
        entry = line_of(daemon, "my-fit", event)
        assert entry["job"] == job and entry["type"] == "fit", entry
    assert line_of(daemon, "my-fit", "job-ended")["device"] == "cpu"
    daemon.stop()
    daemon.start()
    assert daemon.api.job(job)["request_id"] == "my-fit"


def test_what_is_logged_of_requests(own_daemon):
    daemon = own_daemon()
    api = daemon.api
    dataset = api.create(description())
    created = api.post("/v1/datasets", description(), headers={"X-Request-Id": "made"})
    entry = line_of(daemon, "made")
    assert entry["level"] == "info" and entry["method"] == "POST" and entry["status"] == 201
    assert entry["route"] == "/v1/datasets" and "problem" not in entry
    assert entry["bytes_in"] > 500 and entry["bytes_out"] == len(created.body)
    assert 0 <= entry["seconds"] < 60
    # Reads that succeed are for log-level debug.
    assert api.get(f"/v1/datasets/{dataset['id']}", headers={"X-Request-Id": "read"}).status == 200
    assert api.get("/v1/none", headers={"X-Request-Id": "lost"}).status == 404
    line_of(daemon, "lost")
    assert not [e for e in lines(daemon) if e.get("request_id") == "read"]


def test_reads_at_debug(own_daemon):
    daemon = own_daemon("--log-level", "debug")
    assert daemon.api.get("/v1/jobs?limit=7", headers={"X-Request-Id": "read"}).status == 200
    entry = line_of(daemon, "read")
    assert entry["level"] == "debug" and entry["route"] == "/v1/jobs"


def test_secrets_stay_out(own_daemon):
    """Names of datasets and channels, tokens, query values, what stands in paths and bodies."""
    daemon = own_daemon("--log-level", "debug")
    token = daemon.add_token("anna", "--role", "admin")
    api = daemon.api
    headers = {"Authorization": f"Bearer {token}"}
    secret = "Sigismund"
    named = description(name=secret)
    named["channels"][0]["name"] = f"{secret}-1"
    dataset = api.post("/v1/datasets", named, headers=headers).json()
    path = f"/v1/datasets/{dataset['id']}/samples"
    assert api.put(path, noise().tobytes(), headers=headers).status == 200
    assert api.put(path, noise().tobytes(), headers=headers).status == 409
    api.request("GET", f"/v1/jobs?limit={secret}", headers=headers)
    api.request("GET", f"/v1/jobs/{secret}", headers=headers)
    api.request("GET", f"/{secret}", headers=headers)
    api.request(secret.upper()[:9], "/v1/jobs", headers=headers)
    api.get("/v1/jobs", headers={"Authorization": f"Bearer {secret}"})
    api.get("/v1/jobs", headers={"X-Request-Id": secret + " "*3 + secret} | headers)
    api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"], "parameters": {"picks": [secret]}}, headers)
    api.post("/v1/datasets", named | {"sfreq": secret}, headers=headers)
    api.post("/v1/datasets", '{"' + secret, headers=headers)
    # A job that fails because of a channel, which its error names.
    named["channels"] = [channel | {"name": f"{secret}-{i}"} for i, channel in enumerate(named["channels"])]
    large = api.post("/v1/datasets", named, headers=headers).json()["id"]
    assert api.put(f"/v1/datasets/{large}/samples", (1e200 * noise()).tobytes(), headers=headers).status == 200
    body = {"type": "fit", "dataset": large, "parameters": {"cv": 3}}
    job = api.post("/v1/jobs", body, headers).json()["id"]
    ended = eventually(lambda: (j := api.get(f"/v1/jobs/{job}", headers=headers).json())["finished_at"] and j, 30, "the end")
    assert ended["state"] == "failed" and secret in ended["error"]["detail"], ended
    daemon.stop()
    log = daemon.errors()
    assert len(lines(daemon, "request")) >= 12
    assert any(line["job"] == job for line in lines(daemon, "job-ended"))
    assert secret.lower() not in log.lower()
    assert token not in log and token.split("_", 2)[2] not in log
    assert "Bearer" not in log


def run_with_stderr(folder, stderr, **environment):
    """Starts a daemon, asks it for something that it logs, and ends it."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("REJECTD_", "JOURNAL"))}
    process = subprocess.Popen(
        [program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", folder / "data"],
        stdout=subprocess.PIPE, stderr=stderr, text=True, env=clean | environment,
    )  # fmt: skip
    assert LISTENING.search(process.stdout.readline())
    process.terminate()
    assert process.wait(20 * PATIENCE) == 0


def test_the_journal_gets_priorities(tmp_path):
    path = tmp_path / "stderr"
    for number, matches in ((0, True), (1, False)):
        with path.open("wb") as stderr:
            status = os.fstat(stderr.fileno())
            run_with_stderr(tmp_path, stderr, JOURNAL_STREAM=f"{status.st_dev}:{status.st_ino + number}")
        for line in path.read_text().splitlines():
            assert line.startswith("<6>{" if matches else "{"), line
            json.loads(line.removeprefix("<6>"))
