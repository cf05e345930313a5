#!/usr/bin/env python3
"""Reference answers by autoreject itself, in the layout of the golden data.

Runs the released `autoreject` from PyPI, untouched, on simulated EEG and writes for each case a
folder with epochs.npy, meta.json and expected/ (expected.json and arrays). The committed cases in
tests/parity/data were made by

    make_reference.py --output tests/parity/data

live.py makes fresh ones with other seeds. Floats are float64, indices and labels int32, labels -1
where autoreject has NaN; losses that are infinite stay IEEE infinities in the arrays. `augmented`
and `threshold_losses` are evaluated with autoreject's own functions at every candidate threshold,
whereas its search visits only some of them.
"""

import argparse
import json
import os
import sys
import warnings
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import autoreject  # noqa: E402
import mne  # noqa: E402
import numpy as np  # noqa: E402
import scipy  # noqa: E402
import sklearn  # noqa: E402
from autoreject.autoreject import _ChannelAutoReject, _GlobalAutoReject  # noqa: E402
from autoreject.utils import _clean_by_interp  # noqa: E402
from mne.channels.interpolation import _make_interpolation_matrix  # noqa: E402
from sklearn.model_selection import KFold, StratifiedShuffleSplit, cross_val_score  # noqa: E402

mne.set_log_level("ERROR")

EEG_NAMES = [
    "Fp1", "Fp2", "F7", "F3", "Fz", "F4", "F8", "T7", "C3", "Cz", "C4", "T8", "P7", "P3", "Pz",
    "P4", "P8", "O1", "Oz", "O2", "FC1", "FC2", "FC5", "FC6", "CP1", "CP2", "CP5", "CP6", "AF3",
    "AF4", "PO3", "PO4",
]  # fmt: skip


def eeg_positions(names):
    """Head coordinates in metres of electrodes of the standard 10-05 montage."""
    info = mne.create_info(list(names), 100.0, "eeg")
    info.set_montage("standard_1005")
    return np.array([channel["loc"][:3] for channel in info["chs"]])


