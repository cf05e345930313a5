#!/usr/bin/env python3
"""Compares protocol/'s .npz functions with NumPy and autoreject, file by file.

    npz_files.py        needs tests/requirements.txt and the program npz_tool

The build folder is $REJECTD_BUILD (default build/release). Prints "ok ..." and "FAIL ..." lines.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import autoreject
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
TOOL = Path(os.environ.get("REJECTD_BUILD", ROOT / "build/release")) / "tests/parity/npz_tool"
if not TOOL.is_absolute():
    TOOL = ROOT / TOOL

failed = 0


def report(name, good, detail=""):
    global failed
    failed += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' if detail else ''}{detail}", flush=True)


def run(kind, file, out):
    return subprocess.run([TOOL, kind, file, out], text=True, capture_output=True, check=False)


def members_of(rng, dtype, shape=(7, 5, 11)):
    n_epochs, n_channels, _ = shape
    positions = rng.normal(size=(n_channels, 3)) / 10
    positions[1] = np.nan
    return {
        "data": (rng.normal(size=shape) * 1e-6).astype(dtype),
        "ch_names": np.array([f"µ{i}" if i % 2 else f"Fp{i}" for i in range(n_channels)]),
        "ch_types": np.array((["eeg", "eog", "mag", "grad", "misc"] * 50)[:n_channels]),
        "sfreq": 250,
        "tmin": -0.2,
        "positions": positions,
        "bads": np.array(["Fp2"]),
        "coil_type": np.arange(n_channels) + 3012,
        "device_to_head": np.eye(4),
        "events": np.column_stack([np.arange(n_epochs) * 10, np.zeros(n_epochs), np.ones(n_epochs)]).astype(int),
    }


def same_dataset(members, description, samples):
    data = members["data"]
    wide = data.dtype.newbyteorder("<").str
    if not np.array_equal(np.frombuffer(samples, wide).reshape(data.shape), data):
        return "samples differ"
    channels = description["channels"]
    checks = {
        "names": [c["name"] for c in channels] == members["ch_names"].tolist(),
        "types": [c["type"] for c in channels] == members["ch_types"].tolist(),
        "bads": [c["name"] for c in channels if c["bad"]] == members["bads"].tolist(),
        "positions": all(
            c["position"] == (None if np.isnan(p).any() else p.tolist())
            for c, p in zip(channels, members["positions"])
        ),
        "coils": [c["coil_type"] for c in channels] == members["coil_type"].tolist(),
        "numbers": (description["sfreq"], description["tmin"]) == (250.0, -0.2),
        "events": description["events"] == members["events"].tolist(),
        "device_to_head": description["device_to_head"] == np.eye(4).tolist(),
        "dtype": description["dtype"] == ("float32" if data.dtype.itemsize == 4 else "float64"),
    }
    return ", ".join(name for name, good in checks.items() if not good)


def compare_datasets(folder):
    rng = np.random.default_rng(1)
    for dtype in "<f4", "<f8", ">f4", ">f8":
        for order in "C", "F":
            for save in np.savez, np.savez_compressed:
                for shape in (7, 5, 11), (60, 40, 301):
                    members = members_of(rng, dtype, shape)
                    members["data"] = np.asarray(members["data"], order=order)
                    save(folder / "data.npz", **members)
                    done = run("dataset", folder / "data.npz", folder / "samples")
                    wrong = done.stderr.strip() or same_dataset(
                        members, json.loads(done.stdout), (folder / "samples").read_bytes()
                    )
                    report(f"{save.__name__} {dtype} {order} {shape}", not wrong, wrong)


def compare_zips(folder):
    """The same members in zips that NumPy doesn't write but opens."""
    members = members_of(np.random.default_rng(2), "<f8")
    arrays = {}
    for name, value in members.items():
        with io.BytesIO() as file:
            np.save(file, value)
            arrays[f"{name}.npy"] = file.getvalue()

    class Stream(io.RawIOBase):
        """A file that cannot seek, so that zipfile writes data descriptors."""

        def __init__(self, file):
            self.file = file

        def writable(self):
            return True

        def write(self, data):
            return self.file.write(data)

    for name, method in ("stored", zipfile.ZIP_STORED), ("deflated", zipfile.ZIP_DEFLATED):
        path = folder / "stream.npz"
        with open(path, "wb") as file, zipfile.ZipFile(Stream(file), "w", method) as archive:
            for member, data in arrays.items():
                archive.writestr(member, data)
            archive.writestr("readme.txt", "not an array")
            archive.comment = b"a comment"
        done = run("dataset", path, folder / "samples")
        wrong = done.stderr.strip() or same_dataset(
            members, json.loads(done.stdout), (folder / "samples").read_bytes()
        )
        report(f"{name} with data descriptors", not wrong, wrong)
    # Every truncation and every flipped byte: an error or the same samples, never something else.
    whole = path.read_bytes()
    odd = 0
    for at in range(0, len(whole), 37):
        for damaged in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]):
            (folder / "bad.npz").write_bytes(damaged)
            done = run("dataset", folder / "bad.npz", folder / "samples")
            if done.returncode == 0:
                odd += bool(same_dataset(members, json.loads(done.stdout), (folder / "samples").read_bytes()))
            else:
                odd += done.returncode != 1 or ": " not in done.stderr
    report("damaged files", odd == 0, f"{odd} were not refused")


def compare_logs(folder):
    rng = np.random.default_rng(3)
    for n_epochs, n_channels in (1, 1), (20, 7), (300, 130):
        labels = rng.choice([np.nan, 0, 1, 2], size=(n_epochs, n_channels))
        bad = rng.random(n_epochs) < 0.3
        names = [f"EEG {i:03d}" if i else "µV-ü" for i in range(n_channels)]
        autoreject.RejectLog(bad, labels, names).save(folder / "theirs.npz", overwrite=True)
        done = run("log", folder / "theirs.npz", folder / "ours.npz")
        name = f"reject log {labels.shape}"
        if done.returncode != 0:
            report(name, False, done.stderr)
            continue
        log = autoreject.read_reject_log(folder / "ours.npz")
        good = (
            np.array_equal(log.labels, labels, equal_nan=True)
            and np.array_equal(log.bad_epochs, bad)
            and log.bad_epochs.dtype == bool
            and list(log.ch_names) == names
        )
        report(name, good)
    labels[0, 0] = 3
    autoreject.RejectLog(bad, labels, names).save(folder / "theirs.npz", overwrite=True)
    done = run("log", folder / "theirs.npz", folder / "ours.npz")
    report("a label that is none", done.returncode == 1 and "labels[0][0]" in done.stderr, done.stderr.strip())


def main():
    with tempfile.TemporaryDirectory(prefix="rejectd-npz-") as temporary:
        folder = Path(temporary)
        compare_datasets(folder)
        compare_zips(folder)
        compare_logs(folder)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
