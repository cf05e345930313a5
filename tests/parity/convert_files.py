#!/usr/bin/env python3
"""Compares rejectd-convert with MNE-Python, autoreject, SciPy and h5py, file by file.

    convert_files.py [set|h5]...    needs tests/requirements.txt and the program rejectd-convert

The build folder is $REJECTD_BUILD (default build/release). Prints "ok ..." and "FAIL ..." lines.
"""

import itertools
import json
import os
import struct
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import autoreject
import h5py
import mne
import numpy as np
import scipy.io

ROOT = Path(__file__).resolve().parents[2]
TOOL = (ROOT / os.environ.get("REJECTD_BUILD", "build/release")) / "convert/rejectd-convert"
mne.set_log_level("ERROR")
warnings.simplefilter("ignore")

failed = 0


def report(name, good, detail=""):
    global failed
    failed += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}{': ' if detail else ''}{detail}", flush=True)


def convert(*arguments):
    return subprocess.run([TOOL, *arguments], text=True, capture_output=True, check=False)


def refused(name, done, *words):
    """An error of the input that names these."""
    try:
        told = json.loads(done.stderr)
        text = told["field"] + ": " + told["message"]
    except (ValueError, KeyError):
        text = f"exit status {done.returncode}, {done.stderr!r}"
    good = done.returncode == 2 and all(word in text for word in words)
    report(name, good, text)


# ---- .set ----


def matlab_structs(rows):
    """A MATLAB struct array of dicts."""
    array = np.zeros((1, len(rows)), dtype=[(key, object) for key in rows[0]])
    for i, row in enumerate(rows):
        for key, value in row.items():
            array[0, i][key] = value
    return array


def eeg_struct(rng, n_epochs=6, n_channels=5, n_times=40, dtype="float32", kind="single"):
    """The fields of EEG as pop_saveset leaves them. kind: events of an epoch."""
    names = [f"E{i}" for i in range(n_channels - 1)] + ["Größe"]
    chanlocs = []
    for i, name in enumerate(names):
        place = rng.normal(size=3)
        place *= 85 / np.linalg.norm(place)
        x, y, z = place.tolist() if i != 2 else (np.zeros((0, 0)),) * 3
        chanlocs.append({"labels": name, "type": ["EEG", "", "EOG", "eeg", "odd"][i % 5], "X": x, "Y": y, "Z": z, "theta": 1.0})
    events, epochs = [], []
    for e in range(n_epochs):
        types, latencies, numbers = [], [], []
        for k in range(2 if kind == "several" and e % 2 else 1):
            name = ["left", "right", "ü"][(e + k) % 3] if kind != "numbers" else (e % 2) + 7
            locks = 10 + 5 * k
            events.append({"type": name, "latency": float(e * n_times + locks + 1), "duration": 0.0, "urevent": float(len(events) + 1), "epoch": float(e + 1)})
            types.append(name)
            latencies.append((locks - 10) / 100 * 1000)
            numbers.append(float(len(events)))
        if len(types) == 1:
            epochs.append({"event": numbers[0], "eventtype": types[0], "eventlatency": latencies[0]})
        else:
            cell = lambda values: np.array([values], dtype=object)  # noqa: E731
            epochs.append({"event": np.array([numbers]), "eventtype": cell(types), "eventlatency": cell(latencies)})
    return {
        "setname": "a set", "nbchan": float(n_channels), "trials": float(n_epochs), "pnts": float(n_times),
        "srate": 100.0, "xmin": -0.1, "xmax": -0.1 + (n_times - 1) / 100,
        "data": (rng.normal(size=(n_channels, n_times, n_epochs)) * 20).astype(dtype),
        "chanlocs": matlab_structs(chanlocs), "event": matlab_structs(events), "epoch": matlab_structs(epochs),
        "ref": "common", "icaweights": np.zeros((0, 0)), "icasphere": np.zeros((0, 0)), "icawinv": np.zeros((0, 0)),
        "etc": {"note": "kept"}, "comments": "", "urevent": matlab_structs(events), "history": "x = 1;",
    }  # fmt: skip


