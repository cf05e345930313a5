"""rejectctl with files of epochs and reject logs, and with the jobs other than fits."""

import json

import autoreject
import mne
import numpy as np
import pytest
from samples import noise
from test_files import epochs_of, saved
from test_rejectctl import REFUSED, USAGE, ctl, one_line  # noqa: F401 (a fixture)

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
