"""The description of the API says what the daemon does: its routes, its errors, its answers."""

import re
import subprocess
import sys

import pytest
import yaml
from daemon import ROOT
from samples import description, noise

METHODS = ("get", "head", "put", "post", "patch", "delete")


@pytest.fixture(scope="module")
def document():
    return yaml.safe_load((ROOT / "protocol" / "openapi.yaml").read_text())


def test_every_route_is_described(document):
    table = (ROOT / "server" / "routes" / "table.c").read_text()
    routes = {(method.lower(), path) for method, path in re.findall(r'\{"([A-Z]+)",\s*"([^"]+)",', table)}
    assert len(routes) > 20
    described = {(method, re.sub(r"\{[^}]*\}", "{}", path))
                 for path, operations in document["paths"].items()
                 for method in operations if method in METHODS}  # fmt: skip
    assert routes - described == set(), "in server/routes/table.c, not in protocol/openapi.yaml"
    assert described - routes == set(), "in protocol/openapi.yaml, not in server/routes/table.c"


def needed(method, path, body, access):
    """What every route of this kind may answer, before its own handler is asked."""
    statuses = {400, 503}
    if access != "OPEN":
        statuses |= {401, 403, 429}
    if "{}" in path:
        statuses |= {404}
    if body != "NONE":
        statuses |= {411, 413, 415, 422}
    if method not in ("GET", "HEAD") and path != "/v1/estimate":
        statuses |= {507}
    return statuses | ({500} if path.startswith("/v1/") else set())


def test_what_every_route_may_answer_is_described(document):
    table = (ROOT / "server" / "routes" / "table.c").read_text()
    routes = re.findall(r'\{"([A-Z]+)",\s*"([^"]+)",\s*BODY_(\w+),\s*ROUTE_\w+,\s*\w+,\s*ACCESS_(\w+)\}', table)
    assert len(routes) == len(re.findall(r'\{"[A-Z]+",\s*"/', table)) > 20
    operations = {(method, re.sub(r"\{[^}]*\}", "{}", path)): operation
                  for path, methods in document["paths"].items() for method, operation in methods.items()}  # fmt: skip
    for method, path, body, access in routes:
        described = {int(status) for status in operations[method.lower(), path]["responses"]}
        missing = needed(method, path, body, access) - described
        assert not missing, f"{method} {path}: {missing}"


def test_every_error_is_described(document):
    header = (ROOT / "include" / "rejectd" / "error.h").read_text()
    known = {f"/problems/{name}": int(status)
             for status, name in re.findall(r'X\([A-Z_]+,\s*(\d+),\s*"([a-z-]+)"', header)}  # fmt: skip
    del known["/problems/ok"]
    assert set(document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]) == set(known)
    for response in document["components"]["responses"].values():
        for content in response.get("content", {}).values():
            for example in content.get("examples", {}).values():
                assert known[example["value"]["type"]] == example["value"]["status"], example


# Bodies that the schema allows may still be refused, as a dataset that isn't there; reads may not.
RUNS = {
    # The events of the queue have no end.
    "reads": ["--include-method", "GET", "--exclude-path", "/v1/events", "--exclude-checks", "ignored_auth"],
    "writes": ["--exclude-method", "GET", "--exclude-method", "DELETE",
               "--exclude-checks", "positive_data_acceptance,ignored_auth"],
    "deletes": ["--include-method", "DELETE", "--exclude-checks", "positive_data_acceptance,ignored_auth"],
}  # fmt: skip


@pytest.fixture(scope="module")
def resources(daemon):
    """Ids that are there: of a dataset, of a job that succeeded, of its model."""
    dataset = daemon.api.upload(description(), noise())
    job, result = daemon.api.fit(dataset, cv=3, consensus=[0.5], n_interpolate=[1])
    return {"dataset": dataset["id"], "job": job["id"], "model": result["model"]}


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_generated_requests(daemon, resources, tmp_path, name):
    """schemathesis sends what the document allows, and what it doesn't, and reads the answers."""
    if name == "deletes":  # of none that is there
        resources = {kind: f"{identity[:3]}0123456789abcdefghijkl" for kind, identity in resources.items()}
    settings = tmp_path / "schemathesis.toml"
    lines = [f'"path.{kind}" = "{identity}"' for kind, identity in resources.items()]
    settings.write_text("[parameters]\n" + "\n".join(lines) + "\n")
    program = [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"]
    done = subprocess.run(
        [*program, "--config-file", settings, "run", ROOT / "protocol" / "openapi.yaml",
         "--url", f"http://127.0.0.1:{daemon.port}", "--seed", "1", "--max-examples", "25", "--workers", "1",
         "--phases", "examples,coverage,fuzzing", "--generation-database", "none", "--no-color",
         "--request-timeout", "70", *RUNS[name]],
        capture_output=True, text=True, timeout=400, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[:3000] + done.stdout[-9000:] + done.stderr[-2000:]
    assert daemon.alive()
