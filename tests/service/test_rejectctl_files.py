"""rejectctl with files of epochs and reject logs, and with the jobs other than fits."""

import http.server
import json
import os
import pty
import subprocess
import threading
from urllib.parse import parse_qs, urlparse

import autoreject
import mne
import numpy as np
import pytest
from daemon import PATIENCE, SANITIZED, program
from samples import noise
from test_convert import eeg_set
from test_files import epochs_of, saved
from test_rejectctl import OK, REFUSED, USAGE, ctl, one_line, run  # noqa: F401 (a fixture)

mne.set_log_level("ERROR")


def archive(folder, **changes):
    data = noise(6, 4, 25, seed=2)
    members = {"data": data, "ch_names": ["Fp1", "Fp2", "Cz", "EOG"], "ch_types": ["eeg"] * 3 + ["eog"],
               "sfreq": 250.0} | changes  # fmt: skip
    path = folder / "x.npz"
    np.savez(path, **members)
    return path


def show(api, done):
    """The dataset whose id was printed."""
    return api.get(f"/v1/datasets/{done.stdout.split()[-1]}").json()


class TestUpload:
    @pytest.mark.parametrize("name", ["x-epo.fif", "x-epo.fif.gz"])
    def test_fif(self, ctl, api, tmp_path, name):
        epochs = epochs_of(noise(8, 6, 30))
        dataset = show(api, ctl("upload", saved(epochs, tmp_path, name), "--name", "süd & nord/1"))
        assert dataset["state"] == "ready" and dataset["name"] == "süd & nord/1"
        assert [c["name"] for c in dataset["channels"]] == epochs.ch_names

    def test_npz(self, ctl, api, tmp_path):
        done = ctl("upload", archive(tmp_path), "--json")
        dataset = api.get(f"/v1/datasets/{json.loads(done.stdout)['dataset']}").json()
        assert dataset["state"] == "ready" and dataset["n_channels"] == 4

    @pytest.mark.parametrize("name", ["x.fdt", "old name.fdt"])
    def test_set_and_its_fdt(self, ctl, api, tmp_path, name):
        data = eeg_set(tmp_path / "whole.set")["data"]
        eeg_set(tmp_path / "x.set", data=name)
        one_line(ctl("upload", tmp_path / "x.set", code=USAGE), name)
        (tmp_path / "x.fdt").write_bytes(data.astype("<f4").tobytes(order="F"))
        whole, two = (show(api, ctl("upload", tmp_path / file)) for file in ("whole.set", "x.set"))
        assert two["state"] == "ready" and two["sha256"] == whole["sha256"]
        assert not [d for d in api.listed("datasets") if d["state"] != "ready"]

    def test_by_first_bytes(self, ctl, api, tmp_path):
        epochs = epochs_of(noise(8, 6, 30))
        for made in (saved(epochs, tmp_path), saved(epochs, tmp_path, "y-epo.fif.gz"), archive(tmp_path)):
            plain = made.rename(tmp_path / "recording")
            assert show(api, ctl("upload", plain))["state"] == "ready"

    def test_parts_follow_by_themselves(self, ctl, api, tmp_path, monkeypatch):
        epochs = epochs_of(noise(12, 6, 20000, seed=5))
        first = saved(epochs, tmp_path, "long-epo.fif", fmt="double", split_size="4MB")
        assert len(list(tmp_path.glob("long-epo*.fif"))) >= 3
        dataset = show(api, ctl("upload", first))
        assert (dataset["state"], dataset["n_epochs"], dataset["next_part"]) == ("ready", 12, None)
        monkeypatch.chdir(tmp_path)
        assert show(api, ctl("upload", "long-epo.fif"))["sha256"] == dataset["sha256"]

    def test_a_part_that_is_missing_or_wrong(self, ctl, api, tmp_path):
        before = api.listed("datasets")
        epochs = epochs_of(noise(12, 6, 20000, seed=5))
        first = saved(epochs, tmp_path, "long-epo.fif", fmt="double", split_size="4MB")
        second = tmp_path / "long-epo-1.fif"
        content = second.read_bytes()
        second.unlink()
        one_line(ctl("upload", first, code=USAGE), second, "not there")
        second.write_bytes(content[: len(content) // 2])
        one_line(ctl("upload", first, code=REFUSED), second, "cut off")
        saved(epochs_of(noise(3, 5, 200)), tmp_path, "long-epo-1.fif")
        one_line(ctl("upload", first, code=REFUSED), second, "another recording")
        assert api.listed("datasets") == before, "what was refused is still there"

    @pytest.mark.skipif(SANITIZED, reason="sanitizers use memory of their own")
    def test_a_large_file_is_never_whole_in_memory(self, daemon, tmp_path):
        path = saved(epochs_of(np.zeros((100, 10, 10000))), tmp_path, fmt="double")
        assert path.stat().st_size > 80e6
        # Allocations are limited, since the peak that the kernel reports begins as that of pytest.
        upload = f"ulimit -d 40000 && exec {program('rejectctl')} --server http://127.0.0.1:{daemon.port} upload {path}"
        done = subprocess.run(["sh", "-c", upload], capture_output=True, timeout=60 * PATIENCE)
        assert done.returncode == OK, done

    def test_errors(self, ctl, api, tmp_path):
        before = api.listed("datasets")
        one_line(ctl("upload", tmp_path / "none-epo.fif", code=USAGE), "none-epo.fif")
        good = saved(epochs_of(noise(4, 5, 20)), tmp_path)
        (tmp_path / "cut-epo.fif").write_bytes(good.read_bytes()[:-200])
        one_line(ctl("upload", tmp_path / "cut-epo.fif", code=REFUSED), "cut-epo.fif", "cut off")
        (tmp_path / "no-epo.fif").write_bytes(b"GIF89a" + bytes(100))
        one_line(ctl("upload", tmp_path / "no-epo.fif", code=REFUSED), "no-epo.fif", "first bytes")
        one_line(ctl("upload", good, "--metadata", good, code=USAGE), "metadata")
        (tmp_path / "x.json").write_text("{}")
        one_line(ctl("upload", tmp_path / "x.json", "--name", "x", code=USAGE), "--name")
        assert api.listed("datasets") == before


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Ten electrodes that see one source, but for C4, which sees another one; epoch 3 is loud."""
    rng = np.random.default_rng(7)
    data = 10e-6 * rng.standard_normal((14, 1, 40)) + 2e-6 * rng.standard_normal((14, 10, 40))
    data[:, 5] = 10e-6 * rng.standard_normal((14, 40))
    data[3] *= 20.0
    return saved(epochs_of(data), tmp_path_factory.mktemp("recording"), fmt="double")


@pytest.fixture(scope="module")
def uploaded(daemon, recording):
    answer = daemon.api.request("POST", "/v1/datasets", body=recording.read_bytes(),
                                headers={"Content-Type": "application/octet-stream"})  # fmt: skip
    assert answer.status == 201, answer
    return answer.json()


@pytest.fixture(scope="module")
def fitted(daemon, uploaded):
    """The job of a fit, and its result."""
    return daemon.api.fit(uploaded, cv=4, consensus=[0.5], n_interpolate=[2], random_state=1)


class TestJobs:
    def printed(self, ctl, api, *arguments):
        """The result as --json prints it, which is the server's, and the job."""
        printed = json.loads(ctl(*arguments, "--json").stdout)
        job = api.job(printed["job"])
        assert printed["dataset"] == job["dataset"]
        assert printed["result"] == api.get(job["result"]).json()
        return printed["result"], job

    def test_thresholds(self, ctl, api, recording, uploaded):
        result, job = self.printed(ctl, api, "thresholds", uploaded["id"], "--thresh-method", "random_search",
                                   "--random-state", 1, "--augment", "false", "--picks", "eeg",
                                   "--precision", "float64", "--meg-legendre", "exact")  # fmt: skip
        assert job["type"] == "thresholds" and job["parameters"] == {
            "thresh_method": "random_search", "random_state": 1, "augment": False, "picks": ["eeg"],
            "precision": "float64", "meg_legendre": "exact"}  # fmt: skip
        theirs = autoreject.compute_thresholds(mne.read_epochs(recording), method="random_search", random_state=1,
                                               augment=False, verbose=False)  # fmt: skip
        assert result["thresholds"] == pytest.approx(theirs)
        table = ctl("thresholds", recording, "--thresh-method", "random_search").stdout
        assert "uV" in table and "9 eeg channels" in table, table
        one_line(ctl("thresholds", uploaded["id"], "--augment", "maybe", code=USAGE), "--augment", "maybe")

    def test_ransac(self, ctl, api, uploaded):
        result, job = self.printed(ctl, api, "ransac", uploaded["id"], "--n-resample", 40, "--min-channels", 0.4,
                                   "--min-corr", "0.7", "--unbroken-time", "0.5", "--random-state", 3,
                                   "--picks", "eeg", "--priority", 2)  # fmt: skip
        assert job["type"] == "ransac" and job["priority"] == 2
        assert job["parameters"] == {"n_resample": 40, "min_channels": 0.4, "min_corr": 0.7, "unbroken_time": 0.5,
                                     "random_state": 3, "picks": ["eeg"]}  # fmt: skip
        assert result["bad_channels"] == ["C4"]
        table = ctl("ransac", uploaded["id"]).stdout
        assert "bad channels" in table and "1 of 9: C4" in table, table

    def test_global_thresholds(self, ctl, api, recording, uploaded):
        result, job = self.printed(ctl, api, "global-thresholds", uploaded["id"], "--ch-types", "eeg",
                                   "--decim", 2, "--cv", 5, "--random-state", 1)  # fmt: skip
        assert job["type"] == "global_thresholds"
        assert job["parameters"] == {"ch_types": ["eeg"], "decim": 2, "cv": 5, "random_state": 1}
        line = next(x for x in ctl("global-thresholds", uploaded["id"], "--decim", 2).stdout.splitlines() if "eeg" in x)
        assert line.split()[2] == "uV"
        assert float(line.split()[1]) == pytest.approx(result["reject"]["eeg"] * 1e6, rel=1e-3)

    def test_validation_curve(self, ctl, api, recording, uploaded):
        result, job = self.printed(ctl, api, "validation-curve", uploaded["id"],
                                   "--param-range", "1e-9,30e-6,60e-6,2e-3", "--cv", 4)  # fmt: skip
        assert job["type"] == "validation_curve"
        assert job["parameters"] == {"param_range": [1e-9, 30e-6, 60e-6, 2e-3], "cv": 4}
        lines = ctl("validation-curve", uploaded["id"], "--param-range", "1e-9,30e-6,60e-6,2e-3", "--cv", 4)
        lines = [line.split() for line in lines.stdout.splitlines()]
        start = next(i for i, words in enumerate(lines) if words[:1] == ["threshold"]) + 1
        for words, value, train, test in zip(lines[start:], *(result[k] for k in
                                             ("param_range", "train_scores", "test_scores"))):  # fmt: skip
            assert float(words[0]) == pytest.approx(value * 1e6, rel=1e-3) and words[1] == "uV"
            if None in test:
                assert "-inf" in words
            else:
                assert float(words[2]) == pytest.approx(np.mean(train) * 1e6, rel=1e-3)
                assert float(words[4]) == pytest.approx(np.mean(test) * 1e6, rel=1e-3)
        assert sum("best" in words for words in lines) == 1

    def test_units(self, ctl, api):
        kinds = ["mag"] * 3 + ["grad"] * 3 + ["eeg"] * 3
        data = noise(10, 9, 20, seed=4) * np.array([1e-7] * 3 + [1e-6] * 3 + [1.0] * 3)[:, None]
        channels = [{"name": f"{kind}{i}", "type": kind} for i, kind in enumerate(kinds)]
        dataset = api.upload({"sfreq": 100, "n_epochs": 10, "n_times": 20, "channels": channels}, data)
        done = json.loads(ctl("global-thresholds", dataset["id"], "--json").stdout)["result"]["reject"]
        lines = [line.split() for line in ctl("global-thresholds", dataset["id"]).stdout.splitlines()]
        for kind, unit, factor in (("mag", "fT", 1e15), ("grad", "fT/cm", 1e13), ("eeg", "uV", 1e6)):
            (words,) = (words for words in lines if words[:1] == [kind])
            assert words[2] == unit and float(words[1]) == pytest.approx(done[kind] * factor, rel=1e-3)
        # Thresholds of a curve are for all types at once: there is no unit to state them in.
        assert "uV" not in ctl("validation-curve", dataset["id"]).stdout
        table = ctl("thresholds", dataset["id"], "--augment", "false", "--thresh-method", "random_search").stdout
        assert all(words in table for words in ("fT (mag", "fT/cm (grad", "uV (eeg", "3 grad channels")), table

    def test_interpolate(self, ctl, api, uploaded):
        result, job = self.printed(ctl, api, "interpolate", uploaded["id"], "--channel", "C4",
                                   "--channel", "Fp2=3,5,9", "--channel", "F3=all")  # fmt: skip
        assert result["interpolated"] == {"C4": 14, "Fp2": 3, "F3": 14}
        assert job["parameters"]["channels"] == {"C4": "all", "Fp2": [3, 5, 9], "F3": "all"}
        table = ctl("interpolate", uploaded["id"], "--channel", "Fp2=3,5,9").stdout
        assert "Fp2" in table and "3 of 14 epochs" in table, table
        result, job = self.printed(ctl, api, "interpolate", uploaded["id"], "--each", "--picks", "C4,Fp2,F3,Fp1",
                                   "--origin", "0,0.01,0.04")  # fmt: skip
        assert result["interpolated"] == {"Fp1": 14, "Fp2": 14, "F3": 14, "C4": 14}
        assert job["parameters"] == {"channels": "each", "picks": ["C4", "Fp2", "F3", "Fp1"], "origin": [0, 0.01, 0.04]}

    def test_not_waiting(self, ctl, api, uploaded):
        done = ctl("ransac", uploaded["id"], "--no-wait", "--json")
        assert api.finish(json.loads(done.stdout)["job"])["state"] == "succeeded"

    def test_a_file_is_uploaded_first(self, ctl, api, recording):
        done = json.loads(ctl("interpolate", recording, "--channel", "Fp1", "--name", "mine", "--json").stdout)
        assert api.get(f"/v1/datasets/{done['dataset']}").json()["name"] == "mine"

    def test_wrong_values(self, ctl, uploaded):
        one_line(ctl("interpolate", uploaded["id"], code=USAGE), "--channel", "--each")
        one_line(ctl("interpolate", uploaded["id"], "--each", "--channel", "Fp1", code=USAGE), "--channel", "--each")
        one_line(ctl("interpolate", uploaded["id"], "--each", "--origin", "0,0,z", code=USAGE), "--origin")
        one_line(ctl("interpolate", uploaded["id"], "--each", "--origin", "0,0", code=REFUSED), "origin")
        one_line(ctl("interpolate", uploaded["id"], "--channel", "Fp1=a", code=USAGE), "--channel", "a")
        one_line(ctl("interpolate", uploaded["id"], "--channel", "=3", code=USAGE), "--channel")
        one_line(ctl("interpolate", uploaded["id"], "--channel", "Nose", code=REFUSED), "Nose")
        one_line(ctl("interpolate", uploaded["id"], "--channel", "Fp1=14", code=REFUSED), "Fp1", "13")
        one_line(ctl("interpolate", uploaded["id"], "--channel", "Fp1", "--channel", "Fp1=2", code=REFUSED), "Fp1")
        one_line(ctl("ransac", uploaded["id"], "--min-corr", "much", code=USAGE), "--min-corr", "much")
        one_line(ctl("ransac", uploaded["id"], "--min-corr", 2, code=REFUSED), "min_corr")
        one_line(ctl("global-thresholds", uploaded["id"], "--ch-types", "nose", code=REFUSED), "ch_types")
        one_line(ctl("validation-curve", uploaded["id"], "--param-range", "1,,2", code=USAGE), "--param-range")
        one_line(ctl("thresholds", code=USAGE), "thresholds needs")


class TestRejectLog:
    def log_of(self, uploaded, result):
        labels = np.array(result["labels"], float)
        labels[labels < 0] = np.nan
        bad = np.isin(np.arange(len(labels)), result["bad_epochs"])
        return autoreject.RejectLog(bad, labels, [c["name"] for c in uploaded["channels"]])

    @pytest.mark.parametrize("reverse", [False, True])
    def test_an_edited_log(self, ctl, api, uploaded, fitted, tmp_path, reverse):
        _, result = fitted
        log = self.log_of(uploaded, result)
        assert 3 in result["bad_epochs"]
        log.bad_epochs[:4] = [False, True, False, False]
        log.labels[0, :2] = [2, 0]
        want = np.where(np.isnan(log.labels), -1, log.labels).astype(int)
        if reverse:
            log = autoreject.RejectLog(log.bad_epochs, log.labels[:, ::-1], log.ch_names[::-1])
        log.save(tmp_path / "edited.npz", overwrite=True)
        done = ctl("apply", uploaded["id"], "--model", result["model"], "--reject-log", tmp_path / "edited.npz", "--json")
        printed = json.loads(done.stdout)
        assert printed["result"]["labels"] == want.tolist()
        assert printed["result"]["bad_epochs"] == np.flatnonzero(log.bad_epochs).tolist()
        parameters = api.job(printed["job"])["parameters"]
        assert parameters["reject_log"]["labels"] == want.tolist()

    def test_logs_that_do_not_fit(self, ctl, api, uploaded, fitted, tmp_path):
        _, result = fitted
        log = self.log_of(uploaded, result)
        names, path = list(log.ch_names), tmp_path / "edited.npz"
        before = api.listed("jobs")

        def refused(bad_epochs, labels, ch_names, *words):
            autoreject.RejectLog(bad_epochs, labels, ch_names).save(path, overwrite=True)
            done = ctl("apply", uploaded["id"], "--model", result["model"], "--reject-log", path, code=USAGE)
            one_line(done, path, *words)

        refused(log.bad_epochs, log.labels, ["Nose", *names[1:]], names[0], uploaded["id"])
        refused(log.bad_epochs, log.labels[:, 1:], names[1:], names[0])
        refused(log.bad_epochs, np.c_[log.labels, log.labels[:, 0]], [*names, "Nose"], "11 channels", "10")
        refused(log.bad_epochs[1:], log.labels[1:], names, "13 epochs", "14")
        wrong = log.labels.copy()
        wrong[2, 1] = 7
        refused(log.bad_epochs, wrong, names, "labels[2][1]")
        path.write_bytes(b"PK")
        one_line(ctl("apply", uploaded["id"], "--model", "md_x", "--reject-log", path, code=USAGE), path)
        one_line(ctl("apply", uploaded["id"], "--model", "md_x", "--reject-log", tmp_path / "none", code=USAGE), "none")
        assert api.listed("jobs") == before


class TestDownload:
    def test_results_of_a_fit(self, ctl, api, recording, fitted, tmp_path):
        job, result = fitted
        ctl("download", job["id"], "reject_log.npz", tmp_path / "log.npz")
        log = autoreject.read_reject_log(tmp_path / "log.npz")
        np.testing.assert_array_equal(np.where(np.isnan(log.labels), -1, log.labels), result["labels"])
        ctl("download", job["id"], "cleaned.npy", tmp_path / "cleaned.npy")
        done = ctl("download", job["id"], "cleaned-epo.fif", tmp_path / "clean-epo.fif")
        assert done.stdout == ""
        cleaned = mne.read_epochs(tmp_path / "clean-epo.fif")
        np.testing.assert_allclose(cleaned.get_data(copy=True), np.load(tmp_path / "cleaned.npy"), rtol=1e-6, atol=1e-12)
        assert len(cleaned) == 14 - len(result["bad_epochs"])
        assert sorted(p.name for p in tmp_path.iterdir()) == ["clean-epo.fif", "cleaned.npy", "log.npz"]

    def test_into_a_folder(self, ctl, fitted, tmp_path, monkeypatch):
        job, _ = fitted
        done = ctl("download", job["id"], "cleaned-epo.fif", tmp_path)
        assert done.stdout == f"{tmp_path}/cleaned-epo.fif\n"
        assert len(mne.read_epochs(tmp_path / "cleaned-epo.fif")) > 5
        done = ctl("download", job["id"], "result", tmp_path, "--json")
        assert json.loads(done.stdout) == {"files": [f"{tmp_path}/result.json"]}
        assert json.loads((tmp_path / "result.json").read_text())["labels"]
        monkeypatch.chdir(tmp_path)
        ctl("download", job["id"], "labels", "here.npy")
        assert np.load("here.npy").shape == (14, 10)

    def test_correlations(self, ctl, api, uploaded, tmp_path):
        job, result = api.run({"type": "ransac", "dataset": uploaded["id"]})
        ctl("download", job["id"], "correlations.npy", tmp_path / "c.npy")
        correlations = np.load(tmp_path / "c.npy")
        assert correlations.shape == (14, len(result["channels"]))
        assert correlations[:, result["channels"].index("C4")].max() < correlations[:, 0].min()
        one_line(ctl("download", job["id"], "labels.npy", tmp_path / "l.npy", code=REFUSED), "labels.npy")
        one_line(ctl("download", job["id"], "colours", tmp_path / "l.npy", code=USAGE), "colours")
        one_line(ctl("download", job["id"], "result", tmp_path / "none" / "x", code=USAGE), "none")
        one_line(ctl("download", job["id"], "result", str(tmp_path / "none") + "/", code=USAGE), "none")
        assert [p.name for p in tmp_path.iterdir()] == ["c.npy"]

    def test_not_of_datasets_without_fif(self, ctl, api, tmp_path):
        dataset = show(api, ctl("upload", archive(tmp_path)))["id"]
        job = json.loads(ctl("global-thresholds", dataset, "--json").stdout)["job"]
        one_line(ctl("download", job, "cleaned-epo.fif", tmp_path / "x-epo.fif", code=REFUSED), "cleaned-epo.fif")


class TestDividedDownload:
    """Only recordings of gigabytes are divided: a server that answers as for one of them."""

    @pytest.fixture
    def fake(self):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                part = int(parse_qs(urlparse(self.path).query).get("part", ["1"])[0])
                if part > len(self.server.parts):
                    self.send_error(404)
                    return
                name, body = self.server.parts[part - 1]
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.send_header("Content-Disposition", f'attachment; filename="{name}"')
                self.send_header("Rejectd-Parts", str(self.server.n_parts))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments):
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        def answers(parts, n_parts=None):
            server.parts, server.n_parts = parts, n_parts or len(parts)

        answers.url = f"http://127.0.0.1:{server.server_port}"
        yield answers
        server.shutdown()
        server.server_close()

    def download(self, fake, target, code=OK):
        done = run("download", "jb_x", "cleaned-epo.fif", target, server=fake.url)
        assert done.returncode == code, done
        return done

    def test_all_parts(self, fake, tmp_path):
        epochs = epochs_of(noise(12, 6, 20000, seed=5))
        (tmp_path / "from").mkdir()
        saved(epochs, tmp_path / "from", "cleaned-epo.fif", fmt="double", split_size="4MB")
        count = len(list((tmp_path / "from").iterdir()))
        names = ["cleaned-epo.fif", *(f"cleaned-epo-{i}.fif" for i in range(1, count))]
        assert count >= 3
        fake([(name, (tmp_path / "from" / name).read_bytes()) for name in names])
        for folder, target in (("a", "a"), ("b", "b/cleaned-epo.fif")):
            (tmp_path / folder).mkdir()
            done = self.download(fake, tmp_path / target)
            assert done.stdout.split() == [str(tmp_path / folder / name) for name in names]
            assert sorted(p.name for p in (tmp_path / folder).iterdir()) == sorted(names)
            got = mne.read_epochs(tmp_path / folder / "cleaned-epo.fif")
            np.testing.assert_array_equal(got.get_data(copy=True), epochs.get_data(copy=True))

    def test_nothing_is_left_when_a_part_fails(self, fake, tmp_path):
        fake([("cleaned-epo.fif", b"1"), ("cleaned-epo-1.fif", b"2")], n_parts=3)
        one_line(self.download(fake, tmp_path, REFUSED))
        fake([("cleaned-epo.fif", b"1"), ("cleaned-epo-1.fif", b"2")])
        one_line(self.download(fake, tmp_path / "my-epo.fif", USAGE), "2 files", "my-epo.fif")
        one_line(self.download(fake, "-", USAGE), "2 files")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("name", ["../up.fif", "/tmp/up.fif", "..", "", "a\\b.fif"])
    def test_the_server_chooses_no_folder(self, fake, tmp_path, name):
        (tmp_path / "in").mkdir()
        fake([("cleaned-epo.fif", b"1"), (name, b"2")])
        one_line(self.download(fake, tmp_path / "in", USAGE), "part 2")
        assert [p.name for p in tmp_path.rglob("*")] == ["in"]
        fake([(name, b"2")])
        self.download(fake, tmp_path / "in")
        assert [p.name for p in tmp_path.rglob("*")] == ["in", "cleaned-epo.fif"]


def test_a_bar_for_files(daemon, recording):
    leader, follower = pty.openpty()
    child = subprocess.Popen([program("rejectctl"), "--server", f"http://127.0.0.1:{daemon.port}", "upload",
                              str(recording)], stdout=subprocess.PIPE, stderr=follower)  # fmt: skip
    os.close(follower)
    printed, _ = child.communicate(timeout=20 * PATIENCE)
    seen = os.read(leader, 65536)
    os.close(leader)
    assert child.returncode == OK and printed.startswith(b"ds_")
    assert b"uploading" in seen and b"100 %" in seen, seen


def test_eeglab_and_models_both_ways(ctl, api, tmp_path):
    eeg_set(tmp_path / "x.set")
    job = json.loads(ctl("fit", tmp_path / "x.set", "--cv", "4", "--json").stdout)
    ctl("download", job["job"], "cleaned.set", tmp_path / "cleaned.set")
    kept = len(mne.read_epochs_eeglab(tmp_path / "cleaned.set"))
    assert kept == 14 - len(job["result"]["bad_epochs"])
    ctl("download", job["result"]["model"], "model.h5", tmp_path)
    theirs = autoreject.read_auto_reject(tmp_path / "model.h5")
    assert theirs.threshes_ == pytest.approx(job["result"]["thresholds"], rel=1e-12)
    model = json.loads(ctl("upload", tmp_path / "model.h5", "--json").stdout)["model"]
    assert api.get(f"/v1/models/{model}").json()["job"] is None
    one_line(ctl("download", model, "cleaned.set", tmp_path, code=USAGE), "cleaned.set")
    (tmp_path / "no.h5").write_bytes(b"no")
    one_line(ctl("upload", tmp_path / "no.h5", code=REFUSED), "no.h5")
