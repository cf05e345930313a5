"""The HTTP API as a test sees it: plain http.client, no retries, nothing hidden."""

import base64
import functools
import http.client
import io
import json
import re
import socket
import time
from pathlib import Path

import numpy as np
import yaml

FINAL = ("succeeded", "failed", "cancelled")


@functools.cache
def described():
    """[(pattern of a path, {method: statuses of its answers})] of the description of the API."""
    text = (Path(__file__).resolve().parents[2] / "protocol" / "openapi.yaml").read_text()
    paths = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["paths"]
    return [(re.compile(re.sub(r"\{[^}]*\}", "[^/]+", path)),
             {method: {int(status) for status in operation["responses"]}
              for method, operation in operations.items() if "responses" in operation})
            for path, operations in paths.items()]  # fmt: skip


def check_described(method, path, status):
    """Whatever the daemon answers in any test is what its description says that it may."""
    for pattern, operations in described():
        if pattern.fullmatch(path.partition("?")[0]):
            name = "get" if method == "HEAD" and "head" not in operations else method.lower()
            assert status in operations.get(name, {status}), f"{method} {path}: {status} is not in openapi.yaml"


class Response:
    def __init__(self, response):
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    def json(self):
        return json.loads(self.body)

    def array(self):
        return np.load(io.BytesIO(self.body), allow_pickle=False)

    def __repr__(self):
        return f"{self.status} {self.body[:600]!r}"


class Api:
    token = None  # sent with every request when there is one

    def __init__(self, port):
        self.port = port

    def with_token(self, headers):
        return ({"Authorization": f"Bearer {self.token}"} if self.token else {}) | (headers or {})

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=self.with_token(headers))
            response = Response(connection.getresponse())
            check_described(method, path, response.status)
            return response
        finally:
            connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def delete(self, path):
        return self.request("DELETE", path)

    def post(self, path, value, headers=None):
        body = value if isinstance(value, (bytes, str)) else json.dumps(value)
        return self.request("POST", path, body, {"Content-Type": "application/json"} | (headers or {}))

    def put(self, path, body, content_type="application/octet-stream", headers=None):
        return self.request("PUT", path, body, {"Content-Type": content_type} | (headers or {}))

    def raw(self, head, body=b"", finish=True, timeout=20):
        """Sends bytes as they are and returns all that comes back until the other side closes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as connection:
            answer = b""
            try:
                connection.sendall(head + body)
                if finish:
                    connection.shutdown(socket.SHUT_WR)
                while chunk := connection.recv(65536):
                    answer += chunk
            except TimeoutError:
                raise
            except OSError:
                pass
            return answer

    # What works is expected to work: these raise when it does not.

    def listed(self, kind):
        response = self.get(f"/v1/{kind}?limit=1000")
        assert response.status == 200, response
        return response.json()[kind]

    def create(self, description):
        response = self.post("/v1/datasets", description)
        assert response.status == 201, response
        dataset = response.json()
        assert response.headers["Location"] == f"/v1/datasets/{dataset['id']}"
        return dataset

    def upload(self, description, data):
        """A dataset whose samples follow by PUT; ready when this returns."""
        dataset = self.create(description)
        response = self.put(f"/v1/datasets/{dataset['id']}/samples", np.ascontiguousarray(data).tobytes())
        assert response.status == 200, response
        assert response.json()["state"] == "ready"
        return response.json()

    def submit(self, request):
        """Computes it, unless the request says that an earlier result will do."""
        response = self.post("/v1/jobs", {"reuse": False} | request)
        assert response.status == 202, response
        job = response.json()
        assert response.headers["Location"] == f"/v1/jobs/{job['id']}"
        return job

    def job(self, identity, wait=None):
        suffix = "" if wait is None else f"?wait={wait}"
        response = self.get(f"/v1/jobs/{identity}{suffix}")
        assert response.status == 200, response
        return response.json()

    def finish(self, identity, seconds=240):
        """Waits for a final state."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            job = self.job(identity, wait=20)
            if job["state"] in FINAL:
                return job
        raise AssertionError(f"job is not finished after {seconds} s: {job}")

    def run(self, request):
        """Submits, waits for success and returns (job, result)."""
        job = self.finish(self.submit(request)["id"])
        assert job["state"] == "succeeded", job
        response = self.get(job["result"])
        assert response.status == 200, response
        return job, response.json()

    def fit_later(self, dataset, **parameters):
        return self.submit({"type": "fit", "dataset": dataset["id"], "parameters": parameters})["id"]

    def fit(self, dataset, **parameters):
        return self.run({"type": "fit", "dataset": dataset["id"], "parameters": parameters})


def as_base64(data):
    return {"base64": base64.b64encode(np.ascontiguousarray(data).tobytes()).decode()}


def npy_bytes(array):
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def check_problem(response, status, name, field=None, mentions=()):
    """A refusal is a problem detail of that type that names the field and says what is wrong."""
    assert response.status == status, response
    assert response.headers["Content-Type"].split(";")[0] == "application/problem+json", response
    problem = response.json()
    assert problem["type"] == f"/problems/{name}", problem
    assert problem["status"] == status, problem
    assert problem["title"], problem
    assert len(problem["detail"]) > 10, problem
    if field is not None:
        assert problem.get("field", "") == field, problem
    for words in [mentions] if isinstance(mentions, str) else mentions:
        assert words.lower() in problem["detail"].lower(), (words, problem)
    return problem
