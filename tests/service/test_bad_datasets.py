"""Datasets that are refused: which field, what was wrong, and nothing stored."""

import json

import numpy as np
import pytest
from api import as_base64, check_problem, npy_bytes
from samples import description, noise

pytestmark = pytest.mark.usefixtures("unchanged")


def with_channel(index=0, **changes):
    """A dataset one of whose channels is changed; a value of ... removes the field."""
    made = description()
    channel = made["channels"][index] | changes
    made["channels"][index] = {k: v for k, v in channel.items() if v is not ...}
    return made


def without(key):
    made = description()
    del made[key]
    return made


def text(made, **replaced):
    """JSON text in which the string "@key" stands for text that json.dumps would not write."""
    out = json.dumps(made)
    for key, value in replaced.items():
        out = out.replace(f'"@{key}"', value)
    return out


# What is posted, status, problem, field, words of the detail.
REFUSED = {
    "empty body": ("", 400, "invalid-json", "", "empty"),
    "cut off": ('{"sfreq": 100', 400, "invalid-json", "", "line 1"),
    "not JSON": ("sfreq=100", 400, "invalid-json", "", "line 1"),
    "array": ("[]", 400, "invalid-json", "", "array"),
    "trailing text": ("{} {}", 400, "invalid-json", "", ()),
    "same key twice": ('{"sfreq":1,"sfreq":2}', 400, "invalid-json", "", "duplicate"),
    "not UTF-8": (b'{"name":"\xff"}', 400, "invalid-json", "", ()),
    "NUL in a string": ('{"name":"a\\u0000b"}', 400, "invalid-json", "", ()),
    "NaN token": (text(description(tmin="@t"), t="NaN"), 400, "invalid-json", "", ()),
    "number overflow": (text(description(tmin="@t"), t="1e999"), 400, "invalid-json", "", ()),
    "integer overflow": (
        text(description(n_epochs="@n"), n="99999999999999999999999"), 400, "invalid-json", "", ()),
    "deep arrays": ("[" * 100000 + "]" * 100000, 400, "invalid-json", "", "deep"),
    "deep in data": (
        text(description(data="@d"), d="[" * 5000 + "]" * 5000), 400, "invalid-json", "", "deep"),
    "deep objects": ('{"a":' * 5000 + "1" + "}" * 5000, 400, "invalid-json", "", "deep"),
    "unknown field": (description(colour="red"), 422, "invalid-value", "colour", "accepted"),
    "name is a number": (description(name=7), 422, "invalid-value", "name", "string"),
    "name too long": (description(name="x" * 300), 422, "invalid-value", "name", "255"),
    "name with control": (description(name="a\nb"), 422, "invalid-value", "name", "control"),
    "no sfreq": (without("sfreq"), 422, "invalid-value", "sfreq", "required"),
    "sfreq zero": (description(sfreq=0), 422, "invalid-value", "sfreq", "0"),
    "sfreq text": (description(sfreq="fast"), 422, "invalid-value", "sfreq", "string"),
    "no channels": (without("channels"), 422, "invalid-value", "channels", "required"),
    "zero channels": (description(channels=[]), 422, "invalid-value", "channels", "0"),
    "channels an object": (description(channels={}), 422, "invalid-value", "channels", "object"),
    "channel a number": (description(channels=[3]), 422, "invalid-value", "channels[0]", "integer"),
    "no n_epochs": (without("n_epochs"), 422, "invalid-value", "n_epochs", "required"),
    "zero epochs": (description(n_epochs=0), 422, "invalid-value", "n_epochs", "from 1"),
    "negative epochs": (description(n_epochs=-1), 422, "invalid-value", "n_epochs", "-1"),
    "half an epoch": (description(n_epochs=2.5), 422, "invalid-value", "n_epochs", "integer"),
    "n_epochs true": (description(n_epochs=True), 422, "invalid-value", "n_epochs", "integer"),
    "too many epochs": (description(n_epochs=10**9), 422, "invalid-value", "n_epochs", "1000000"),
    "no n_times": (without("n_times"), 422, "invalid-value", "n_times", "required"),
    "zero times": (description(n_times=0), 422, "invalid-value", "n_times", "0"),
    "sizes overflow": (
        description(n_epochs=10**6, n_times=10**7), 422, "invalid-value", "n_times", "too many"),
    "sizes beyond 64 bits": (
        description(n_epochs=2**63 - 1, n_times=2**63 - 1), 422, "invalid-value", "n_epochs", ()),
    "n_channels differs": (
        description(n_channels=6) | {"n_channels": 7}, 422, "invalid-value", "n_channels", "6"),
    "dtype int16": (description(dtype="int16"), 422, "invalid-value", "dtype", "float32"),
    "dtype a number": (description(dtype=8), 422, "invalid-value", "dtype", "integer"),
    "duplicate channel names": (
        with_channel(3, name="E1"), 422, "invalid-value", "channels[3].name", ("E1", "unique")),
    "no channel name": (with_channel(name=...), 422, "invalid-value", "channels[0].name", "required"),
    "empty channel name": (with_channel(name=""), 422, "invalid-value", "channels[0].name", "1 to 63"),
    "long channel name": (
        with_channel(name="x" * 64), 422, "invalid-value", "channels[0].name", "63"),
    "no channel type": (with_channel(type=...), 422, "invalid-value", "channels[0].type", "required"),
    "unknown channel type": (
        with_channel(type="EEG"), 422, "invalid-value", "channels[0].type", "eeg"),
    "bad is a number": (with_channel(bad=1), 422, "invalid-value", "channels[0].bad", "true or false"),
    "position of two": (
        with_channel(position=[0, 0]), 422, "invalid-value", "channels[0].position", "3"),
    "position text": (
        with_channel(2, position=[0, 0, "x"]), 422, "invalid-value", "channels[2].position[2]", "string"),
    "position null": (
        with_channel(position=[0, 0, None]), 422, "invalid-value", "channels[0].position[2]", "null"),
    "position infinite": (
        text(with_channel(position=[0, 0, "@p"]), p="Infinity"), 400, "invalid-json", "", ()),
    "position NaN": (text(with_channel(position=[0, 0, "@p"]), p="NaN"), 400, "invalid-json", "", ()),
    "position far out": (
        with_channel(position=[0, 1e300, 0]), 422, "invalid-value", "channels[0].position[1]", "metres"),
    "events of another length": (description(events=[[0, 0, 1]]), 422, "invalid-value", "events", "12"),
    "event_id a list": (description(event_id=[]), 422, "invalid-value", "event_id", "array"),
    "data a number": (description(data=3), 422, "invalid-value", "data", "base64"),
    "data empty": (description(data=[]), 422, "invalid-samples", "data", "epoch"),
    "data of one epoch": (
        description(data=noise(1).tolist()), 422, "invalid-samples", "data", ("1", "12")),
    "data of other channels": (
        description(data=noise(n_channels=5).tolist()), 422, "invalid-samples", "data[0]", ("5", "6")),
    "data of other times": (
        description(data=noise(n_times=19).tolist()), 422, "invalid-samples", "data[0][0]", ("19", "20")),
    "base64 a number": (description(data={"base64": 1}), 422, "invalid-value", "data.base64", "string"),
    "base64 too short": (
        description(data=as_base64(noise(11))), 422, "invalid-samples", "data.base64", "expected"),
    "base64 too long": (
        description(data=as_base64(noise(13))), 422, "invalid-samples", "data.base64", "expected"),
    "base64 of float32": (
        description(data=as_base64(noise(dtype="float32"))), 422, "invalid-samples", "data.base64", ()),
    "base64 not in its alphabet": (
        description(data={"base64": "!" + as_base64(noise())["base64"][1:]}), 422, "invalid-samples",
        "data.base64", "character 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(api, name):
    body, status, problem, field, words = REFUSED[name]
    check_problem(api.post("/v1/datasets", body), status, problem, field, words)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_inline_samples_that_are_not_finite(api, value):
    data = noise().tolist()
    data[3][2][5] = "@v"
    response = api.post("/v1/datasets", text(description(data=data), v=value))
    check_problem(response, 400, "invalid-json", "")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_base64_samples_that_are_not_finite(api, value, dtype):
    data = noise(dtype=dtype)
    data[3, 2, 5] = value
    response = api.post("/v1/datasets", description(dtype=dtype, data=as_base64(data)))
    check_problem(response, 422, "invalid-samples", "data.base64", ("epoch 3", "E2", "time 5"))


def test_ragged_inline_data(api):
    data = noise().tolist()
    data[4][1].pop()
    check_problem(api.post("/v1/datasets", description(data=data)), 422, "invalid-samples",
                  "data[4][1]", ("19", "20"))  # fmt: skip


def test_inline_number_too_large_for_float32(api):
    data = noise().tolist()
    data[0][1][2] = 1e39
    response = api.post("/v1/datasets", description(dtype="float32", data=data))
    check_problem(response, 422, "invalid-samples", "data[0][1][2]", "float32")


def test_huge_json(api):
    """Four million numbers are the most that inline data may have; the rest goes by PUT."""
    row = "[" + ",".join(["0"] * 1000) + "]"
    epoch = "[" + ",".join([row] * 6) + "]"
    body = text(description(n_epochs=1000, n_times=1000, data="@d"), d="[" + ",".join([epoch] * 1000) + "]")
    check_problem(api.post("/v1/datasets", body), 413, "too-large")


def test_many_small_values(api):
    body = '{"sfreq": [' + ",".join(["[]"] * 3_000_000) + "]}"
    check_problem(api.post("/v1/datasets", body), 413, "too-large")


class TestSamples:
    """PUT of samples that don't match: refused, and the dataset keeps awaiting its samples."""

    @pytest.fixture
    def awaiting(self, api):
        dataset = api.create(description())
        yield dataset
        now = api.get(f"/v1/datasets/{dataset['id']}").json()
        assert now["state"] == "awaiting_samples" and now["sha256"] is None
        good = api.put(f"/v1/datasets/{dataset['id']}/samples", noise().tobytes())
        assert good.status == 200 and good.json()["state"] == "ready", good
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204

    BODIES = {
        "empty": (b"", ("0",)),
        "one byte short": (noise().tobytes()[:-1], ("11519", "11520")),
        "one byte long": (noise().tobytes() + b"\0", ("11521", "11520")),
        "float32": (noise(dtype="float32").tobytes(), ("5760", "11520")),
        "npy float32": (npy_bytes(noise(dtype="float32")), ("float32", "float64")),
        "npy int32": (npy_bytes(np.zeros((12, 6, 20), np.int32)), ("i4",)),
        "npy big-endian": (npy_bytes(noise().astype(">f8")), ("little",)),
        "npy Fortran order": (npy_bytes(np.asfortranarray(noise())), ("order",)),
        "npy of another shape": (npy_bytes(noise(6, 12)), ("12",)),
        "npy of two dimensions": (npy_bytes(noise().reshape(72, 20)), ("72",)),
        "npy cut off": (npy_bytes(noise())[:-8], ()),
        "npy with more behind": (npy_bytes(noise()) + b"12345678", ()),
        "npy header cut off": (npy_bytes(noise())[:20], ()),
        "npy of objects": (
            b"\x93NUMPY\x01\x00v\x00"
            + b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }".ljust(117) + b"\n" + b"x" * 8,
            ()),
    }  # fmt: skip

    @pytest.mark.parametrize("name", BODIES)
    def test_refused(self, api, awaiting, name):
        body, words = self.BODIES[name]
        response = api.put(f"/v1/datasets/{awaiting['id']}/samples", body)
        assert response.status in (400, 422), response
        problem = check_problem(response, 422, "invalid-samples")
        for word in words:
            assert word in problem["detail"], problem

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize("wrap", [np.ndarray.tobytes, npy_bytes])
    def test_not_finite(self, api, awaiting, value, wrap):
        data = noise()
        data[11, 5, 19] = value
        response = api.put(f"/v1/datasets/{awaiting['id']}/samples", wrap(data))
        check_problem(response, 422, "invalid-samples", None, ("finite",))

    def test_wrong_content_type(self, api, awaiting):
        response = api.put(f"/v1/datasets/{awaiting['id']}/samples", noise().tobytes(), "text/plain")
        check_problem(response, 415, "unsupported-media-type", None, "application/octet-stream")

    def test_npy_type_without_npy(self, api, awaiting):
        response = api.put(
            f"/v1/datasets/{awaiting['id']}/samples", noise().tobytes(), "application/x-npy")  # fmt: skip
        check_problem(response, 422, "invalid-samples")


def test_samples_twice(api):
    dataset = api.upload(description(), noise())
    response = api.put(f"/v1/datasets/{dataset['id']}/samples", noise(seed=1).tobytes())
    check_problem(response, 409, "conflict")
    assert api.get(f"/v1/datasets/{dataset['id']}").json() == dataset
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


@pytest.mark.parametrize("identity", ["ds_0123456789abcdefghijkl", "ds_", "x", "..%2f..%2fetc", "%00"])
def test_unknown_dataset(api, identity):
    for method, path in (("GET", ""), ("DELETE", ""), ("PUT", "/samples")):
        response = api.request(method, f"/v1/datasets/{identity}{path}", b"x" * 8 if method == "PUT" else None)
        check_problem(response, 404, "not-found")
