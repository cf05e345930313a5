"""Files of epochs: posted as they are, and given back."""

import gzip
import io
import os
import subprocess
from pathlib import Path

import mne
import numpy as np
import pytest
from api import check_problem, npy_bytes
from samples import noise

mne.set_log_level("ERROR")
FILE = {"Content-Type": "application/octet-stream"}


def epochs_of(data, sfreq=100.0, **info_changes):
    """An EpochsArray with electrodes in their places, one of them bad, and two kinds of events."""
    names = ["Fp1", "Fp2", "F3", "F4", "C3", "C4", "P3", "P4", "O1", "O2"][: data.shape[1]]
    info = mne.create_info(names, sfreq, "eeg")
    info.set_montage("standard_1020")
    info["bads"] = [names[2]]
    events = np.c_[np.arange(len(data)) * 1000 + 7, np.zeros(len(data)), 1 + np.arange(len(data)) % 2].astype(int)
    return mne.EpochsArray(data, info, events, tmin=-0.1, event_id={"tone": 1, "click": 2})


def saved(epochs, folder, name="x-epo.fif", **options):
    path = Path(folder) / name
    epochs.save(path, overwrite=True, **options)
    return path


def post_file(api, path, query=""):
    return api.request("POST", f"/v1/datasets{query}", body=Path(path).read_bytes(), headers=FILE)


