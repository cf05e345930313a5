"""EEGLAB's .set and autoreject's .h5, which a program of its own reads and writes."""

import importlib.util
import json
import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import autoreject
import h5py
import mne
import numpy as np
import pytest
import scipy.io
from api import check_problem
from daemon import PATIENCE, ROOT, SANITIZED

FILE = {"Content-Type": "application/octet-stream"}
mne.set_log_level("ERROR")
pytestmark = pytest.mark.filterwarnings("ignore")

# The files are made as the comparison with MNE-Python makes them.
_spec = importlib.util.spec_from_file_location("convert_files", ROOT / "tests/parity/convert_files.py")
files = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(files)


def eeg_set(path, container="v7", n_epochs=14, loud=3, **changes):
    """A .set of 6 electrodes with places and one loud epoch; EEG's fields."""
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
        assert daemon.blobs() == []

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
        assert daemon.blobs() == []

    def test_an_fdt_counts_with_its_set(self, own_daemon, tmp_path):
        """What the samples take of user-bytes is taken once."""
        fdt = eeg_set(tmp_path / "whole.set")["data"].astype("<f4").tobytes(order="F")
        eeg_set(tmp_path / "x.set", data="x.fdt")
        api = own_daemon("--user-bytes", str(2 * len(fdt) + 100)).api
        dataset = post(api, tmp_path / "x.set").json()
        assert dataset["bytes"] == 2 * len(fdt)  # float64
        check_problem(post(api, tmp_path / "x.set"), 413, "too-large", mentions=[f"{dataset['bytes']} bytes"])
        answer = post(api, fdt, f"/v1/datasets/{dataset['id']}/parts")
        assert answer.status == 200 and answer.json()["state"] == "ready", answer

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
            check_problem(post(api, bytes(torn)), 422, "invalid-samples")

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
        head = (f"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()  # fmt: skip
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


def names_of(epochs):
    names = {number: name for name, number in epochs.event_id.items()}
    return [names[number] for number in epochs.events[:, 2]]


class TestCleanedSet:
    def fit(self, api, dataset):
        return api.fit(dataset, cv=4, consensus=[0.5], n_interpolate=[2], random_state=1)

    def check(self, api, job, result, folder, before):
        answer = api.get(f"/v1/jobs/{job['id']}/result/cleaned.set")
        assert answer.status == 200, answer
        assert 'filename="cleaned.set"' in answer.headers["Content-Disposition"]
        path = folder / "cleaned.set"
        path.write_bytes(answer.body)
        epochs = mne.read_epochs_eeglab(path)
        want = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        np.testing.assert_allclose(epochs.get_data(copy=True), want, rtol=1e-6, atol=1e-12)
        assert 3 in result["bad_epochs"] and len(epochs) == len(want)
        assert epochs.ch_names == before.ch_names and epochs.info["sfreq"] == before.info["sfreq"]
        eeg = scipy.io.loadmat(path, squeeze_me=True, struct_as_record=False)["EEG"]
        told = json.loads(eeg.etc.autoreject.json)
        assert (told["job"], told["type"]) == (job["id"], "fit")
        assert told["result"]["bad_epochs"] == result["bad_epochs"]
        labels = api.get(f"/v1/jobs/{job['id']}/result/labels.npy").array()
        np.testing.assert_array_equal(eeg.etc.autoreject.labels.T, labels)
        return epochs, eeg

    @pytest.mark.parametrize("container", ["v7", "v7.3"])
    def test_of_a_set(self, api, tmp_path, container):
        eeg_set(tmp_path / "x.set", container)
        before = mne.read_epochs_eeglab(tmp_path / "x.set")
        job, result = self.fit(api, post(api, tmp_path / "x.set").json())
        epochs, eeg = self.check(api, job, result, tmp_path, before)
        kept = [e for e in range(len(before)) if e not in result["bad_epochs"]]
        assert names_of(epochs) == [names_of(before)[e] for e in kept]
        # What the daemon knows nothing of comes from the file that was posted.
        assert eeg.history == "x = 1;" and eeg.etc.note == "kept"

    def test_of_a_set_with_an_fdt(self, api, tmp_path):
        data = eeg_set(tmp_path / "whole.set")["data"]
        eeg_set(tmp_path / "x.set", data="x.fdt")
        dataset = post(api, tmp_path / "x.set").json()
        done = post(api, data.astype("<f4").tobytes(order="F"), f"/v1/datasets/{dataset['id']}/parts").json()
        job, result = self.fit(api, done)
        _, eeg = self.check(api, job, result, tmp_path, mne.read_epochs_eeglab(tmp_path / "whole.set"))
        assert eeg.history == "x = 1;" and eeg.data.dtype == np.float32

    def test_of_other_datasets(self, api, tmp_path):
        eeg_set(tmp_path / "x.set")
        before = mne.read_epochs_eeglab(tmp_path / "x.set")
        epochs = mne.EpochsArray(before.get_data(copy=True), before.info, before.events, before.tmin, before.event_id)
        epochs.save(tmp_path / "x-epo.fif", fmt="double")
        job, result = self.fit(api, post(api, tmp_path / "x-epo.fif").json())
        epochs, _ = self.check(api, job, result, tmp_path, before)
        kept = [e for e in range(len(before)) if e not in result["bad_epochs"]]
        assert names_of(epochs) == [names_of(before)[e] for e in kept]

    def test_of_jobs_without_labels(self, api, tmp_path):
        eeg_set(tmp_path / "x.set")
        dataset = post(api, tmp_path / "x.set").json()
        job, _ = api.run({"type": "interpolate", "dataset": dataset["id"], "channels": {"E1": "all"}})
        answer = api.get(f"/v1/jobs/{job['id']}/result/cleaned.set")
        (tmp_path / "out.set").write_bytes(answer.body)
        want = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        got = mne.read_epochs_eeglab(tmp_path / "out.set").get_data(copy=True)
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-12)

    def test_where_there_is_none(self, api, tmp_path):
        eeg_set(tmp_path / "x.set")
        dataset = post(api, tmp_path / "x.set").json()
        job, _ = api.run({"type": "thresholds", "dataset": dataset["id"]})
        check_problem(api.get(f"/v1/jobs/{job['id']}/result/cleaned.set"), 404, "not-found", mentions="cleaned.set")
        check_problem(api.get(f"/v1/jobs/jb_{'0' * 22}/result/cleaned.set"), 404, "not-found")
        job, _ = self.fit(api, dataset)
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        check_problem(api.get(f"/v1/jobs/{job['id']}/result/cleaned.set"), 404, "not-found", mentions="deleted")


