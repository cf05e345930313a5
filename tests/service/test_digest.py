"""Digests of bodies: Content-Digest, Repr-Digest (RFC 9530) and Digest (RFC 3230)."""

import base64
import hashlib
import json

import pytest
from api import check_problem
from pieces import digest_of
from samples import description, noise


def old_digest_of(data):
    return f"SHA-256={base64.b64encode(hashlib.sha256(data).digest()).decode()}"


HEADERS = {"Content-Digest": digest_of, "Repr-Digest": digest_of, "Digest": old_digest_of}


@pytest.fixture(params=["samples", "npz", "json"])
def target(request, api, tmp_path):
    """(method, path, body, content type, expected status) of what is posted."""
    import numpy as np

    data = noise()
    if request.param == "samples":
        dataset = api.create(description())
        yield "PUT", f"/v1/datasets/{dataset['id']}/samples", data.tobytes(), "application/octet-stream", 200
        api.delete(f"/v1/datasets/{dataset['id']}")
    elif request.param == "json":
        yield "POST", "/v1/datasets", json.dumps(description()).encode(), "application/json", 201
    else:
        path = tmp_path / "x.npz"
        np.savez(path, data=data, sfreq=100.0, ch_names=[f"E{i}" for i in range(6)], ch_types=["eeg"] * 6)
        yield "POST", "/v1/datasets", path.read_bytes(), "application/octet-stream", 201


def send(api, target, **headers):
    method, path, body, kind, _ = target
    return api.request(method, path, body, {"Content-Type": kind} | headers)


@pytest.mark.parametrize("name", HEADERS)
def test_that_fits(api, target, name):
    response = send(api, target, **{name: HEADERS[name](target[2])})
    assert response.status == target[4], response


def test_all_together(api, target):
    response = send(api, target, **{name: made(target[2]) for name, made in HEADERS.items()})
    assert response.status == target[4], response


@pytest.mark.parametrize("name", HEADERS)
def test_that_does_not_fit(api, daemon, target, unchanged, name):
    """Nothing is stored, and the answer says what was computed."""
    before = sorted(p.name for p in daemon.blobs())
    response = send(api, target, **{name: HEADERS[name](target[2] + b"x")})
    check_problem(response, 422, "digest-mismatch", name, digest_of(target[2]))
    assert sorted(p.name for p in daemon.blobs()) == before


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize("text", ["", "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:", "sha-512=:AAAA:", "sha-256", "sha-256=:AAAA:",
                                  "sha-256=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuF=", "\xff"])  # fmt: skip
def test_that_is_none(api, target, unchanged, name, text):
    response = send(api, target, **{name: text})
    check_problem(response, 400, "invalid-request", name, "sha-256")


def test_that_contradict(api, target, unchanged):
    body = target[2]
    response = send(api, target, **{"Repr-Digest": digest_of(body), "Digest": old_digest_of(body + b"x")})
    check_problem(response, 400, "invalid-request", "Digest")


def test_among_others(api, target):
    body = target[2]
    text = f"md5=:1B2M2Y8AsgTpgAmY7PhCfg==:, {digest_of(body)}, unixsum=:AA==:"
    assert send(api, target, **{"Repr-Digest": text}).status == target[4]
