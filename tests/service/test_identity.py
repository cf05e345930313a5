"""Who may see and change what: tokens, roles, owners, the lab."""

import json
import os
import re
import sqlite3
import subprocess
import time

import numpy as np
import pytest

from api import check_problem, npy_bytes
from daemon import ROOT, program
from samples import description, noise

TOKEN = re.compile(r"rjd_[a-z0-9]{16}_[A-Za-z0-9_-]{43}\Z")


def add(daemon, user, *arguments):
    token = daemon.add_token(user, *arguments)
    assert TOKEN.fullmatch(token), token
    return token


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


class As:
    """The API in somebody's name."""

    def __init__(self, api, token):
        self.api = api
        self.headers = bearer(token)

    def __call__(self, method, path, value=None):
        if value is None:
            return self.api.request(method, path, headers=self.headers)
        return self.api.request(method, path, json.dumps(value),
                                {"Content-Type": "application/json"} | self.headers)  # fmt: skip


@pytest.fixture(scope="module")
def lab(daemon):
    """anna and bert are users, carla an administrator."""
    tokens = {"anna": add(daemon, "anna"), "bert": add(daemon, "bert"),
              "carla": add(daemon, "carla", "--role", "admin")}  # fmt: skip
    return {name: As(daemon.api, token) for name, token in tokens.items()}


def make_dataset(someone, suffix="", **shape):
    shape = shape or {"n_epochs": 12, "n_channels": 6, "n_times": 50}
    response = someone("POST", f"/v1/datasets{suffix}", description(**shape))
    assert response.status == 201, response
    dataset = response.json()
    data = npy_bytes(noise(**shape))
    response = someone.api.request(
        "PUT", f"/v1/datasets/{dataset['id']}/samples", data,
        {"Content-Type": "application/x-npy"} | someone.headers,
    )  # fmt: skip
    assert response.status == 200, response
    return response.json()


FIT = {"cv": 3, "consensus": [0.5], "n_interpolate": [1], "thresh_method": "random_search"}


def make_fit(someone, dataset, suffix=""):
    response = someone("POST", f"/v1/jobs{suffix}",
                       {"type": "fit", "dataset": dataset, "parameters": FIT, "reuse": False})  # fmt: skip
    assert response.status == 202, response
    while True:
        job = someone("GET", f"/v1/jobs/{response.json()['id']}?wait=20").json()
        if job["state"] not in ("queued", "running"):
            assert job["state"] == "succeeded", job
            return job


@pytest.fixture(scope="module")
def things(lab):
    """A dataset, fit and model of anna's, private."""
    dataset = make_dataset(lab["anna"])
    job = make_fit(lab["anna"], dataset["id"])
    result = lab["anna"]("GET", job["result"]).json()
    return {"dataset": dataset["id"], "job": job["id"], "model": result["model"]}


def paths_of(things):
    return [
        f"/v1/datasets/{things['dataset']}", f"/v1/jobs/{things['job']}",
        f"/v1/jobs/{things['job']}?wait=1", f"/v1/jobs/{things['job']}/result",
        f"/v1/jobs/{things['job']}/result/labels.npy", f"/v1/jobs/{things['job']}/result/cleaned.npy",
        f"/v1/jobs/{things['job']}/result/reject_log.npz", f"/v1/models/{things['model']}",
        f"/v1/models/{things['model']}/model.h5",
    ]  # fmt: skip


def test_owner_sees_own_things(lab, things):
    for path in paths_of(things):
        assert lab["anna"]("GET", path).status == 200, path
    dataset = lab["anna"]("GET", f"/v1/datasets/{things['dataset']}").json()
    assert (dataset["owner"], dataset["visibility"]) == ("anna", "private")
    assert lab["anna"]("GET", f"/v1/models/{things['model']}").json()["owner"] == "anna"


def test_a_stranger_finds_nothing(lab, things):
    """Not even that it is there: the answer is that of an id that never was."""
    blank = re.compile(rb'_[a-z0-9]{22}|"request_id":"[^"]*"')
    for path in paths_of(things):
        known = lab["bert"]("GET", path)
        check_problem(known, 404, "not-found")
        never = re.sub(r"_[a-z0-9]{22}", "_" + "0" * 22, path)
        unknown = lab["bert"]("GET", never)
        assert blank.sub(b"", known.body) == blank.sub(b"", unknown.body), path
    for kind in ("datasets", "jobs", "models"):
        listed = lab["bert"]("GET", f"/v1/{kind}?limit=1000").json()[kind]
        assert all(entry["id"] not in things.values() for entry in listed)