def compare_set(name, path, folder, *options, latencies=True):
    """Reads a .set as MNE does."""
    done = convert("read-set", path, *options, folder)
    if done.returncode != 0:
        report(name, False, f"exit status {done.returncode}: {done.stderr.strip()}")
        return None
    description = json.loads((folder / "description.json").read_text())
    epochs = mne.read_epochs_eeglab(path)
    want = epochs.get_data(copy=True)
    data = np.fromfile(folder / "samples.bin", "<f8")
    types = ["misc" if t in ("resp", "ref_meg") else t for t in epochs.get_channel_types()]
    places = {ch["ch_name"]: ch["loc"][:3] for ch in epochs.info["chs"]}
    channels = description["channels"]
    place_good = all(
        (c["position"] is None) == (not np.isfinite(places[c["name"]]).all() or not places[c["name"]].any())
        and (c["position"] is None or np.allclose(c["position"], places[c["name"]], rtol=1e-6, atol=1e-9))
        for c in channels
        if c["type"] == "eeg"
    )
    events = np.array(description["events"])
    checks = {
        "data": data.size == want.size and np.array_equal(data.reshape(want.shape), want),
        "names": [c["name"] for c in channels] == epochs.ch_names,
        "types": [c["type"] for c in channels] == types,
        "positions": place_good,
        "sfreq": description["sfreq"] == epochs.info["sfreq"],
        "tmin": abs(description["tmin"] - epochs.tmin) < 1e-9,
        "event_id": description["event_id"] == epochs.event_id,
        "ids": np.array_equal(events[:, 2], epochs.events[:, 2]),
        "samples": not latencies or np.array_equal(events[:, 0], epochs.events[:, 0]),
    }
    wrong = ", ".join(key for key, good in checks.items() if not good)
    report(name, not wrong, wrong and f"{wrong} differ")
    return None if wrong else description


def write_hdf5(path, fields, layout):
    """A MAT 7.3 file as MATLAB makes it, by hand."""
    with h5py.File(path, "w", userblock_size=512) as file:
        refs, count = file.create_group("#refs#"), itertools.count()

        def put(parent, key, value):
            if isinstance(value, str):
                if not value:
                    made = parent.create_dataset(key, data=np.zeros(2, "u8"))
                    made.attrs["MATLAB_empty"] = np.uint8(1)
                else:
                    made = parent.create_dataset(key, data=np.array([[ord(c)] for c in value], "u2"))
                    made.attrs["MATLAB_int_decode"] = np.int32(2)
                made.attrs["MATLAB_class"] = np.bytes_("char")
            elif isinstance(value, dict):
                made = parent.create_group(key)
                for name, item in value.items():
                    put(made, name, item)
                made.attrs["MATLAB_class"] = np.bytes_("struct")
            elif isinstance(value, np.ndarray) and value.dtype.names:
                made = parent.create_group(key)
                made.attrs["MATLAB_class"] = np.bytes_("struct")
                for name in value.dtype.names:
                    cells = [[reference(item)] for item in value[name].ravel()]
                    made.create_dataset(name, data=np.array(cells, h5py.ref_dtype), dtype=h5py.ref_dtype)
            elif isinstance(value, np.ndarray) and value.dtype == object:
                cells = [[reference(item)] for item in value.ravel()]
                made = parent.create_dataset(key, data=np.array(cells, h5py.ref_dtype), dtype=h5py.ref_dtype)
                made.attrs["MATLAB_class"] = np.bytes_("cell")
            else:
                value = np.atleast_2d(value)
                if value.size == 0:
                    made = parent.create_dataset(key, data=np.array(value.shape, "u8"))
                    made.attrs["MATLAB_empty"] = np.uint8(1)
                else:
                    made = parent.create_dataset(key, data=value.T)
                kind = {"float64": "double", "float32": "single"}.get(value.dtype.name, value.dtype.name)
                made.attrs["MATLAB_class"] = np.bytes_(kind)
            return made

        def reference(value):
            return put(refs, f"r{next(count)}", value).ref

        if layout == "struct":
            put(file, "EEG", fields)
        else:
            for name, item in fields.items():
                put(file, name, item)
    with open(path, "r+b") as file:
        text = b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(116)
        file.write(text + bytes(8) + b"\x00\x02IM")