class TestFif:
    def test_a_file_becomes_a_dataset(self, api, tmp_path):
        epochs = epochs_of(noise(8, 6, 30))
        answer = post_file(api, saved(epochs, tmp_path, fmt="double"), "?name=sub-01")
        assert answer.status == 201, answer
        dataset = answer.json()
        assert answer.headers["Location"] == f"/v1/datasets/{dataset['id']}"
        assert (dataset["state"], dataset["next_part"], dataset["name"]) == ("ready", None, "sub-01")
        assert (dataset["n_epochs"], dataset["n_channels"], dataset["n_times"]) == (8, 6, 30)
        assert (dataset["sfreq"], dataset["tmin"], dataset["dtype"]) == (100.0, -0.1, "float64")
        assert [c["bad"] for c in dataset["channels"]] == [False, False, True, False, False, False]
        for channel, theirs in zip(dataset["channels"], epochs.info["chs"]):
            assert channel["name"] == theirs["ch_name"]
            np.testing.assert_allclose(channel["position"], theirs["loc"][:3], rtol=1e-6)
        assert dataset["events"] == epochs.events.tolist()
        assert dataset["event_id"] == {"tone": 1, "click": 2}
        # The same samples, posted otherwise, are the same blob.
        again = api.upload({"sfreq": 100, "n_epochs": 8, "n_times": 30,
                            "channels": [{"name": f"E{i}", "type": "eeg"} for i in range(6)]},
                           epochs.get_data(copy=True))  # fmt: skip
        assert again["sha256"] == dataset["sha256"]

    @pytest.mark.parametrize("name, options", [("x-epo.fif", {}), ("x-epo.fif.gz", {"fmt": "double"})])
    def test_cleaned_epochs_come_back_as_a_file(self, api, tmp_path, name, options):
        data = noise(14, 8, 40, seed=3)
        data[3] *= 30.0  # an epoch to be dropped
        path = saved(epochs_of(data), tmp_path, name, **options)
        epochs = mne.read_epochs(path)
        dataset = post_file(api, path).json()
        job, result = api.fit(dataset, cv=4, consensus=[0.5], n_interpolate=[2], random_state=1)
        answer = api.get(f"/v1/jobs/{job['id']}/result/cleaned-epo.fif")
        assert answer.status == 200, answer
        out = tmp_path / "cleaned-epo.fif"
        out.write_bytes(answer.body)
        cleaned = mne.read_epochs(out)
        kept = [e for e in range(len(epochs)) if e not in result["bad_epochs"]]
        assert 3 in result["bad_epochs"]
        want = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        np.testing.assert_allclose(cleaned.get_data(copy=True), want, rtol=1e-6, atol=1e-12)
        assert cleaned.info["bads"] == epochs.info["bads"]
        assert cleaned.event_id == epochs.event_id
        np.testing.assert_array_equal(cleaned.events, epochs.events[kept])
        np.testing.assert_array_equal(cleaned.selection, epochs.selection[kept])
        assert [i for i, reasons in enumerate(cleaned.drop_log) if reasons == ("AUTOREJECT",)] == result["bad_epochs"]
        assert cleaned.tmin == epochs.tmin and cleaned.info["sfreq"] == epochs.info["sfreq"]

    def test_parts_of_a_divided_recording(self, api, tmp_path):
        epochs = epochs_of(noise(12, 6, 20000, seed=5))
        first = saved(epochs, tmp_path, "long-epo.fif", fmt="double", split_size="4MB")
        parts = sorted(tmp_path.glob("long-epo*.fif"), key=lambda p: (len(p.name), p.name))
        assert len(parts) >= 3
        answer = post_file(api, first)
        dataset = answer.json()
        assert answer.status == 201, answer
        assert (dataset["state"], dataset["next_part"]) == ("awaiting_samples", parts[1].name)
        url = f"/v1/datasets/{dataset['id']}/parts"
        check_problem(api.post("/v1/jobs", {"type": "fit", "dataset": dataset["id"]}), 409, "conflict", "dataset")
        check_problem(api.put(f"/v1/datasets/{dataset['id']}/samples", b"12345678"), 409, "conflict")
        other = saved(epochs_of(noise(3, 5, 20000)), tmp_path, "other-epo.fif", fmt="double")
        check_problem(api.request("POST", url, body=other.read_bytes(), headers=FILE), 422, "invalid-samples",
                      mentions="another recording")  # fmt: skip
        for i, part in enumerate(parts[1:], 1):
            answer = api.request("POST", url, body=part.read_bytes(), headers=FILE)
            assert answer.status == 200, answer
            dataset = answer.json()
            last = i == len(parts) - 1
            assert dataset["state"] == ("ready" if last else "awaiting_samples")
            assert dataset["next_part"] == (None if last else parts[i + 1].name)
        assert dataset["n_epochs"] == len(epochs)
        assert dataset["events"] == epochs.events.tolist()
        check_problem(api.request("POST", url, body=parts[1].read_bytes(), headers=FILE), 409, "conflict")
        job, result = api.run({"type": "interpolate", "dataset": dataset["id"], "channels": {"F3": "all"}})
        got = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        want = epochs.get_data(copy=True)
        rest = [0, 1, 3, 4, 5]
        np.testing.assert_array_equal(got[:, rest], want[:, rest])
        assert not np.allclose(got[:, 2], want[:, 2])
        # And back: one file, since it is small.
        out = tmp_path / "back-epo.fif"
        out.write_bytes(api.get(f"/v1/jobs/{job['id']}/result/cleaned-epo.fif").body)
        np.testing.assert_allclose(mne.read_epochs(out).get_data(copy=True), got, rtol=1e-12)
        assert api.request("DELETE", f"/v1/datasets/{dataset['id']}").status == 204

    def test_what_is_no_file_of_epochs(self, api, tmp_path):
        good = saved(epochs_of(noise(4, 5, 20)), tmp_path).read_bytes()
        for body, words in (
            (b"", "first bytes"),
            (b"{}", "application/json"),
            (b"GIF89a" + bytes(100), "-epo.fif"),
            (good[:-200], "cut off"),
            (good[:3000], "cut off"),
            (gzip.compress(good)[:-9], "gzip"),
            (good[:20] + bytes(40) + good[60:], ""),
        ):
            answer = api.request("POST", "/v1/datasets", body=body, headers=FILE)
            assert answer.status in (415, 422), (body[:20], answer)
            problem = check_problem(answer, answer.status, answer.json()["type"].split("/")[-1])
            assert words in problem["detail"], problem

    def test_a_sample_that_is_no_number(self, api, tmp_path):
        data = noise(4, 5, 20)
        data[2, 3, 11] = np.nan
        answer = post_file(api, saved(epochs_of(data), tmp_path))
        check_problem(answer, 422, "invalid-samples", "samples", mentions=("epoch 2", "F4", "time 11"))

    def test_raw_files_are_told_apart(self, api, tmp_path):
        info = mne.create_info(3, 100.0, "eeg")
        mne.io.RawArray(np.zeros((3, 500)), info).save(tmp_path / "x_raw.fif")
        check_problem(post_file(api, tmp_path / "x_raw.fif"), 422, "invalid-samples", mentions="epochs.save")

    def test_a_client_that_vanishes_leaves_nothing(self, api, tmp_path):
        before = api.listed("datasets")
        body = saved(epochs_of(noise(20, 6, 500)), tmp_path).read_bytes()
        head = (f"POST /v1/datasets HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\n"
                f"Content-Length: {len(body)}\r\n\r\n").encode()  # fmt: skip
        api.raw(head, body[: len(body) // 2])
        assert api.listed("datasets") == before


class TestArchives:
    def archive(self, **changes):
        data = noise(6, 4, 25, seed=2)
        members = {"data": data, "ch_names": ["Fp1", "Fp2", "Cz", "EOG"], "ch_types": ["eeg"] * 3 + ["eog"],
                   "sfreq": 250.0, "tmin": -0.2, "bads": ["Cz"]} | changes  # fmt: skip
        out = io.BytesIO()
        np.savez_compressed(out, **{k: v for k, v in members.items() if v is not None})
        return data, out.getvalue()

    def test_an_archive_becomes_a_dataset(self, api):
        data, body = self.archive()
        answer = api.request("POST", "/v1/datasets?name=npz", body=body, headers=FILE)
        assert answer.status == 201, answer
        dataset = answer.json()
        assert (dataset["name"], dataset["sfreq"], dataset["tmin"]) == ("npz", 250.0, -0.2)
        assert [c["type"] for c in dataset["channels"]] == ["eeg", "eeg", "eeg", "eog"]
        assert [c["bad"] for c in dataset["channels"]] == [False, False, True, False]
        plain = api.upload({"sfreq": 1, "n_epochs": 6, "n_times": 25,
                            "channels": [{"name": str(i), "type": "misc"} for i in range(4)]}, data)  # fmt: skip
        assert plain["sha256"] == dataset["sha256"]

    def test_what_is_wrong_is_named(self, api):
        for changes, words in (({"data": None}, "data"), ({"sfreq": None}, "sfreq"),
                               ({"ch_types": ["eeg"] * 3}, "ch_types"), ({"data": noise(6, 3, 25)}, "ch_names"),
                               ({"data": np.full((6, 4, 25), np.nan)}, "data")):  # fmt: skip
            answer = api.request("POST", "/v1/datasets", body=self.archive(**changes)[1], headers=FILE)
            assert answer.status == 422 or answer.status == 400, (changes, answer)
            assert words in answer.json()["detail"] + answer.json().get("field", ""), (words, answer.json())


class TestRejectLog:
    def test_autoreject_reads_it(self, api, tmp_path):
        import autoreject

        epochs = epochs_of(noise(12, 8, 40, seed=3))
        dataset = post_file(api, saved(epochs, tmp_path)).json()
        job, result = api.fit(dataset, cv=4, random_state=1)
        answer = api.get(f"/v1/jobs/{job['id']}/result/reject_log.npz")
        assert answer.status == 200, answer
        path = tmp_path / "reject_log.npz"
        path.write_bytes(answer.body)
        log = autoreject.read_reject_log(path)
        labels = np.where(np.isnan(log.labels), -1, log.labels)
        np.testing.assert_array_equal(labels, result["labels"])
        assert np.flatnonzero(log.bad_epochs).tolist() == result["bad_epochs"]
        assert list(log.ch_names) == epochs.ch_names

    def test_only_jobs_with_labels_have_one(self, api):
        dataset = api.upload({"sfreq": 100, "n_epochs": 6, "n_times": 20,
                              "channels": [{"name": f"E{i}", "type": "eeg"} for i in range(4)]},
                             noise(6, 4, 20))  # fmt: skip
        job, _ = api.run({"type": "thresholds", "dataset": dataset["id"], "parameters": {"augment": False}})
        for name in ("reject_log.npz", "labels.npy", "cleaned.npy", "cleaned-epo.fif"):
            check_problem(api.get(f"/v1/jobs/{job['id']}/result/{name}"), 404, "not-found", mentions=name)