def routes_of_things():
    """(method, path, body) of every route that names one thing, from the table of routes itself."""
    table = (ROOT / "server" / "routes" / "table.c").read_text()
    routes = re.findall(r'\{"([A-Z]+)",\s*"(/v1/([a-z]+)s/\{\}[^"]*)",\s*BODY_([A-Z]+)', table)
    assert len(routes) == len(re.findall(r'"/v1/[^"]*\{\}', table)) >= 20
    return routes


@pytest.mark.parametrize("method,pattern,kind,body", routes_of_things())
def test_no_route_lets_a_stranger_in(lab, things, method, pattern, kind, body):
    """Each answers as for an id that never was, and the thing is as before."""
    blank = re.compile(rb'_[a-z0-9]{22}|"request_id":"[^"]*"')
    path = pattern.replace("{}", things[kind])
    data, content_type = {"NONE": (None, None), "JSON": (b'{"visibility": "lab"}', "application/json")}.get(
        body, (b"x" * 8, "application/octet-stream"))  # fmt: skip
    headers = lab["bert"].headers | ({"Content-Type": content_type} if data else {})
    shown = f"/v1/{kind}s/{things[kind]}"
    before = lab["anna"]("GET", shown).body
    known = lab["bert"].api.request(method, path, data, headers)
    never = lab["bert"].api.request(method, re.sub(r"_[a-z0-9]{22}", "_" + "0" * 22, path), data, headers)
    assert (known.status, never.status) == (404, 404), (known, never)
    assert blank.sub(b"", known.body) == blank.sub(b"", never.body)
    if method != "HEAD":
        check_problem(known, 404, "not-found")
    assert lab["anna"]("GET", shown).body == before


def tries(things, own):
    """What a stranger may send to the other routes to reach for the things; None: nothing to name."""
    fit, apply = {"type": "fit", "dataset": things["dataset"]}, {"type": "apply", "dataset": own, "model": things["model"]}
    shape = {"n_epochs": 12, "n_channels": 6, "n_times": 50}
    return {
        ("POST", "/v1/jobs"): [fit, fit | {"type": "thresholds"}, apply, apply | {"dataset": things["dataset"]}],
        ("POST", "/v1/estimate"): [fit, apply, {"type": "apply", "shape": shape, "model": things["model"]}],
        ("POST", "/v1/datasets"): [{"dataset": things["dataset"]}, description(12, 6, 50) | {"owner": "anna"}],
        ("POST", "/v1/models"): [{"model": things["model"]}],
        ("GET", "/v1/datasets"): None,
        ("GET", "/v1/jobs"): None,
        ("GET", "/v1/models"): None,
        ("GET", "/v1/devices"): None,  # with something to see: test_devices.py
        ("GET", "/v1/events"): None,  # without an end: test_events.py
    }


def test_no_other_route_tells_or_takes(lab, things):
    """A route that is added has to be added here, too."""
    table = (ROOT / "server" / "routes" / "table.c").read_text()
    others = {(method, path) for method, path in re.findall(r'\{"([A-Z]+)",\s*"(/v1/[^"{]*)",', table)}
    bert = lab["bert"]
    own = make_dataset(bert)["id"]
    assert set(tries(things, own)) == others
    for (method, path), bodies in tries(things, own).items():
        if path == "/v1/events":
            continue
        for body in bodies or [None]:
            answer = bert(method, path, body)
            told = {name for name in things.values() if name.encode() in answer.body}
            asked = {name for name in things.values() if name in json.dumps(body)}
            assert answer.status == 200 if body is None else answer.status in (404, 415, 422), (path, body, answer)
            assert told <= asked, (path, body, answer)