def thresholds_of(model):
    return {c["name"]: c["threshold"] for c in model["channels"]}


class TestModels:
    def test_a_model_as_autoreject_keeps_it(self, api, tmp_path):
        eeg_set(tmp_path / "x.set")
        dataset = post(api, tmp_path / "x.set").json()
        job, result = api.fit(dataset, cv=4, consensus=[0.5], n_interpolate=[2], random_state=1)
        model = api.get(f"/v1/models/{result['model']}").json()
        for gone in False, True:
            if gone:  # then the model alone has to do
                assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
            answer = api.get(f"/v1/models/{model['id']}/model.h5")
            assert answer.status == 200, answer
            assert 'filename="model.h5"' in answer.headers["Content-Disposition"]
            (tmp_path / "model.h5").write_bytes(answer.body)
            theirs = autoreject.read_auto_reject(tmp_path / "model.h5")
            assert {k: float(v) for k, v in theirs.threshes_.items()} == thresholds_of(model)
            log = theirs.get_reject_log(mne.read_epochs_eeglab(tmp_path / "x.set"))
            assert np.flatnonzero(log.bad_epochs).tolist() == result["bad_epochs"]
            assert theirs.dots is None
        # And back.
        answer = post(api, tmp_path / "model.h5", "/v1/models")
        assert answer.status == 201, answer
        again = answer.json()
        assert answer.headers["Location"] == f"/v1/models/{again['id']}"
        assert (again["job"], again["dataset"]) == (None, None)
        assert thresholds_of(again) == thresholds_of(model) and again["types"] == model["types"]
        assert api.get(f"/v1/models/{again['id']}").json() == again
        assert again in api.listed("models")
        assert api.delete(f"/v1/models/{again['id']}").status == 204

    def test_a_model_of_autoreject_is_applied(self, api, tmp_path):
        eeg_set(tmp_path / "x.set", n_epochs=20)
        epochs = mne.read_epochs_eeglab(tmp_path / "x.set")
        ar = autoreject.AutoReject(n_interpolate=[1, 2], consensus=[0.3, 0.6], cv=4, random_state=1, n_jobs=1, verbose=False)
        cleaned, log = ar.fit(epochs).transform(epochs, return_log=True)
        ar.save(tmp_path / "theirs.h5")
        answer = post(api, tmp_path / "theirs.h5", "/v1/models")
        assert answer.status == 201, answer
        model = answer.json()
        assert thresholds_of(model) == {k: float(v) for k, v in ar.threshes_.items()}
        dataset = post(api, tmp_path / "x.set").json()
        job, result = api.run({"type": "apply", "dataset": dataset["id"], "model": model["id"]})
        assert result["bad_epochs"] == np.flatnonzero(log.bad_epochs).tolist()
        got = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        np.testing.assert_allclose(got, cleaned.get_data(copy=True), rtol=1e-6, atol=1e-12)

    @pytest.mark.usefixtures("unchanged")
    def test_files_that_are_wrong(self, api, tmp_path):
        eeg_set(tmp_path / "x.set", "v7.3")
        autoreject.AutoReject().save(tmp_path / "unfitted.h5")
        with h5py.File(tmp_path / "link.h5", "w") as file:
            file["autoreject"] = h5py.ExternalLink("unfitted.h5", "/autoreject")
        whole = (tmp_path / "unfitted.h5").read_bytes()
        for body, words in (
            (b"", "file"),
            (b"{}", "file"),
            (whole[:3000], "file"),
            (whole, "fitted"),
            ((tmp_path / "x.set").read_bytes(), ""),
            ((tmp_path / "link.h5").read_bytes(), "links"),
        ):
            check_problem(post(api, body, "/v1/models"), 422, "invalid-value", mentions=words)
        check_problem(api.request("POST", "/v1/models", b"x", {"Content-Type": "text/plain"}), 415, "unsupported-media-type")
        check_problem(api.get(f"/v1/models/md_{'0' * 22}/model.h5"), 404, "not-found")

    def test_a_file_that_is_too_long(self, own_daemon):
        daemon = own_daemon("--max-json-bytes", "1024")
        check_problem(post(daemon.api, bytes(2000), "/v1/models"), 413, "too-large")