def save_set(path, fields, container, layout):
    if container == "v7.3":
        write_hdf5(path, fields, layout)
    else:
        scipy.io.savemat(path, {"EEG": fields} if layout == "struct" else fields, do_compression=container == "v7", appendmat=False)


def compare_containers(folder, rng):
    for container in "v6", "v7", "v7.3":
        for layout in "struct", "fields":
            for dtype, kind in ("float32", "single"), ("float64", "several"), ("float32", "numbers"):
                path = folder / "in.set"
                save_set(path, eeg_struct(rng, dtype=dtype, kind=kind), container, layout)
                compare_set(f"{container} {layout} {dtype} {kind}", path, folder, latencies=kind != "several")


def compare_exported(folder, rng):
    """What MNE itself exports."""
    info = mne.create_info(["Fp1", "Fp2", "Cz", "Oz"], 250.0, "eeg")
    events = np.column_stack([np.arange(5) * 300 + 50, np.zeros(5, int), [1, 2, 1, 2, 2]])
    epochs = mne.EpochsArray(rng.normal(size=(5, 4, 100)) * 1e-5, info, events, tmin=-0.2, event_id={"a": 1, "b": 2})
    for montage in None, "standard_1020":
        epochs.set_montage(montage)
        path = folder / "exported.set"
        mne.export.export_epochs(path, epochs, fmt="eeglab", overwrite=True)
        compare_set(f"exported by MNE, montage {montage}", path, folder)


def compare_fdt(folder, rng):
    fields = eeg_struct(rng)
    data = fields["data"]
    fields["data"] = "in.fdt"
    data.T.astype("<f4").tofile(folder / "in.fdt")
    save_set(folder / "in.set", fields, "v6", "fields")
    done = convert("read-set", folder / "in.set", folder)
    needs = json.loads((folder / "needs.json").read_text()) if done.returncode == 3 else None
    report(".fdt is asked for", needs == {"fdt_bytes": data.nbytes, "name": "in.fdt"}, f"{done.returncode} {needs}")
    compare_set(".fdt", folder / "in.set", folder, "--fdt", folder / "in.fdt")
    (folder / "short.fdt").write_bytes(data.tobytes()[:-4])
    done = convert("read-set", folder / "in.set", "--fdt", folder / "short.fdt", folder)
    refused(".fdt of another size", done, "fdt", str(data.nbytes))