def test_a_stranger_changes_nothing(lab, things):
    bert = lab["bert"]
    for method, path, value in [
        ("DELETE", f"/v1/datasets/{things['dataset']}", None),
        ("DELETE", f"/v1/jobs/{things['job']}", None),
        ("DELETE", f"/v1/models/{things['model']}", None),
        ("PATCH", f"/v1/datasets/{things['dataset']}", {"visibility": "lab"}),
        ("PATCH", f"/v1/jobs/{things['job']}", {"visibility": "lab"}),
        ("PATCH", f"/v1/models/{things['model']}", {"visibility": "lab"}),
    ]:
        check_problem(bert(method, path, value), 404, "not-found")
    put = bert.api.request("PUT", f"/v1/datasets/{things['dataset']}/samples", b"x" * 8,
                           {"Content-Type": "application/octet-stream"} | bert.headers)  # fmt: skip
    check_problem(put, 404, "not-found")
    part = bert.api.request("POST", f"/v1/datasets/{things['dataset']}/parts", b"x" * 8,
                            {"Content-Type": "application/octet-stream"} | bert.headers)  # fmt: skip
    check_problem(part, 404, "not-found")


def test_a_stranger_cannot_use_it(lab, things):
    job = {"type": "fit", "dataset": things["dataset"], "parameters": FIT}
    check_problem(lab["bert"]("POST", "/v1/jobs", job), 404, "not-found", field="dataset")
    own = make_dataset(lab["bert"])
    job = {"type": "apply", "dataset": own["id"], "model": things["model"]}
    check_problem(lab["bert"]("POST", "/v1/jobs", job), 404, "not-found", field="model")


def test_the_lab_sees_what_it_is_shown(lab):
    anna, bert = lab["anna"], lab["bert"]
    shown = make_dataset(anna, "?visibility=lab")
    assert shown["visibility"] == "lab"
    path = f"/v1/datasets/{shown['id']}"
    assert bert("GET", path).status == 200
    assert shown["id"] in [d["id"] for d in bert("GET", "/v1/datasets").json()["datasets"]]
    # What bert makes of it is bert's.
    job = make_fit(bert, shown["id"])
    assert job["owner"] == "bert"
    check_problem(anna("GET", f"/v1/jobs/{job['id']}"), 404, "not-found")
    # To see is not to change.
    assert bert("HEAD", f"{path}/samples").status == 204
    check_problem(bert("DELETE", path), 403, "forbidden")
    check_problem(bert("PATCH", path, {"visibility": "private"}), 403, "forbidden")
    assert anna("PATCH", path, {"visibility": "private"}).json()["visibility"] == "private"
    check_problem(bert("GET", path), 404, "not-found")


def test_shown_job_and_model(lab):
    anna, bert = lab["anna"], lab["bert"]
    job = make_fit(anna, make_dataset(anna)["id"], "?visibility=lab")
    result = bert("GET", job["result"])
    assert result.status == 200, result
    assert bert("GET", f"/v1/models/{result.json()['model']}").status == 200
    check_problem(bert("DELETE", f"/v1/jobs/{job['id']}"), 403, "forbidden")


def test_administrators_see_and_change_everything(lab):
    anna, carla = lab["anna"], lab["carla"]
    dataset = make_dataset(anna)
    path = f"/v1/datasets/{dataset['id']}"
    assert carla("GET", path).status == 200
    check_problem(anna("PATCH", path, {"owner": "bert"}), 403, "forbidden", field="owner")
    assert carla("PATCH", path, {"owner": "bert"}).json()["owner"] == "bert"
    assert lab["bert"]("GET", path).status == 200
    check_problem(anna("GET", path), 404, "not-found")
    assert carla("DELETE", path).status == 204


def test_a_job_is_given_away_without_its_key(lab):
    """The Idempotency-Key was the giver's: the new owner's own jobs, and requests, have other ones."""
    anna, bert, carla = lab["anna"], lab["bert"], lab["carla"]

    def submit(someone, dataset):
        body = json.dumps({"type": "fit", "dataset": dataset, "parameters": FIT})
        headers = {"Content-Type": "application/json", "Idempotency-Key": "mine"} | someone.headers
        response = someone.api.request("POST", "/v1/jobs", body, headers)
        assert response.status == 202, response
        return response.json()["id"]

    of_anna, of_bert = make_dataset(anna)["id"], make_dataset(bert)["id"]
    given, own = submit(anna, of_anna), submit(bert, of_bert)
    assert carla("PATCH", f"/v1/jobs/{given}", {"owner": "bert"}).json()["owner"] == "bert"
    assert submit(bert, of_bert) == own
    assert submit(anna, of_anna) not in (given, own)


