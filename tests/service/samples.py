"""Epochs for the service tests: small made-up ones, and cases with autoreject's answers."""

import json
import os
from pathlib import Path

import numpy as np

from daemon import ROOT

COMMITTED = ROOT / "tests" / "parity" / "data"
GOLDEN = Path(os.environ.get("REJECTD_GOLDEN_DIR", ROOT.parent / "shared" / "golden"))


def positions(n_channels):
    """Points spread over the upper half of a head, 9 cm from its centre."""
    index = np.arange(n_channels) + 0.5
    z = 1.0 - index / n_channels
    angle = np.pi * (1.0 + 5.0**0.5) * index
    ring = np.sqrt(1.0 - z * z)
    return 0.09 * np.stack([ring * np.cos(angle), ring * np.sin(angle), z], axis=1)


def description(n_epochs=12, n_channels=6, n_times=20, dtype="float64", **changes):
    """A dataset as it is posted, without data."""
    return {
        "name": "made up",
        "sfreq": 100.0,
        "tmin": -0.1,
        "n_epochs": n_epochs,
        "n_times": n_times,
        "dtype": dtype,
        "channels": [
            {"name": f"E{i}", "type": "eeg", "position": [float(x) for x in place]}
            for i, place in enumerate(positions(n_channels))
        ],
    } | changes


def noise(n_epochs=12, n_channels=6, n_times=20, dtype="float64", seed=0):
    """Noise in volts with some loud sensors, so that a fit has something to find."""
    rng = np.random.default_rng(seed)
    data = 10e-6 * rng.standard_normal((n_epochs, n_channels, n_times))
    loud = rng.random((n_epochs, n_channels)) < 0.15
    data[loud] *= 8.0
    return data.astype(dtype)


class Case:
    """Epochs with what autoreject said about them, as make_reference.py writes them."""

    def __init__(self, folder):
        self.name = folder.name
        self.data = np.load(folder / "epochs.npy")
        self.meta = json.loads((folder / "meta.json").read_text())
        self.expected = json.loads((folder / "expected" / "expected.json").read_text())
        self._folder = folder

    def array(self, name):
        return np.load(self._folder / "expected" / f"{name}.npy")

    def description(self):
        meta = self.meta
        channels = [
            {"name": name, "type": kind, "bad": name in meta["bads"]}
            | ({"position": place} if place is not None and None not in place else {})
            for name, kind, place in zip(meta["ch_names"], meta["ch_types"], meta["ch_pos"])
        ]
        keys = ("name", "sfreq", "tmin", "n_epochs", "n_times", "dtype")
        return {key: meta[key] for key in keys} | {"channels": channels}

    def parameters(self):
        """The fit parameters that autoreject had, as far as they are not its defaults."""
        params = self.expected["autoreject"]["params"]
        return {key: params[key] for key in ("n_interpolate", "consensus", "cv", "random_state")}

    def thresholds(self):
        return dict(zip(self.expected["pick_names"], map(float, self.array("thresholds_bayes"))))


def eeg_cases():
    """Folders of the EEG cases there are: the committed ones, and the golden ones if present."""
    folders = sorted(p for p in COMMITTED.iterdir() if (p / "meta.json").is_file())
    for name in ("sim_eeg_small", "eeglab_eeg", "sample_eeg"):
        if (GOLDEN / name / "meta.json").is_file():
            folders.append(GOLDEN / name)
    return folders