def meg_case(name):
    folder = ROOT / "tests/parity/data_meg" / name
    return np.load(folder / "epochs.npy"), json.loads((folder / "meta.json").read_text())


class TestMegModels:
    def test_the_products_of_lead_fields_are_in_it(self, api, tmp_path):
        data, meta = meg_case("meg_triplets")
        info = mne.create_info(meta["ch_names"], meta["sfreq"], meta["ch_types"])
        with info._unlock():
            info["dev_head_t"] = mne.Transform("meg", "head", np.array(meta["dev_head_t"]))
        for ch, loc, coil, place in zip(info["chs"], meta["loc"], meta["coil_type"], meta["ch_pos"]):
            if loc is not None and None not in loc:
                ch["loc"][:] = loc
            if place is not None and None not in place and ch["kind"] == mne.io.constants.FIFF.FIFFV_EEG_CH:
                ch["loc"][:3] = place
            if coil is not None:
                ch["coil_type"] = coil
        info["bads"] = meta["bads"]
        epochs = mne.EpochsArray(data, info, tmin=meta["tmin"])
        epochs.save(tmp_path / "x-epo.fif", fmt="double")
        epochs = mne.read_epochs(tmp_path / "x-epo.fif")
        dataset = post(api, tmp_path / "x-epo.fif").json()
        _, result = api.fit(dataset, cv=4, consensus=[0.5], n_interpolate=[2], random_state=1, meg_legendre="exact")
        answer = api.get(f"/v1/models/{result['model']}/model.h5")
        assert answer.status == 200, answer
        (tmp_path / "model.h5").write_bytes(answer.body)
        theirs = autoreject.read_auto_reject(tmp_path / "model.h5")
        want = autoreject.utils._compute_dots(mne.pick_info(epochs.info, mne.pick_types(epochs.info, meg=True, exclude=[])), templates=None)
        for ours, other in zip(theirs.dots, want):
            np.testing.assert_allclose(ours, other, rtol=0, atol=1e-9 * np.abs(other).max())
        cleaned, log = theirs.transform(epochs, return_log=True)
        assert np.flatnonzero(log.bad_epochs).tolist() == result["bad_epochs"]
        again = post(api, tmp_path / "model.h5", "/v1/models")
        assert again.status == 201, again
        model = api.get(f"/v1/models/{result['model']}").json()
        assert thresholds_of(again.json()) == thresholds_of(model)
        # Without the dataset they cannot be told any more.
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        (tmp_path / "model.h5").write_bytes(api.get(f"/v1/models/{result['model']}/model.h5").body)
        assert autoreject.read_auto_reject(tmp_path / "model.h5").dots is None


def test_samples_that_are_too_many(own_daemon, tmp_path):
    """A small file may hold many: compressed, or as singles that become doubles."""
    daemon = own_daemon("--max-upload-bytes", "20K")
    eeg_set(tmp_path / "x.set", "v7")
    assert (tmp_path / "x.set").stat().st_size < 20 << 10
    answer = post(daemon.api, tmp_path / "x.set")
    check_problem(answer, 422, "invalid-samples", mentions="max-upload-bytes")
    assert leftovers(daemon) == []


def test_several_at_the_same_time(api, daemon, tmp_path):
    """Each has a folder of its own, and readers neither see nor stop each other."""
    bodies = []
    for i in range(8):
        eeg_set(tmp_path / "x.set", ["v6", "v7", "v7.3"][i % 3], loud=i)
        bodies.append((tmp_path / "x.set").read_bytes())
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda body: post(api, body), bodies))
    assert [a.status for a in answers] == [201] * 8, answers
    assert len({a.json()["sha256"] for a in answers}) == 8
    assert leftovers(daemon) == []
