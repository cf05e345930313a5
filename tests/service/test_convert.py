"""EEGLAB's .set and autoreject's .h5, which a program of its own reads and writes."""

import importlib.util
import json
import os
import stat
import sys
import time

import autoreject
import h5py
import mne
import numpy as np
import pytest
import scipy.io
from api import Api, check_problem
from daemon import PATIENCE, ROOT, SANITIZED
from samples import noise

FILE = {"Content-Type": "application/octet-stream"}
mne.set_log_level("ERROR")
pytestmark = pytest.mark.filterwarnings("ignore")

# The files are made as the comparison with MNE-Python makes them.
_spec = importlib.util.spec_from_file_location("convert_files", ROOT / "tests/parity/convert_files.py")
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)


def eeg_set(path, container="v7", n_epochs=14, loud=3, **changes):
    """A .set of 4 electrodes with places and one loud epoch; EEG's fields."""
    rng = np.random.default_rng(4)
    fields = files.eeg_struct(rng, n_epochs=n_epochs, n_channels=6, n_times=40)
    for i, location in enumerate(fields["chanlocs"][0]):
        x, y, z = rng.normal(size=3)
        x, y, z = (85 * v / np.linalg.norm([x, y, z]) for v in (x, y, abs(z)))
        location["type"], location["X"], location["Y"], location["Z"] = "EEG", x, y, z
        location["labels"] = f"E{i}"
    if loud is not None:
        fields["data"][:, :, loud] *= 30
    fields.update(changes)
    files.save_set(path, fields, container, "struct")
    return fields


def post(api, path_or_bytes, url="/v1/datasets", **options):
    body = path_or_bytes if isinstance(path_or_bytes, bytes) else path_or_bytes.read_bytes()
    return api.request("POST", url, body=body, headers=FILE, **options)


def leftovers(daemon):
    return sorted(p.name for p in (daemon.data / "convert").iterdir())


@pytest.fixture(autouse=True)
def nothing_left(request):
    yield
    if "daemon" in request.fixturenames:
        assert leftovers(request.getfixturevalue("daemon")) == []