@pytest.mark.parametrize("value, field", [
    ({}, "visibility"), ({"visibility": "public"}, "visibility"), ({"visibility": 1}, "visibility"),
    ({"owner": "No Such Name"}, "owner"), ({"owner": "a" * 65}, "owner"), ({"name": "x"}, "name"),
])  # fmt: skip
def test_bad_change(lab, things, value, field):
    response = lab["carla"]("PATCH", f"/v1/datasets/{things['dataset']}", value)
    check_problem(response, 422, "invalid-value", field=field)


def test_bad_visibility(lab):
    response = lab["anna"]("POST", "/v1/datasets?visibility=world", description(12, 6, 50))
    check_problem(response, 422, "invalid-value", field="visibility")


@pytest.mark.parametrize("header", [
    None, "", "Bearer", "Bearer ", "Bearer x", "Basic YTpi", "Bearer rjd_aaaaaaaaaaaaaaaa_" + "A" * 43,
    "Bearer rjd_AAAAAAAAAAAAAAAA_" + "A" * 43, "Bearer rjd_aaaaaaaaaaaaaaaa_" + "A" * 4000,
])  # fmt: skip
def test_nobody_is_let_in(lab, daemon, header):
    headers = {} if header is None else {"Authorization": header}
    for method, path in [("GET", "/v1/datasets"), ("GET", "/v1/devices"), ("GET", "/v1/jobs/jb_x"),
                         ("DELETE", "/v1/models/md_x")]:  # fmt: skip
        response = daemon.api.request(method, path, headers=headers)
        check_problem(response, 401, "unauthenticated")
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
    for path in ("/healthz", "/readyz", "/openapi.yaml", "/"):
        assert daemon.api.request("GET", path, headers=headers).status == 200


def test_almost_the_secret(lab, daemon):
    token = lab["anna"].headers["Authorization"]
    for i in (-1, -20, -43):
        other = "A" if token[i] != "A" else "B"
        wrong = token[:i] + other + (token[i + 1 :] if i != -1 else "")
        response = daemon.api.get("/v1/datasets", headers={"Authorization": wrong})
        check_problem(response, 401, "unauthenticated")


def test_revoked_rotated_and_listed(lab, daemon):
    first = add(daemon, "dora", "--days", "2")
    identity = first.split("_")[1]
    assert daemon.api.get("/v1/jobs", headers=bearer(first)).status == 200
    done = daemon.token_command("rotate", identity)
    second = done.stdout.strip()
    assert TOKEN.fullmatch(second), done
    assert daemon.api.get("/v1/jobs", headers=bearer(first)).status == 401
    assert daemon.api.get("/v1/jobs", headers=bearer(second)).status == 200
    assert daemon.token_command("rotate", identity).returncode == 1
    assert daemon.token_command("revoke", second.split("_")[1]).returncode == 0
    assert daemon.api.get("/v1/jobs", headers=bearer(second)).status == 401
    listed = daemon.token_command("list").stdout
    lines = [line for line in listed.splitlines() if " dora " in line]
    assert len(lines) == 2 and all(line.endswith("revoked") for line in lines), listed
    secrets = [first.split("_", 2)[2], second.split("_", 2)[2]]
    assert not any(secret in listed for secret in secrets)
    everything = b"".join(path.read_bytes() for path in daemon.data.glob("store.sqlite*"))
    assert not any(secret.encode() in everything for secret in secrets)
    assert not any(secret in daemon.errors() for secret in secrets)


def test_tokens_end(lab, daemon):
    token = add(daemon, "edda", "--role", "admin", "--days", "1")
    identity = token.split("_")[1]
    assert daemon.api.get("/v1/jobs", headers=bearer(token)).status == 200
    rotated = daemon.token_command("rotate", identity).stdout.strip()
    with sqlite3.connect(daemon.data / "store.sqlite") as store:
        (old, new) = store.execute("SELECT user, role, expires_at FROM tokens WHERE user = 'edda'").fetchall()
        assert old == new and old[2] > 0
        store.execute("UPDATE tokens SET expires_at = ? WHERE user = 'edda'", [int(time.time() * 1000) - 1])
    store.close()
    check_problem(daemon.api.get("/v1/jobs", headers=bearer(rotated)), 401, "unauthenticated")
    lines = [line for line in daemon.token_command("list").stdout.splitlines() if " edda " in line]
    assert sorted(line.split()[-1] for line in lines) == ["expired", "revoked"]
    assert daemon.token_command("rotate", rotated.split("_")[1]).returncode == 1


