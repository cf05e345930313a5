#!/usr/bin/env python3
"""Compares how rejectd and MNE-Python read the same FIF files, and what MNE reads of rejectd's.

    fif_files.py        prints "ok ..." and "FAIL ..." lines; exits with 1 on any failure

Makes epochs of many kinds with the MNE at hand, reads them with fif_tool, compares samples bit for
bit, then drops some epochs with both and compares what MNE reads from either file. The build folder
is $REJECTD_BUILD (default build/release). The golden files of $REJECTD_GOLDEN_DIR (default
../shared/golden) are tried too when they are there.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import mne
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("REJECTD_BUILD", ROOT / "build" / "release"))
GOLDEN = Path(os.environ.get("REJECTD_GOLDEN_DIR", ROOT.parent / "shared" / "golden"))
TOOL = BUILD / "tests" / "parity" / "fif_tool"

mne.set_log_level("ERROR")
failed = 0


def report(name, good, detail):
    global failed
    failed += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}: {detail}", flush=True)


def tool(*arguments):
    done = subprocess.run([TOOL, *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip() or f"exit status {done.returncode}")
    return done.stdout.splitlines()


class Read:
    """A file as fif_tool reads it."""

    def __init__(self, path, folder, chunk=65536):
        stem = Path(folder) / f"read-{Path(path).name}"
        self.samples, self.json, self.head = (stem.with_suffix(s) for s in (".bin", ".json", ".head"))
        self.next = tool("read", path, chunk, self.samples, self.json, self.head)
        self.description = json.loads(self.json.read_text())
        d = self.description
        shape = (d["n_epochs"], d["n_channels"], d["n_times"])
        self.data = np.fromfile(self.samples, "<f4" if d["dtype"] == "float32" else "<f8").reshape(shape)


# ---- epochs of many kinds ----

TYPES = ["eeg"] * 8 + ["mag"] * 2 + ["grad"] * 2 + ["eog", "ecg", "emg", "stim", "misc", "seeg", "ecog", "dbs",
         "hbo", "hbr", "ref_meg", "bio", "resp"]  # fmt: skip


def simulate(n_epochs=12, types=TYPES, sfreq=100.0, prefix="", seed=0, times=50):
    rng = np.random.default_rng(seed)
    names = [f"{prefix}{kind.upper()} {i:03d}" for i, kind in enumerate(types)]
    info = mne.create_info(names, sfreq, types)
    for channel in info["chs"]:
        channel["loc"][:] = np.nan
        if channel["ch_name"].find("EEG") >= 0:
            place = rng.normal(size=3)
            channel["loc"][:6] = np.r_[0.09 * place / np.linalg.norm(place), 0, 0, 0]
        if "MAG" in channel["ch_name"] or "GRAD" in channel["ch_name"]:
            channel["loc"][:] = rng.normal(size=12)
    with info._unlock():
        turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.block([
            [turn, rng.normal(size=(3, 1)) * 0.01], [np.zeros((1, 3)), np.ones((1, 1))]]))  # fmt: skip
        info["subject_info"] = {"his_id": "S 7", "last_name": "Müller"}
        info["experimenter"] = "somebody"
    info.set_meas_date(1.5e9)
    data = rng.normal(scale=1e-5, size=(n_epochs, len(names), times))
    samples = 100 + 77 * np.arange(n_epochs)
    events = np.c_[samples, rng.integers(0, 3, n_epochs), rng.integers(1, 4, n_epochs)]
    events[:3, 2] = [1, 2, 3]
    event_id = {"left": 1, "right/ear: loud": 2, "déjà vu": 3}
    return mne.EpochsArray(data, info, events, -0.2, event_id, baseline=(None, -0.1) if times > 20 else None)


def with_projectors(epochs):
    epochs.set_eeg_reference(projection=True)
    epochs.add_proj(mne.compute_proj_epochs(epochs, n_eeg=2, n_mag=1, n_grad=1))
    return epochs


def with_metadata(epochs):
    import pandas as pd

    n = len(epochs)
    epochs.metadata = pd.DataFrame({
        "rt": np.linspace(0.1, 1, n), "word": [f'a "{i}", [b] ]}} ü' for i in range(n)],
        "hit": np.arange(n) % 2 == 0, "none": [np.nan] + [1.5] * (n - 1)})  # fmt: skip
    return epochs


def with_annotations(epochs):
    epochs.set_annotations(mne.Annotations([0.5, 2.0], [0.1, 0.2], ["blink", "BAD: move"]))
    return epochs


def with_losses(epochs):
    epochs.drop([1, 4], reason="USER")
    if len(epochs.times) < 100:
        epochs.drop_bad(reject={"eeg": 5.6e-5})
    return epochs


def with_cals(epochs):
    for i, channel in enumerate(epochs.info["chs"]):
        channel["cal"] = float(np.float32(0.1 + 3.7e-6 * i))
    return epochs


def with_bads(epochs):
    epochs.info["bads"] = [epochs.ch_names[i] for i in (3, 0, 9)]
    return epochs


def with_old_losses(epochs):
    return with_losses(epochs)[["left", "déjà vu"]]


# name, epochs, fmt, other arguments of save, extension
def cases():
    one = ["eeg"] * 4
    yield "double", simulate(), "double", {}, ".fif"
    yield "single", simulate(seed=1), "single", {}, ".fif"
    yield "single with calibrations", with_cals(simulate(seed=2)), "single", {}, ".fif"
    yield "double with calibrations", with_cals(simulate(seed=3)), "double", {}, ".fif"
    yield "gzip", simulate(seed=4), "single", {}, ".fif.gz"
    yield "bads", with_bads(simulate(seed=5)), "single", {}, ".fif"
    yield "projectors", with_bads(with_projectors(simulate(seed=6))), "double", {}, ".fif"
    yield "applied projectors", with_projectors(simulate(seed=6)).apply_proj(), "double", {}, ".fif"
    long = "a name of many letters:"
    yield "long names", with_bads(with_projectors(simulate(seed=7, prefix=long))), "single", {}, ".fif"
    yield "metadata", with_losses(with_metadata(simulate(seed=8))), "single", {}, ".fif"
    yield "annotations", with_annotations(simulate(seed=9)), "single", {}, ".fif"
    yield "losses", with_losses(simulate(seed=10)), "single", {}, ".fif"
    yield "some events", with_old_losses(with_metadata(simulate(20, seed=11))), "double", {}, ".fif"
    yield "one epoch, one channel, one time", simulate(3, ["eeg"], times=1)[:1], "double", {}, ".fif"
    yield "rates", simulate(4, one, 1000 / 3), "double", {}, ".fif"
    big = with_losses(with_metadata(simulate(40, ["eeg"] * 60, 100.0, times=400, seed=12)))
    yield "parts", big, "single", {"split_size": "2MB"}, ".fif"
    yield "parts of double", with_bads(big.copy()), "double", {"split_size": "3MB"}, ".fif"
    yield "parts of gzip", simulate(40, ["eeg"] * 60, times=400, prefix=long), "single", {"split_size": "2MB"}, ".fif.gz"


# ---- comparing ----

OURS = {"eeg", "mag", "grad", "ecog", "seeg", "hbo", "hbr", "eog", "ecg", "emg", "stim"}


def compare_description(name, d, epochs):
    info = epochs.info
    types = [t if t in OURS else "misc" for t in epochs.get_channel_types()]
    head = epochs.info["dev_head_t"]
    places = [c["loc"][:3] for c in info["chs"]]
    wanted = {
        "names": epochs.ch_names, "types": types, "sfreq": info["sfreq"], "tmin": float(epochs.tmin),
        "bads": sorted(info["bads"]), "events": epochs.events.tolist(), "event_id": epochs.event_id,
        "coils": [int(c["coil_type"]) for c in info["chs"]],
        "head": head["trans"].tolist() if head is not None else None,
        "projectors": [(p["desc"], bool(p["active"]), vectors_of(p, epochs.ch_names)) for p in info["projs"]],
        "places": [p.tolist() if t not in ("mag", "grad", "misc", "stim") and np.isfinite(p).all() and p.any() else None
                   for p, t in zip(places, types)],
        "locs": [np.nan_to_num(c["loc"], nan=-7).tolist() for c, t in zip(info["chs"], types) if t not in ("misc", "stim")],
    }  # fmt: skip
    channels = d["channels"]
    got = {
        "names": [c["name"] for c in channels], "types": [c["type"] for c in channels], "sfreq": d["sfreq"],
        "tmin": d["tmin"], "bads": sorted(c["name"] for c in channels if c["bad"]), "events": d["events"],
        "event_id": d["event_id"], "coils": [c["coil_type"] for c in channels], "head": d.get("device_to_head"),
        "projectors": [(p["description"], p["active"], [dict(zip(p["channels"], v)) for v in p["vectors"]])
                       for p in d.get("projectors", [])],
        "places": [c["position"] for c in channels],
        "locs": [[-7 if x is None else x for x in c["loc"]] for c in channels if "loc" in c],
    }  # fmt: skip
    different = [key for key in wanted if wanted[key] != got[key]]
    report(f"{name}, description", not different, "equal" if not different else ", ".join(
        f"{key}: {str(got[key])[:300]} instead of {str(wanted[key])[:300]}" for key in different))  # fmt: skip


def vectors_of(projector, names):
    columns = projector["data"]["col_names"]
    rows = projector["data"]["data"]
    used = [i for i, n in enumerate(columns) if n in names and np.any(rows[:, i] != 0)]
    order = sorted(used, key=lambda i: names.index(columns[i]))
    return [{columns[i]: float(row[i]) for i in order} for row in rows]


def differences(ours, theirs):
    """What differs between two epochs that MNE has read."""
    found = []
    if not np.array_equal(ours.get_data(), theirs.get_data()):
        found.append("data")
    if not np.array_equal(ours.events, theirs.events):
        found.append("events")
    if ours.event_id != theirs.event_id:
        found.append("event_id")
    if not np.array_equal(ours.selection, theirs.selection):
        found.append(f"selection {ours.selection} instead of {theirs.selection}")
    if ours.drop_log != theirs.drop_log:
        found.append(f"drop log {ours.drop_log} instead of {theirs.drop_log}")
    if (ours.metadata is None) != (theirs.metadata is None):
        found.append("metadata")
    elif ours.metadata is not None and not ours.metadata.reset_index(drop=True).equals(
            theirs.metadata.reset_index(drop=True)):  # fmt: skip
        found.append("metadata")
    if str(ours.annotations) != str(theirs.annotations) or ours.baseline != theirs.baseline:
        found.append("annotations or baseline")
    if not np.array_equal(ours.times, theirs.times):
        found.append("times")
    a, b = dict(ours.info), dict(theirs.info)
    for info in (a, b):
        info.pop("file_id", None)
        info.pop("meas_id", None)
    found += [f"info: {line}" for line in mne.utils.object_diff(a, b).splitlines()]
    return found


def read(path, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mne.read_epochs(path, proj=False, **options)


def compare_written(name, files, reads, theirs, folder, max_part=0, dtype=None, single=True):
    """Drops epochs with both, and compares what MNE reads from our file and from its own."""
    n = len(theirs)
    kept = np.arange(n) % 3 != 1 if n > 1 else np.ones(1, bool)
    (folder / "kept.bin").write_bytes(kept.astype("u1").tobytes())
    data = np.concatenate([r.data for r in reads])
    (folder / "samples.bin").write_bytes(data.tobytes())
    out = folder / "written"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    names = tool("write", out, "clean-epo.fif", max_part, folder / "kept.bin", folder / "samples.bin",
                 dtype or reads[0].description["dtype"], *[r.head for r in reads])  # fmt: skip
    ours = read(out / names[0])
    theirs = theirs.copy().drop(~kept, reason="AUTOREJECT")
    expected = folder / "expected-epo.fif"
    theirs.save(expected, fmt="single" if single else "double", overwrite=True)
    found = differences(ours, read(expected))
    lazy, lazy_expected = (read(path, preload=False) for path in (out / names[0], expected))
    if not np.array_equal(lazy[-1].get_data(), lazy_expected[-1].get_data()):
        found.append("data without preload")
    report(f"{name}, written in {len(names)} parts", not found, "; ".join(found)[:600] or f"{len(ours)} epochs are equal")
    again = [Read(out / part, folder, 4096) for part in names]
    same = np.array_equal(np.concatenate([r.data for r in again]), ours.get_data())
    links = [" ".join(r.next) for r in again]
    good = links == [f"next {i + 1} {p}" for i, p in enumerate(names[1:])] + [""]
    report(f"{name}, written, read again", same and good, f"data {'equal' if same else 'differ'}, links {links}")


def compare_case(name, epochs, fmt, arguments, extension, folder):
    path = folder / f"made-epo{extension}"
    epochs.save(path, fmt=fmt, overwrite=True, **arguments)
    files = sorted(folder.glob("made-epo*"), key=lambda p: (len(p.name), p.name))
    theirs = read(path)
    reads = [Read(file, folder) for file in files]
    data = np.concatenate([r.data for r in reads])
    same = np.array_equal(data.astype("f8"), theirs.get_data())
    plain = fmt == "single" and all(c["cal"] == 1 for c in epochs.info["chs"])
    dtype = reads[0].description["dtype"] == ("float32" if plain else "float64")
    report(f"{name}, read", same and dtype, f"{data.shape} {data.dtype} {'equal' if same else 'differ'}")
    slow = Read(files[0], folder, 7 if files[0].stat().st_size < 300000 else 1021)
    report(f"{name}, read in small pieces", np.array_equal(slow.data, reads[0].data), f"{len(files)} parts")
    if len(files) == 1:
        compare_description(name, reads[0].description, theirs)
    links = [" ".join(r.next) for r in reads]
    good = links == [f"next {i + 1} {f.name}" for i, f in enumerate(files[1:])] + [""]
    report(f"{name}, next parts", good, str(links))
    # As MNE does with parts: it keeps the annotations of the last one.
    for part in (0, 1500000):
        if part == 0 or data.nbytes > part:
            compare_written(name, files, reads, theirs, folder, part, single=fmt == "single")


def compare_golden(folder, temporary):
    for name in ("mixed/mixed", "sample_meg/sample_meg"):
        path = folder / f"{name}-epo.fif"
        if not path.exists():
            continue
        got = Read(path, temporary, 65536)
        wanted = np.load(path.parent / "epochs.npy")
        same = got.data.shape == wanted.shape and np.array_equal(got.data, wanted)
        report(f"golden {path.stem}", same, f"{got.data.dtype} {got.data.shape} against epochs.npy {wanted.dtype}")
        theirs = read(path)
        compare_description(f"golden {path.stem}", got.description, theirs)
        single = got.description["dtype"] == "float32"
        compare_written(f"golden {path.stem}", [path], [got], theirs, temporary, single=single)


def compare_refusals(folder):
    epochs = simulate(4)
    info = epochs.info
    data = epochs.get_data(copy=True)
    raw = mne.io.RawArray(data[0], info.copy())
    raw.save(folder / "x-raw.fif", overwrite=True)
    epochs.average(picks="all").save(folder / "x-ave.fif", overwrite=True)
    mne.compute_covariance(epochs.copy().pick("eeg")).save(folder / "x-cov.fif", overwrite=True)
    mne.EpochsArray(data * 1j, info.copy()).save(folder / "complex-epo.fif", overwrite=True)
    for name, words in (("x-raw.fif", "a raw file"), ("x-ave.fif", "an evoked file"), ("x-cov.fif", "no epochs"),
                        ("complex-epo.fif", "0x40000014")):  # fmt: skip
        try:
            Read(folder / name, folder)
            report(f"refuses {name}", False, "it was read")
        except RuntimeError as error:
            report(f"refuses {name}", words in str(error), str(error))


def main():
    for case in cases():
        with tempfile.TemporaryDirectory(prefix="rejectd-fif-") as temporary:
            try:
                compare_case(*case, Path(temporary))
            except Exception as error:  # noqa: BLE001 the next case is tried all the same
                report(case[0], False, f"{type(error).__name__}: {error}")
    with tempfile.TemporaryDirectory(prefix="rejectd-fif-") as temporary:
        compare_refusals(Path(temporary))
        if GOLDEN.is_dir():
            compare_golden(GOLDEN, Path(temporary))
    print(f"mne {mne.__version__}, numpy {np.__version__}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