class TestSet:
    @pytest.mark.parametrize("container", ["v6", "v7", "v7.3"])
    def test_a_set_becomes_a_dataset(self, api, daemon, tmp_path, container):
        path = tmp_path / "x.set"
        eeg_set(path, container)
        answer = post(api, path, "/v1/datasets?name=sub-01")
        assert answer.status == 201, answer
        dataset = answer.json()
        epochs = mne.read_epochs_eeglab(path)
        assert (dataset["state"], dataset["next_part"], dataset["name"]) == ("ready", None, "sub-01")
        assert [c["name"] for c in dataset["channels"]] == epochs.ch_names
        assert dataset["event_id"] == epochs.event_id
        assert dataset["dtype"] == "float64"
        # The same samples, posted otherwise, are the same blob.
        again = api.upload({"sfreq": 100, "n_epochs": 14, "n_times": 40,
                            "channels": [{"name": f"E{i}", "type": "eeg"} for i in range(6)]},
                           epochs.get_data(copy=True))  # fmt: skip
        assert again["sha256"] == dataset["sha256"]
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        assert api.delete(f"/v1/datasets/{again['id']}").status == 204
        assert list((daemon.data / "blobs").iterdir()) == []

    def test_samples_in_an_fdt(self, api, daemon, tmp_path):
        path, fdt = tmp_path / "x.set", tmp_path / "x.fdt"
        data = eeg_set(tmp_path / "whole.set")["data"]
        eeg_set(path, data="C:\\data\\x.fdt")
        fdt.write_bytes(data.astype("<f4").tobytes(order="F"))
        answer = post(api, path, "/v1/datasets?name=two")
        assert answer.status == 201, answer
        dataset = answer.json()
        assert (dataset["state"], dataset["next_part"], dataset["name"]) == ("awaiting_samples", "x.fdt", "two")
        url = f"/v1/datasets/{dataset['id']}/parts"
        check_problem(api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]}), 409, "conflict", "dataset")
        check_problem(api.put(f"/v1/datasets/{dataset['id']}/samples", fdt.read_bytes()), 409, "conflict")
        for wrong in (fdt.read_bytes()[:-4], fdt.read_bytes() + b"1234", path.read_bytes()):
            check_problem(post(api, wrong, url), 422, "invalid-samples", mentions=(str(data.size * 4), "x.fdt"))
        spoilt = data.copy()
        spoilt[1, 2, 3] = np.nan
        check_problem(post(api, spoilt.astype("<f4").tobytes(order="F"), url), 422, "invalid-samples", mentions="epoch 3")
        answer = post(api, fdt, url)
        assert answer.status == 200, answer
        done = answer.json()
        assert (done["state"], done["next_part"], done["name"]) == ("ready", None, "two")
        check_problem(post(api, fdt, url), 409, "conflict")
        whole = post(api, tmp_path / "whole.set").json()
        assert done["sha256"] == whole["sha256"]
        assert api.delete(f"/v1/datasets/{done['id']}").status == 204
        assert api.delete(f"/v1/datasets/{whole['id']}").status == 204
        assert list((daemon.data / "blobs").iterdir()) == []

    def test_an_fdt_may_come_after_a_restart(self, own_daemon, tmp_path):
        data = eeg_set(tmp_path / "whole.set")["data"]
        eeg_set(tmp_path / "x.set", data="x.fdt")
        daemon = own_daemon()
        dataset = post(daemon.api, tmp_path / "x.set").json()
        (daemon.data / "convert" / "left").mkdir()
        (daemon.data / "convert" / "left" / "input.set").write_bytes(b"x")
        daemon.kill()
        daemon.start()
        assert leftovers(daemon) == []
        answer = post(daemon.api, data.astype("<f4").tobytes(order="F"), f"/v1/datasets/{dataset['id']}/parts")
        assert answer.status == 200 and answer.json()["state"] == "ready", answer

    @pytest.mark.usefixtures("unchanged")
    def test_files_that_are_wrong(self, api, tmp_path):
        path = tmp_path / "x.set"
        for container in "v6", "v7", "v7.3":
            eeg_set(path, container)
            whole = path.read_bytes()
            for n in (4, 20, 100, 130, 200, 1000, len(whole) // 2, len(whole) - 1000):
                answer = post(api, whole[:n])
                assert answer.status in (415, 422), (container, n, answer)
                check_problem(answer, answer.status, answer.json()["type"].split("/")[-1])
            torn = bytearray(whole)
            torn[600:900] = b"\xff" * 300
            assert post(api, bytes(torn)).status in (201, 422) if container == "v6" else post(api, bytes(torn)).status == 422
        for listed in api.listed("datasets"):
            if listed["name"] == "a set":
                api.delete(f"/v1/datasets/{listed['id']}")

    @pytest.mark.usefixtures("unchanged")
    @pytest.mark.parametrize(
        "changes, words",
        [
            ({"nbchan": "six"}, "nbchan"),
            ({"pnts": 41.0}, "data"),
            ({"trials": 1.0, "epoch": np.zeros((0, 0))}, "continuous"),
            ({"srate": "fast"}, "srate"),
            ({"data": {"a": 1.0}}, "data"),
            ({"data": "../x.dat"}, "pop_saveset"),
            ({"chanlocs": "none"}, "chanlocs"),
        ],
    )
    def test_fields_that_are_wrong(self, api, tmp_path, changes, words):
        eeg_set(tmp_path / "x.set", **changes)
        check_problem(post(api, tmp_path / "x.set"), 422, "invalid-samples", mentions=words)

    def test_a_sample_that_is_no_number(self, api, tmp_path):
        data = eeg_set(tmp_path / "x.set")["data"]
        data[1, 5, 2] = np.inf
        eeg_set(tmp_path / "x.set", data=data)
        check_problem(post(api, tmp_path / "x.set"), 422, "invalid-samples", mentions=("epoch 2", "channel 1"))


PROGRAMS = {
    "crash": ("kill -SEGV $$", "signal 11"),
    "loop": ("while :; do :; done", "s)"),
    "sleep": ("exec sleep 1000", "s)"),
    "memory": ("x=0123456789abcdef; while :; do x=$x$x; done", "stopped"),
    "noise": ("while :; do echo 'what now'; done", "stopped"),
    "silence": ("exit 2", "stopped"),
    "not json": ("echo oops >&2; exit 2", "stopped"),
    "odd": ("exit 77", "77"),
    "descriptors": ("exec 200>&1", "stopped"),
}


class TestPrograms:
    def daemon_with(self, own_daemon, tmp_path, script, *arguments):
        program = tmp_path / "program"
        program.write_text(f"#!/bin/bash\n{script}\n")
        program.chmod(0o700)
        return own_daemon("--convert-program", str(program), "--convert-seconds", "2", *arguments)

    @pytest.mark.parametrize("kind", PROGRAMS)
    def test_it_costs_one_answer(self, own_daemon, tmp_path, kind):
        script, words = PROGRAMS[kind]
        if SANITIZED and kind == "memory":
            pytest.skip("sanitizers have no limit of memory")
        daemon = self.daemon_with(own_daemon, tmp_path, script, "--convert-memory", "64M")
        eeg_set(tmp_path / "x.set")
        started = time.monotonic()
        for _ in range(2):
            answer = post(daemon.api, tmp_path / "x.set")
            check_problem(answer, 422, "invalid-samples", mentions=words)
        assert time.monotonic() - started < 10 * PATIENCE
        check_problem(post(daemon.api, (tmp_path / "x.set").read_bytes(), "/v1/models"), 422, "invalid-value", mentions=words)
        assert leftovers(daemon) == []
        assert daemon.api.get("/healthz").status == 200
        assert daemon.api.listed("datasets") == []

    @pytest.mark.parametrize("script", ["exit 0", "exit 3", "mkfifo $3/description.json", "ln -s /etc/passwd $3/description.json"])
    def test_what_it_leaves_is_not_trusted(self, own_daemon, tmp_path, script):
        daemon = self.daemon_with(own_daemon, tmp_path, f"PATH=/usr/bin:/bin; {script}")
        eeg_set(tmp_path / "x.set")
        answer = post(daemon.api, tmp_path / "x.set")
        check_problem(answer, 500, "internal")
        assert leftovers(daemon) == [] and daemon.api.listed("datasets") == []

    def test_it_ends_with_the_daemon(self, own_daemon, tmp_path):
        daemon = self.daemon_with(own_daemon, tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 1000", "--convert-seconds", "600")
        eeg_set(tmp_path / "x.set")
        body = (tmp_path / "x.set").read_bytes()
        head = (f"POST /v1/datasets HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()  # fmt: skip
        import socket

        with socket.create_connection(("127.0.0.1", daemon.port)) as connection:
            connection.sendall(head + body)
            deadline = time.monotonic() + 10 * PATIENCE
            while not (tmp_path / "pid").is_file() or not (tmp_path / "pid").read_text().strip():
                assert time.monotonic() < deadline
                time.sleep(0.02)
            pid = int((tmp_path / "pid").read_text())
            daemon.stop()
        assert not os.path.exists(f"/proc/{pid}")
        assert leftovers(daemon) == []

    def test_it_sees_nothing_of_the_daemon(self, own_daemon, tmp_path):
        script = f"{{ /usr/bin/env; /bin/ls -l /proc/$$/fd; ulimit -a; /bin/grep NoNewPrivs /proc/$$/status; }} > {tmp_path}/seen 2>&1; exit 2"
        daemon = self.daemon_with(own_daemon, tmp_path, script)
        eeg_set(tmp_path / "x.set")
        assert post(daemon.api, tmp_path / "x.set").status == 422
        seen = (tmp_path / "seen").read_text()
        assert "HOME" not in seen and "store.sqlite" not in seen and "socket" not in seen, seen
        assert "NoNewPrivs:\t1" in seen, seen

    def test_a_program_that_is_not_there(self, own_daemon, tmp_path):
        daemon = own_daemon("--convert-program", "/nonexistent")
        eeg_set(tmp_path / "x.set")
        check_problem(post(daemon.api, tmp_path / "x.set"), 500, "internal", mentions="cannot be started")
        assert leftovers(daemon) == []