@pytest.mark.parametrize("arguments", [
    [], ["make"], ["add"], ["add", "--user", "Anna"], ["add", "--user", ""],
    ["add", "--user", "anna", "--role", "root"], ["add", "--user", "anna", "--days", "0"],
    ["add", "--user", "anna", "--days", "1e9"], ["add", "anna"], ["revoke"], ["list", "x"],
    ["add", "--user", "anna", "--color"],
])  # fmt: skip
def test_wrong_usage_of_the_command(daemon, arguments):
    done = daemon.token_command(*arguments)
    assert done.returncode == 2, done
    assert done.stdout == "" and done.stderr != ""


def test_help_of_the_command(daemon):
    for arguments in (["--help"], ["add", "--help"]):
        done = daemon.token_command(*arguments)
        assert done.returncode == 0 and "rejectd token add --user NAME" in done.stdout, done


def test_unknown_token_of_the_command(daemon):
    done = daemon.token_command("revoke", "0" * 16)
    assert done.returncode == 1 and "no token" in done.stderr, done


def test_without_tokens_only_this_machine(own_daemon):
    daemon = own_daemon()
    assert daemon.api.get("/v1/datasets").status == 200
    for headers in ({"Host": "evil.example"}, {"Host": "127.0.0.1.evil.example"},
                    {"Host": "[::1].evil.example"}, {"Host": "[::1"}, {"Host": "[::1]:8765.evil.example"},
                    {"Host": "localhost:8765.evil.example"}, {"Host": "localhost:8765@evil.example"},
                    {"X-Forwarded-For": "10.0.0.1"}, {"Forwarded": "for=10.0.0.1"},
                    {"Via": "1.1 proxy"}, {"X-Real-IP": "10.0.0.1"}):  # fmt: skip
        check_problem(daemon.api.get("/v1/datasets", headers=headers), 401, "unauthenticated")
    for host in ("localhost", "localhost:8765", "127.0.0.1", "[::1]:8765", "LOCALHOST"):
        assert daemon.api.get("/v1/datasets", headers={"Host": host}).status == 200, host
    # From the first token on, everybody needs one, here and at once.
    token = add(daemon, "anna", "--role", "admin")
    check_problem(daemon.api.get("/v1/datasets"), 401, "unauthenticated")
    assert daemon.api.get("/v1/datasets", headers=bearer(token)).status == 200


def test_things_from_before_are_the_administrators(own_daemon):
    daemon = own_daemon()
    dataset = daemon.api.upload(description(12, 6, 50), np.asarray(noise(12, 6, 50)))
    assert dataset["owner"] is None
    anna, carla = add(daemon, "anna"), add(daemon, "carla", "--role", "admin")
    path = f"/v1/datasets/{dataset['id']}"
    assert daemon.api.get(path, headers=bearer(anna)).status == 404
    assert daemon.api.get(path, headers=bearer(carla)).status == 200
    As(daemon.api, carla)("PATCH", path, {"owner": "anna"})
    assert daemon.api.get(path, headers=bearer(anna)).status == 200


def ctl(daemon, *arguments, **environment):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REJECTD_")}
    return subprocess.run(
        [program("rejectctl"), "--server", f"http://127.0.0.1:{daemon.port}", *arguments],
        capture_output=True, text=True, timeout=60, env=clean | environment,
    )  # fmt: skip


def test_rejectctl_sends_a_token(lab, things, daemon, tmp_path):
    token = lab["anna"].headers["Authorization"].split()[1]
    file = tmp_path / "token"
    file.write_text(token + "\n")
    refused = ctl(daemon, "status", things["job"])
    assert refused.returncode == 3 and "Authorization" in refused.stderr, refused
    for environment in ({"REJECTD_TOKEN": token}, {"REJECTD_TOKEN_FILE": str(file)}):
        done = ctl(daemon, "status", things["job"], **environment)
        assert done.returncode == 0 and token not in done.stdout + done.stderr, done
    for environment in ({"REJECTD_TOKEN": "a b"}, {"REJECTD_TOKEN_FILE": str(tmp_path / "none")}):
        assert ctl(daemon, "status", things["job"], **environment).returncode == 2