def turned(data):
    """The elements of a little-endian MAT 5 file, big-endian: SciPy writes no such files."""
    widths = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 9: 8, 12: 8, 13: 8, 16: 1, 17: 2, 18: 4}
    out, at = bytearray(), 0
    while at < len(data):
        kind, size = struct.unpack_from("<II", data, at)
        if kind >> 16:
            kind, size, begin, padded = kind & 0xFFFF, kind >> 16, at + 4, 4
            out += struct.pack(">I", size << 16 | kind)
        else:
            begin, padded = at + 8, size if kind == 14 else -(-size // 8) * 8
            out += struct.pack(">II", kind, size)
        body = data[begin : begin + size]
        if kind == 14:
            body = turned(body)
        else:
            body = np.frombuffer(body, f"V{widths[kind]}")
            body = body.view(f"<u{widths[kind]}").astype(f">u{widths[kind]}").tobytes()
        out += body.ljust(padded, b"\0")
        at = begin + padded
    return bytes(out)


def compare_big_endian(folder, rng):
    for layout in "struct", "fields":
        fields = eeg_struct(rng)
        save_set(folder / "little.set", fields, "v6", layout)
        data = (folder / "little.set").read_bytes()
        path = folder / "big.set"
        path.write_bytes(data[:124] + b"\1\0MI" + turned(data[128:]))
        compare_set(f"big-endian {layout}", path, folder)


def compare_refusals(folder, rng):
    def attempt(name, change, *words):
        fields = eeg_struct(rng)
        change(fields)
        save_set(folder / "bad.set", {k: v for k, v in fields.items() if v is not None}, "v6", "struct")
        refused(name, convert("read-set", folder / "bad.set", folder), *words)

    attempt("continuous", lambda f: f.update(trials=1.0, epoch=np.zeros((0, 0)), data=f["data"][:, :, 0]), "trials", "epochs first")
    attempt("no srate", lambda f: f.update(srate=None), "srate")
    attempt("srate 0", lambda f: f.update(srate=0.0), "sfreq")
    attempt("no data", lambda f: f.update(data=None), "data")
    attempt("data of another shape", lambda f: f.update(data=f["data"][:, :-1]), "data", "nbchan x pnts x trials")
    attempt("too many channels", lambda f: f.update(nbchan=5000.0), "nbchan", "4096")
    attempt("a fraction of a channel", lambda f: f.update(nbchan=4.5), "nbchan")
    attempt("channels that are not there", lambda f: f.update(chanlocs=f["chanlocs"][:, :3]), "chanlocs")
    attempt("twice the same name", lambda f: f["chanlocs"][0, 1].__setitem__("labels", "E0"), "channels[1].name", "unique")
    attempt("NaN", lambda f: f["data"].__setitem__((1, 2, 3), np.nan), "data", "epoch 3, channel 1", "time 2")
    attempt("complex data", lambda f: f.update(data=f["data"] + 1j), "data")
    scipy.io.savemat(folder / "old.set", {"data": np.zeros((3, 4))}, format="4", appendmat=False)
    refused("MAT 4", convert("read-set", folder / "old.set", folder), "file", "MAT 5")
    (folder / "text.set").write_text("no .set at all")
    refused("no MAT file", convert("read-set", folder / "text.set", folder), "file")
    save_set(folder / "whole.set", eeg_struct(rng), "v6", "struct")
    whole = (folder / "whole.set").read_bytes()
    odd = 0
    for n in range(0, len(whole), len(whole) // 40):
        (folder / "cut.set").write_bytes(whole[:n])
        odd += convert("read-set", folder / "cut.set", folder).returncode != 2
    report("cut short", odd == 0, f"{odd} of 40 were not refused")


def write_folder(folder, description, data, labels, bad, original):
    folder.mkdir(exist_ok=True)
    (folder / "description.json").write_text(json.dumps(description))
    data[~bad].astype("<f8").tofile(folder / "cleaned.bin")
    labels.astype("i1").tofile(folder / "labels.bin")
    bad.astype("u1").tofile(folder / "bad_epochs.bin")
    (folder / "autoreject.json").write_text(json.dumps({"job": "jb_1", "thresholds": {"E0": 1e-5}, "note": "µ"}))
    (folder / "original.set").unlink(missing_ok=True)
    if original is not None:
        (folder / "original.set").write_bytes(original.read_bytes())


def compare_written(folder, rng):
    for container in "v6", "v7", "v7.3":
        for layout, kind in ("struct", "single"), ("fields", "several"), ("struct", "numbers"):
            path = folder / "in.set"
            save_set(path, eeg_struct(rng, kind=kind, dtype="float64"), container, layout)
            if convert("read-set", path, folder).returncode != 0:
                report(f"write {container} {layout} {kind}", False, "cannot be read")
                continue
            for original in (path, None):
                name = f"write {container} {layout} {kind}, {'with' if original else 'without'} the original"
                compare_rewritten(name, folder, path, original, kind)


def compare_rewritten(name, folder, path, original, kind):
    description = json.loads((folder / "description.json").read_text())
    shape = [description[key] for key in ("n_epochs", "n_channels", "n_times")]
    data = np.fromfile(folder / "samples.bin", "<f8").reshape(shape)
    bad = np.array([False, True, False, False, True, False])
    labels = np.zeros(shape[:2])
    labels[0, 1], labels[2, 3], labels[3, 0] = 2, 1, -1
    write_folder(folder / "job", description, data, labels, bad, original)
    out = folder / "out.set"
    done = convert("write-set", folder / "job", out)
    if done.returncode != 0:
        report(name, False, f"exit status {done.returncode}: {done.stderr.strip()}")
        return
    epochs, before = mne.read_epochs_eeglab(out), mne.read_epochs_eeglab(path)[~bad]
    eeg = scipy.io.loadmat(out, squeeze_me=True, struct_as_record=False)["EEG"]
    places = [[ch["loc"][:3] for ch in e.info["chs"]] for e in (epochs, before)]
    names_of = lambda e: [{v: k for k, v in e.event_id.items()}[i] for i in e.events[:, 2]]  # noqa: E731
    latencies = np.atleast_1d([e.latency for e in eeg.event])
    own = (np.array([e.epoch for e in eeg.event]) - 1) * shape[2]
    want = np.ones((shape[1], 4))
    want[:] = np.isin(labels[~bad], (1, 2)).T
    checks = {
        "data": np.allclose(epochs.get_data(copy=True), before.get_data(copy=True), rtol=1e-14, atol=0),
        "names": epochs.ch_names == before.ch_names,
        "types": epochs.get_channel_types() == before.get_channel_types(),
        "positions": np.allclose(*places, atol=1e-8, equal_nan=True),
        "events": names_of(epochs) == names_of(before),
        "latencies": ((latencies > own) & (latencies <= own + shape[2])).all(),
        "times": np.allclose(epochs.times, before.times) and np.isclose(eeg.xmax, epochs.tmax),
        "epoch.event": [eeg.event[int(np.atleast_1d(e.event)[0]) - 1].epoch for e in eeg.epoch] == [1, 2, 3, 4],
        "rejmanualE": np.array_equal(eeg.reject.rejmanualE, want) and not eeg.reject.rejmanual.any(),
        "etc": eeg.etc.autoreject.job == "jb_1" and json.loads(eeg.etc.autoreject.json)["note"] == "µ"
        and np.array_equal(eeg.etc.autoreject.labels.T, labels),
        "kept": original is None or (eeg.etc.note == "kept" and eeg.history == "x = 1;"),
    }  # fmt: skip
    wrong = ", ".join(key for key, good in checks.items() if not good)
    report(name, not wrong, wrong and f"{wrong} differ")
    done = convert("read-set", out, folder / "job")
    report(f"{name}, read again", done.returncode == 0, done.stderr.strip())


# ---- .h5 ----


def fitted(rng, types, n_epochs=30):
    montage = mne.channels.make_standard_montage("standard_1020")
    info = mne.create_info(montage.ch_names[:12] + ["EOG"], 100.0, ["eeg"] * 12 + ["eog"])
    data = rng.normal(size=(n_epochs, 13, 50)) * 1e-5
    data[3, 2] *= 30
    data[5, 4:9] *= 30
    epochs = mne.EpochsArray(data, info).set_montage(montage)
    if types == "some":
        epochs.reorder_channels(["EOG", *epochs.ch_names[:12]])
    ar = autoreject.AutoReject(n_interpolate=[1, 4], consensus=[0.2, 0.5, 1.0], cv=3, random_state=1, n_jobs=1, verbose=False)
    return epochs, ar.fit(epochs)


def same_log(one, other):
    return np.array_equal(one.labels, other.labels, equal_nan=True) and np.array_equal(one.bad_epochs, other.bad_epochs)


def compare_h5(folder, rng):
    for types in "all", "some":
        epochs, ar = fitted(rng, types)
        ar.save(folder / "theirs.h5", overwrite=True)
        done = convert("read-h5", folder / "theirs.h5", folder / "model.json")
        if done.returncode != 0:
            report(f"read .h5, {types}", False, done.stderr)
            continue
        model = json.loads((folder / "model.json").read_text())
        thresholds = {c["name"]: c["threshold"] for c in model["channels"]}
        good = thresholds == {k: float(v) for k, v in ar.threshes_.items()} and model["types"] == [
            {"type": "eeg", "consensus": float(ar.consensus_["eeg"]), "n_interpolate": int(ar.n_interpolate_["eeg"])}
        ]
        report(f"read .h5, {types}", good)
        channels = [{"name": n, "type": t} for n, t in zip(epochs.ch_names, epochs.get_channel_types())]
        description = {"sfreq": 100, "n_epochs": 1, "n_times": 1, "channels": channels}
        (folder / "description.json").write_text(json.dumps(description))
        done = convert("write-h5", folder / "model.json", folder / "ours.h5", "--dataset", folder / "description.json")
        if done.returncode != 0:
            report(f"write .h5, {types}", False, done.stderr)
            continue
        again = autoreject.read_auto_reject(folder / "ours.h5")
        good = same_log(again.get_reject_log(epochs), ar.get_reject_log(epochs))
        good &= np.array_equal(again.transform(epochs).get_data(copy=True), ar.transform(epochs).get_data(copy=True))
        good &= np.array_equal(again.picks_, ar.picks_)
        report(f"write .h5, {types}", good)
        done = convert("read-h5", folder / "ours.h5", folder / "again.json")
        report(f".h5 read again, {types}", (folder / "again.json").read_text() == (folder / "model.json").read_text(), done.stderr)


def compare_dots(folder, rng):
    """Arrays for MEG channels; None without."""
    model = {
        "channels": [{"name": f"MEG{i}", "type": "mag", "threshold": 1e-12} for i in range(3)],
        "types": [{"type": "mag", "consensus": 0.5, "n_interpolate": 1}],
    }
    (folder / "meg.json").write_text(json.dumps(model))
    dots = rng.normal(size=(2, 3, 3))
    for i, name in enumerate(("self.bin", "cross.bin")):
        dots[i].tofile(folder / name)
    arguments = "write-h5", folder / "meg.json", folder / "meg.h5"
    done = convert(*arguments, "--dots", folder / "self.bin", folder / "cross.bin", "3")
    got = autoreject.read_auto_reject(folder / "meg.h5") if done.returncode == 0 else None
    report("dots", got is not None and np.array_equal(np.array(got.dots), dots) and np.array_equal(np.array(got.local_reject_["mag"].dots), dots), done.stderr)
    refused("dots of another size", convert(*arguments, "--dots", folder / "self.bin", folder / "cross.bin", "4"), "dots")
    done = convert(*arguments)
    report("no dots", done.returncode == 0 and autoreject.read_auto_reject(folder / "meg.h5").dots is None, done.stderr)


def compare_h5_refusals(folder, rng):
    model = json.loads((folder / "meg.json").read_text())
    model["channels"][1]["name"] = "A/B"
    (folder / "slash.json").write_text(json.dumps(model))
    refused("a slash in a name", convert("write-h5", folder / "slash.json", folder / "x.h5"), "channels[1].name")
    (folder / "text.h5").write_text("no HDF5")
    refused("no HDF5", convert("read-h5", folder / "text.h5", folder / "x.json"), "file")
    autoreject.AutoReject().save(folder / "unfitted.h5", overwrite=True)
    refused("not fitted", convert("read-h5", folder / "unfitted.h5", folder / "x.json"), "consensus_", "fitted")
    with h5py.File(folder / "link.h5", "w") as file:
        file["autoreject"] = h5py.ExternalLink("theirs.h5", "/autoreject")
    refused("an external link", convert("read-h5", folder / "link.h5", folder / "x.json"), "file", "links")
    with h5py.File(folder / "external.h5", "w") as file:
        file.create_dataset("x", (4,), "i4", external=[("/etc/passwd", 0, 16)])
    refused("a dataset in another file", convert("read-h5", folder / "external.h5", folder / "x.json"), "other files")
    layout = h5py.VirtualLayout(shape=(4,), dtype="i4")
    layout[:] = h5py.VirtualSource("theirs.h5", "x", shape=(4,))
    with h5py.File(folder / "virtual.h5", "w") as file:
        file.create_virtual_dataset("x", layout)
    refused("a virtual dataset", convert("read-h5", folder / "virtual.h5", folder / "x.json"), "other files")
    whole = (folder / "theirs.h5").read_bytes()
    odd = 0
    for n in range(0, len(whole), len(whole) // 40):
        (folder / "cut.h5").write_bytes(whole[:n])
        odd += convert("read-h5", folder / "cut.h5", folder / "x.json").returncode != 2
    report("cut short", odd == 0, f"{odd} of 40 were not refused")


STAGES = {
    "set": (compare_containers, compare_exported, compare_fdt, compare_big_endian, compare_refusals, compare_written),
    "h5": (compare_h5, compare_dots, compare_h5_refusals),
}


def main():
    rng = np.random.default_rng(7)
    with tempfile.TemporaryDirectory(prefix="rejectd-convert-") as temporary:
        for stage in sys.argv[1:] or STAGES:
            for compare in STAGES[stage]:
                compare(Path(temporary), rng)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