def simulated_epochs(rng, positions, n_epochs, n_times, sfreq):
    """Noise with spatial structure, blinks, muscle bursts, jumps and a noisy sensor, in volts."""
    n_channels = len(positions)
    directions = positions / np.linalg.norm(positions, axis=1, keepdims=True)
    closeness = np.exp(4.0 * (directions @ directions.T - 1.0))
    mixing = np.linalg.cholesky(closeness + 1e-6 * np.eye(n_channels))
    white = rng.standard_normal((n_epochs, n_channels, n_times))
    smooth = white.copy()
    for time in range(1, n_times):
        smooth[:, :, time] = 0.9 * smooth[:, :, time - 1] + 0.44 * white[:, :, time]
    data = 10e-6 * np.einsum("ck,ekt->ect", mixing, smooth)
    data += 2e-6 * rng.standard_normal(data.shape)

    times = np.arange(n_times) / sfreq
    frontal = np.clip(directions[:, 1], 0.0, None) ** 2
    for epoch in rng.choice(n_epochs, max(1, n_epochs // 5), replace=False):
        centre = rng.uniform(0.2, 0.8) * times[-1]
        blink = 150e-6 * np.exp(-(((times - centre) / 0.06) ** 2))
        data[epoch] += frontal[:, None] * blink
    for epoch in rng.choice(n_epochs, max(1, n_epochs // 6), replace=False):
        source = directions[rng.integers(n_channels)]
        spread = np.exp(6.0 * (directions @ source - 1.0))
        data[epoch] += 60e-6 * spread[:, None] * rng.standard_normal((n_channels, n_times))
    for epoch in rng.choice(n_epochs, max(1, n_epochs // 6), replace=False):
        channel, start = rng.integers(n_channels), rng.integers(n_times)
        data[epoch, channel, start:] += rng.choice([-1.0, 1.0]) * rng.uniform(80e-6, 300e-6)
    noisy = rng.integers(n_channels)
    bad_here = rng.random(n_epochs) < 0.5
    data[bad_here, noisy] += 120e-6 * rng.standard_normal((int(bad_here.sum()), n_times))
    return data


def make_meta(name, names, types, positions, data, sfreq, bads=(), source="simulated EEG"):
    return {
        "name": name,
        "sfreq": sfreq,
        "tmin": -0.1,
        "n_epochs": int(data.shape[0]),
        "n_channels": int(data.shape[1]),
        "n_times": int(data.shape[2]),
        "dtype": str(data.dtype),
        "ch_names": list(names),
        "ch_types": list(types),
        "bads": list(bads),
        "ch_pos": [None if p is None else [float(x) for x in p] for p in positions],
        "source": source,
    }


def plain_case(name, seed, n_epochs, n_channels, n_times, dtype="float64", sfreq=100.0):
    rng = np.random.default_rng(seed)
    names = EEG_NAMES[:n_channels]
    positions = eeg_positions(names)
    data = simulated_epochs(rng, positions, n_epochs, n_times, sfreq).astype(dtype)
    return data, make_meta(name, names, ["eeg"] * n_channels, positions, data, sfreq), {}


def eog_and_bad_case(name, seed, n_epochs, n_eeg, n_times, sfreq=100.0):
    """An EOG channel in the middle of the channel list, and one EEG channel marked bad."""
    data, meta, _ = plain_case(name, seed, n_epochs, n_eeg, n_times, sfreq=sfreq)
    rng = np.random.default_rng(seed + 1)
    eog = 80e-6 * rng.standard_normal((n_epochs, 1, n_times)).cumsum(axis=-1) / 5.0
    at = n_eeg // 2
    data = np.concatenate([data[:, :at], eog, data[:, at:]], axis=1)
    names = meta["ch_names"][:at] + ["EOG"] + meta["ch_names"][at:]
    positions = meta["ch_pos"][:at] + [None] + meta["ch_pos"][at:]
    types = ["eeg"] * at + ["eog"] + ["eeg"] * (n_eeg - at)
    params = {"n_interpolate": [1, 2, 5], "consensus": [0.1, 0.3, 0.45, 0.6, 0.9], "cv": 5}
    return data, make_meta(name, names, types, positions, data, sfreq, [names[3]]), params


def flat_and_ties_case(name, seed, n_epochs, n_channels, n_times):
    """A flat channel, one that repeats another, and epochs that come twice: ties everywhere."""
    data, meta, _ = plain_case(name, seed, n_epochs, n_channels, n_times)
    data[:, 2] = 0.0
    data[:, 4] = data[:, 1]
    data[n_epochs // 2] = data[0]
    data[n_epochs // 2 + 1] = data[1]
    return data, meta, {"cv": 4}


def all_bad_case(name, seed, n_epochs, n_channels, n_times):
    """Every loss is infinite, so the first grid point wins, and consensus 0 calls all bad."""
    data, meta, _ = plain_case(name, seed, n_epochs, n_channels, n_times)
    return data, meta, {"cv": 4, "consensus": [0.0], "n_interpolate": [1]}


def no_bad_case(name, seed, n_epochs, n_channels, n_times):
    """The same epoch again and again: nothing stands out anywhere."""
    data, meta, _ = plain_case(name, seed, n_epochs, n_channels, n_times)
    data[:] = data[:1]
    return data, meta, {"cv": 4}


def committed_cases():
    yield plain_case("eeg_float64", 11, 24, 16, 100) + (42,)
    yield eog_and_bad_case("eog_and_bad", 12, 22, 11, 80) + (7,)
    yield plain_case("eeg_float32", 13, 21, 8, 60, dtype="float32") + (2023,)
    yield flat_and_ties_case("flat_and_ties", 14, 12, 7, 30) + (1,)
    yield all_bad_case("all_bad", 15, 10, 6, 30) + (3,)
    yield no_bad_case("no_bad", 16, 12, 6, 30) + (5,)


def fresh_cases(seed):
    yield plain_case("live_plain", seed, 34, 19, 120) + (seed % 2**32,)
    yield eog_and_bad_case("live_eog", seed + 1, 27, 15, 90) + (1 + seed % 1000,)
    yield plain_case("live_float32", seed + 2, 25, 12, 70, dtype="float32") + (5,)
    yield flat_and_ties_case("live_ties", seed + 3, 16, 9, 40) + (8,)


def epochs_array(data, meta):
    """mne.EpochsArray of a case; float32 becomes float64, the arithmetic of the reference."""
    info = mne.create_info(meta["ch_names"], meta["sfreq"], meta["ch_types"])
    for channel, position in zip(info["chs"], meta["ch_pos"]):
        channel["loc"][:3] = np.nan if position is None else position
    info["bads"] = list(meta["bads"])
    return mne.EpochsArray(data.astype(np.float64), info, tmin=meta["tmin"], verbose=False)


def autoreject_of(params, seed, method="bayesian_optimization"):
    arrays = {key: np.array(params[key]) for key in ("n_interpolate", "consensus") if key in params}
    return autoreject.AutoReject(
        cv=params.get("cv", 10), thresh_method=method, random_state=seed, n_jobs=1, verbose=False,
        **arrays)  # fmt: skip


def threshold_table(both, splits):
    """Distinct peak-to-peak values of one channel and autoreject's loss at each of them."""
    candidates = np.unique(np.ptp(both, axis=1))
    losses = [
        -np.mean([
            _ChannelAutoReject(thresh).fit(both[train]).score(both[test])
            for train, test in splits
        ])
        for thresh in candidates
    ]  # fmt: skip
    return candidates, np.array(losses)


def padded(rows, width):
    out = np.full((len(rows), width), np.nan)
    for row, values in zip(out, rows):
        row[: len(values)] = values
    return out


def mapping_of(positions, picks):
    """The spline matrix that repairs every fourth pick (at most three) from the others."""
    bads = list(picks[1::4])[:3]
    goods = [pick for pick in picks if pick not in bads]
    return bads, goods, _make_interpolation_matrix(positions[goods], positions[bads])


def ransac_reference(epochs, picks):
    """autoreject.Ransac on the EEG picks, with its defaults and its own random_state."""
    params = {"n_resample": 50, "min_channels": 0.25, "min_corr": 0.75, "unbroken_time": 0.4, "random_state": 435656}
    fitted = autoreject.Ransac(**params, picks=picks, n_jobs=1, verbose=False).fit(epochs.copy())
    names = [epochs.ch_names[pick] for pick in picks]
    subsets = np.array([[names.index(name) for name in subset] for subset in fitted.ch_subsets_], dtype=np.int32)
    first = fitted.mappings_[: len(names)][:, subsets[0]]
    arrays = {"ransac_corr": fitted.corr_, "ransac_subsets": subsets, "ransac_mapping0": first}
    about = {"params": params, "picks": [int(pick) for pick in picks], "result": fitted.bad_chs_}
    return arrays, {"ransac": {"eeg": about}}


def global_losses(samples, cv):
    """Distinct amplitudes of epochs and autoreject's loss when each is the threshold."""
    candidates = np.unique(np.ptp(samples, axis=2).max(axis=1))
    shape = dict(zip(("n_channels", "n_times"), samples.shape[1:]))
    losses = [-np.mean(cross_val_score(_GlobalAutoReject(thresh=thresh, **shape), samples, cv=KFold(cv)))
              for thresh in candidates]  # fmt: skip
    return candidates, np.array(losses)


def global_reference(epochs, seed):
    """Global thresholds of every type, their loss curves, and the validation curve."""
    cv, arrays, about = 5, {}, {}
    for key, decim in (("rejection_threshold", 1), ("rejection_threshold_decim2", 2)):
        found = autoreject.get_rejection_threshold(
            epochs.copy(), decim=decim, random_state=seed, cv=cv, verbose=False)  # fmt: skip
        about[key] = {"result": {kind: float(value) for kind, value in found.items()}}
    for kind in about["rejection_threshold"]["result"]:
        samples = epochs.get_data(picks=mne.pick_types(epochs.info, **{kind: True}), copy=True)
        candidates, losses = global_losses(samples, cv)
        arrays |= {f"global_candidates_{kind}": candidates, f"global_losses_{kind}": losses}
    train, test, values = autoreject.validation_curve(epochs, cv=cv, return_param_range=True)
    arrays |= {"validation_train": train, "validation_test": test, "validation_param_range": values}
    return arrays, about


def reference(data, meta, params, seed):
    """All of autoreject's intermediate and final answers: (arrays, description)."""
    warnings.simplefilter("ignore")
    epochs = epochs_array(data, meta)
    n_epochs = len(epochs)
    picks = mne.pick_types(epochs.info, eeg=True, exclude="bads")
    raw = epochs.get_data(copy=True)
    interpolated = _clean_by_interp(epochs.copy(), picks=picks, verbose=False)
    augmented = interpolated.get_data(copy=True)[:, picks]

    labels01 = np.r_[np.zeros(n_epochs), np.ones(n_epochs)]
    splitter = StratifiedShuffleSplit(n_splits=10, test_size=0.2, random_state=seed)
    both = np.concatenate([raw[:, picks], augmented])
    splits = list(splitter.split(both, labels01))
    tables = [threshold_table(both[:, i], splits) for i in range(len(picks))]

    fitted = autoreject_of(params, seed).fit(epochs.copy())
    cleaned, log = fitted.transform(epochs, return_log=True)
    by_random = autoreject.compute_thresholds(
        epochs.copy(), method="random_search", random_state=seed, verbose=False)  # fmt: skip
    names = [meta["ch_names"][pick] for pick in picks]
    labels = np.where(np.isnan(log.labels), -1, log.labels).astype(np.int32)
    positions = np.array([channel["loc"][:3] for channel in epochs.info["chs"]])
    map_bads, map_goods, mapping = mapping_of(positions, picks)
    kept = np.flatnonzero(~log.bad_epochs)
    bad_epochs = log.bad_epochs.astype(np.int32)

    arrays = {
        "ptp": np.ptp(raw[:, picks], axis=-1),
        "cv_train": np.array([train for train, _ in splits], dtype=np.int32),
        "cv_test": np.array([test for _, test in splits], dtype=np.int32),
        "augmented": augmented,
        "augmented_ptp": np.ptp(augmented, axis=-1),
        "threshold_candidates": padded([c for c, _ in tables], 2 * n_epochs),
        "threshold_losses": padded([loss for _, loss in tables], 2 * n_epochs),
        "thresholds_bayes": np.array([fitted.threshes_[name] for name in names]),
        "thresholds_random": np.array([by_random[name] for name in names]),
        "loss": fitted.loss_["eeg"],
        "loss_eeg": fitted.loss_["eeg"],
        "labels": labels,
        "bad_epochs": bad_epochs,
        "bad_epochs_eeg": bad_epochs,
        "cleaned": cleaned.get_data(copy=True).reshape(len(kept), *raw.shape[1:]),
        "mapping_eeg": mapping,
    }
    ransac_arrays, ransac_about = ransac_reference(epochs, picks)
    global_arrays, global_about = global_reference(epochs, seed)
    arrays |= ransac_arrays | global_arrays
    description = {
        "case": meta["name"],
        "seed": seed,
        "picks": [int(pick) for pick in picks],
        "picks_by_type": {"eeg": [int(pick) for pick in picks]},
        "type_order": ["eeg"],
        "pick_names": names,
        "ch_names": meta["ch_names"],
        "software": software(),
        "autoreject": {
            "params": {
                "cv": params.get("cv", 10),
                "cv_kind": "KFold, no shuffle",
                "n_interpolate": [int(value) for value in fitted.n_interpolate],
                "consensus": [float(value) for value in fitted.consensus],
                "random_state": seed,
                "thresh_method": "bayesian_optimization",
                "given": sorted(params),
            },
            "consensus_": {"eeg": float(fitted.consensus_["eeg"])},
            "n_interpolate_": {"eeg": int(fitted.n_interpolate_["eeg"])},
            "n_bad_epochs": int(log.bad_epochs.sum()),
            "label_counts": {str(v): int((labels == v).sum()) for v in (-1, 0, 1, 2)},
            "transform": {"result": [len(kept), *raw.shape[1:]], "warnings": []},
            "cleaned": {
                "kept_epochs": [int(epoch) for epoch in kept],
                "n_saved": len(kept),
                "note": "all kept epochs, all channels",
            },
        },
        "threshold_loss_picks": {"pick_positions": list(range(len(picks))), "names": names},
        "mapping": {
            "eeg": {
                "bads": [int(i) for i in map_bads],
                "goods": [int(i) for i in map_goods],
                "shape": list(mapping.shape),
            }
        },
        "files": {f"{key}.npy": [*map(int, a.shape), str(a.dtype)] for key, a in arrays.items()},
    }
    description |= ransac_about | global_about
    return arrays, description


def software():
    return {
        "autoreject": autoreject.__version__,
        "mne": mne.__version__,
        "numpy": np.__version__,
        "sklearn": sklearn.__version__,
        "scipy": scipy.__version__,
    }


def write_case(folder, data, meta, params, seed):
    arrays, description = reference(data, meta, params, seed)
    (folder / "expected").mkdir(parents=True, exist_ok=True)
    np.save(folder / "epochs.npy", np.ascontiguousarray(data))
    (folder / "meta.json").write_text(json.dumps(meta, indent=1) + "\n")
    for name, array in arrays.items():
        np.save(folder / "expected" / f"{name}.npy", np.ascontiguousarray(array))
    (folder / "expected" / "expected.json").write_text(json.dumps(description, indent=1) + "\n")
    return description


def write_cases(output, cases):
    """Writes each case below output; returns the folders."""
    folders = []
    for data, meta, params, seed in cases:
        folder = Path(output) / meta["name"]
        made = write_case(folder, data, meta, params, seed)["autoreject"]
        print(f"{folder}: consensus {made['consensus_']['eeg']:.2f}, n_interpolate "
              f"{made['n_interpolate_']['eeg']}, {made['n_bad_epochs']} bad epochs, labels "
              f"{made['label_counts']}")  # fmt: skip
        folders.append(folder)
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="folder that gets one folder per case")
    parser.add_argument("--seed", type=int, help="make fresh cases instead of the committed ones")
    arguments = parser.parse_args()
    cases = committed_cases() if arguments.seed is None else fresh_cases(arguments.seed)
    write_cases(arguments.output, cases)
    print(" ".join(f"{name} {version}" for name, version in software().items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
