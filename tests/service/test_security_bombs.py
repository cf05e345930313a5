"""Small bodies that become large: what they may cost is bounded, and they are refused."""

import gzip
import io
import json
import struct
import time
import zipfile
import zlib

import numpy as np
import pytest
from api import check_problem, npy_bytes
from daemon import PATIENCE, SANITIZED, Daemon
from samples import description

MIB = 1 << 20
FILE = {"Content-Type": "application/octet-stream"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    """One that takes 64 MiB of samples, so that what is beyond it is soon reached."""
    daemon = Daemon(tmp_path_factory.mktemp("bombs"), ["--max-upload-bytes", "64M", "--max-json-bytes", "16M"])
    daemon.start()
    yield daemon
    daemon.stop()


@pytest.fixture
def bounded(daemon):
    """The test neither takes long nor much memory; AddressSanitizer keeps what is freed."""
    daemon.api.listed("datasets")
    daemon.reset_peak()
    before, began = daemon.memory()["VmRSS"], time.monotonic()
    yield
    assert time.monotonic() - began < 20 * PATIENCE
    assert SANITIZED or daemon.memory()["VmHWM"] - before < 600 * MIB


@pytest.fixture
def post(daemon, bounded):
    def send(body, path="/v1/datasets"):
        return daemon.api.request("POST", path, body, FILE)

    yield send
    assert daemon.api.listed("datasets") == []


def tag(kind, of, size, data=b"", following=0):
    return struct.pack(">iiii", kind, of, size, following) + data


FILE_ID = tag(100, 31, 20, struct.pack(">iiiii", 0x10004, 1, 2, 3, 4))


class TestGzip:
    @pytest.mark.parametrize("members", [1, 50])
    def test_zeros(self, post, members):
        """512 MiB of nothing in half a megabyte."""
        piece = gzip.compress(bytes(512 * MIB // members), 1)
        answer = post(piece * members)
        assert answer.status in (413, 422), answer

    def test_after_a_good_beginning(self, post):
        """A tag that says it has 2 GiB."""
        for size in (2**31 - 1, 512 * MIB, -1, -(2**31)):
            answer = post(gzip.compress(FILE_ID + tag(300, 4, size) + bytes(100 * MIB), 1))
            assert answer.status in (413, 422), answer

    def test_many_tags(self, post):
        answer = post(gzip.compress(FILE_ID + tag(104, 3, 4, struct.pack(">i", 100)) * 2_000_000, 1))
        assert answer.status in (413, 422), answer

    def test_many_members(self, post):
        """200,000 files of nothing, one after the other."""
        assert post(gzip.compress(b"", 1) * 200_000).status == 422

    def test_in_itself(self, post):
        assert post(gzip.compress(gzip.compress(gzip.compress(bytes(100 * MIB), 1)))).status == 422


def archive(members, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


class TestZip:
    NAMES = {"ch_names.npy": npy_bytes(np.array(["a", "b"])), "ch_types.npy": npy_bytes(np.array(["eeg", "eeg"])),
             "sfreq.npy": npy_bytes(np.array(100.0))}  # fmt: skip

    def header(self, shape):
        text = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
        text += " " * (117 - len(text)) + "\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()

    def test_zeros(self, post):
        """256 MiB of zeros that are described well, but are too many."""
        data = self.header((1 << 14, 2, 1 << 10)) + bytes(256 * MIB)
        check_problem(post(archive({"data.npy": data} | self.NAMES)), 413, "too-large")

    def test_names(self, post):
        names = self.header((1 << 22,)).replace(b"<f8", b"<U8") + bytes(128 * MIB)
        answer = post(archive({"ch_names.npy": names, "data.npy": npy_bytes(np.zeros((2, 2, 2)))}))
        assert answer.status in (413, 422), answer

    def test_a_size_that_is_a_lie(self, post):
        """The directory says 100 bytes, and more come out."""
        body = bytearray(archive({"data.npy": bytes(8 * MIB)} | self.NAMES))
        directory = body.find(b"PK\x01\x02")
        body[directory + 24 : directory + 28] = struct.pack("<I", 100)
        body[22:26] = struct.pack("<I", 100)
        check_problem(post(bytes(body)), 422, "invalid-samples")

    def test_a_shape_that_is_a_lie(self, post):
        for shape in ((2**31, 2**31, 2), (2**62, 2, 2), (0, 2, 2), (1, 2, 2**40), (99999, 2, 99999)):
            answer = post(archive({"data.npy": self.header(shape) + bytes(64)} | self.NAMES))
            assert answer.status in (413, 422), answer

    def test_overlapping_members(self, post):
        """Many entries of the directory that share one member's bytes."""
        kernel = zlib.compressobj(9, zlib.DEFLATED, -15)
        squeezed = kernel.compress(bytes(4 * MIB)) + kernel.flush()
        local = struct.pack("<4sHHHHHIIIHH", b"PK\x03\x04", 20, 0, 8, 0, 0, zlib.crc32(bytes(4 * MIB)), len(squeezed),
                            4 * MIB, 1, 0) + b"x"  # fmt: skip
        entries = b""
        for i in range(500):
            name = f"{i}.npy".encode()
            entries += struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, zlib.crc32(bytes(4 * MIB)),
                                   len(squeezed), 4 * MIB, len(name), 0, 0, 0, 0, 0, 0) + name  # fmt: skip
        end = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 500, 500, len(entries), len(local) + len(squeezed), 0)
        check_problem(post(local + squeezed + entries + end), 422, "invalid-samples")

    def test_many_members(self, post):
        check_problem(post(archive({f"{i}.npy": b"" for i in range(20000)})), 422, "invalid-samples")

    @pytest.mark.parametrize("name", ["../data.npy", "/etc/passwd.npy", "a/../../data.npy", "..\\data.npy", "data\r\n.npy"])
    def test_names_that_are_paths(self, post, name):
        body = archive({name: npy_bytes(np.zeros((2, 2, 2)))} | self.NAMES)
        check_problem(post(body), 422, "invalid-samples")


JSON_BOMBS = {
    "depth": "[" * 8_000_000,
    "depth of both": '{"a":[' * 2_000_000,
    "many values": '{"data": [[[' + "0," * 7_000_000 + "0]]]}",
    "many arrays": '{"data": [' + "[]," * 5_000_000 + "[]]}",
    "many objects": '{"data": [' + "{}," * 5_000_000 + "{}]}",
    "many members": "{" + ",".join(f'"{i:x}":0' for i in range(1_000_000)) + "}",
    "a long number": '{"sfreq": ' + "9" * 8_000_000 + "}",
    "a long fraction": '{"sfreq": 0.' + "1" * 8_000_000 + "}",
    "a large exponent": '{"sfreq": 1e' + "9" * 300 + "}",
    "a long string": '{"name": "' + "a" * 15_000_000 + '"}',
    "a long key": '{"' + "a" * 15_000_000 + '": 1}',
    "escapes": '{"name": "' + "\\u0041" * 2_500_000 + '"}',
    "blanks": " " * 15_000_000,
    "the same key": "{" + ",".join(['"a":1'] * 1_000_000) + "}",
    "base64 that is none": json.dumps(description() | {"data": {"base64": "=" * 15_000_000}}),
    "base64 twice": '{"data": {"base64": "' + "A" * 7_000_000 + '", "base64": "' + "A" * 7_000_000 + '"}}',
    "colliding keys": "{" + ",".join(f'"{"Aa" * (i % 7)}{"BB" * (i // 7)}":1' for i in range(400)) + "}",
}


@pytest.mark.parametrize("name", JSON_BOMBS)
def test_json(daemon, bounded, name):
    for path in ("/v1/datasets", "/v1/jobs"):
        answer = daemon.api.post(path, JSON_BOMBS[name])
        assert answer.status in (400, 413, 422), answer
        assert len(answer.body) < 4096, "a refusal doesn't repeat what it refuses"
    assert daemon.api.listed("datasets") == [] and daemon.api.listed("jobs") == []
