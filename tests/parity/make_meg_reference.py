#!/usr/bin/env python3
"""Reference answers by autoreject itself for MEG, in the layout of the golden data.

Runs the released `autoreject` from PyPI, untouched, on simulated MEG and EEG. The released MNE-Python
evaluates Legendre series exactly, so all that depends on them is written as `*_exact`. The committed
cases in tests/parity/data_meg were made by

    make_meg_reference.py --output tests/parity/data_meg

live.py makes fresh ones with other seeds.
"""

import argparse
import json
import sys
import warnings
from pathlib import Path

from make_reference import (
    autoreject, autoreject_of, eeg_positions, EEG_NAMES, mne, np, padded, simulated_epochs, software,
    threshold_table,
)  # fmt: skip  # isort: skip
from autoreject.utils import _clean_by_interp, _compute_dots, _fast_map_meg_channels
from mne.io.constants import FIFF
from sklearn.model_selection import StratifiedShuffleSplit

ORIGIN = np.array([0.0, 0.0, 0.04])  # of the head's sphere, which the helmet surrounds


def helmet(rng, n, radius):
    """loc of n coils spread over the upper part of a sphere, each turned at random about its normal."""
    k = np.arange(n) + 0.5
    height, angle = 1.0 - 1.3 * k / n, np.pi * (1.0 + 5.0**0.5) * k
    across = np.sqrt(1.0 - height**2)
    normals = np.stack([across * np.cos(angle), across * np.sin(angle), height], axis=1)
    locs = []
    for normal in normals:
        x = np.cross(normal, rng.standard_normal(3))
        x /= np.linalg.norm(x)
        locs.append(np.r_[ORIGIN + radius * normal, x, np.cross(normal, x), normal])
    return np.array(locs)


def device_to_head():
    a = 0.1
    turn = np.array([[np.cos(a), -np.sin(a), 0.0], [np.sin(a), np.cos(a), 0.0], [0.0, 0.0, 1.0]])
    transform = np.eye(4)
    transform[:3, :3] = turn
    transform[:3, 3] = [0.001, -0.003, 0.004]
    return transform


def scaled(rng, locs, n_epochs, n_times, sfreq, unit):
    """Simulated sensors at the places, in units of `unit` instead of 10 microvolts."""
    return simulated_epochs(rng, locs[:, :3] - ORIGIN, n_epochs, n_times, sfreq) / 10e-6 * unit


def triplets_case(name, seed, n_triplets, n_eeg, n_epochs, n_times, sfreq=100.0, **params):
    """VectorView triplets, EEG after them, an EOG channel, a bad one of each, and two projectors."""
    rng = np.random.default_rng(seed)
    places = helmet(rng, n_triplets, 0.112)
    second = places.copy()  # the other planar gradiometer is turned by a quarter
    second[:, 3:6], second[:, 6:9] = places[:, 6:9], -places[:, 3:6]
    mag = scaled(rng, places, n_epochs, n_times, sfreq, 4e-13)
    grads = [scaled(rng, places, n_epochs, n_times, sfreq, 2e-12) for _ in range(2)]
    eeg = simulated_epochs(rng, eeg_positions(EEG_NAMES[:n_eeg]), n_epochs, n_times, sfreq)
    eog = 80e-6 * rng.standard_normal((n_epochs, 1, n_times)).cumsum(axis=-1) / 5.0

    names, types, coils, locs, parts = [], [], [], [], []
    for i in range(n_triplets):
        names += [f"MEG {i:02d}3", f"MEG {i:02d}2", f"MEG {i:02d}1"]
        types += ["grad", "grad", "mag"]
        coils += [3012, 3012, 3024]
        locs += [places[i], second[i], places[i]]
        parts += [grads[0][:, i], grads[1][:, i], mag[:, i]]
    data = np.concatenate([np.stack(parts, axis=1), eog, eeg], axis=1)
    names += ["EOG"] + EEG_NAMES[:n_eeg]
    types += ["eog"] + ["eeg"] * n_eeg
    coils += [1] * (1 + n_eeg)
    locs += [np.full(12, np.nan)]
    locs += [np.r_[place, np.zeros(9)] for place in eeg_positions(EEG_NAMES[:n_eeg])]
    picked = [n for n, t in zip(names, types) if t in ("mag", "grad")]
    projs = [
        {"channels": picked, "active": False, "vectors": rng.standard_normal((2, len(picked)))},
        {"channels": picked[2::3], "active": True, "vectors": np.ones((1, n_triplets))},
    ]
    meta = meta_of(name, names, types, coils, locs, data, sfreq, [names[4], EEG_NAMES[1]], projs)
    return data, meta, params, seed


def axial_case(name, seed, n, n_epochs, n_times, sfreq=100.0, **params):
    """Magnetometers and axial gradiometers of CTF (third-order compensation), 4D and KIT systems."""
    rng = np.random.default_rng(seed)
    locs = helmet(rng, n, 0.13)
    kinds = [3 << 16 | 5001, 4001, 4002, 6001]
    data = scaled(rng, locs, n_epochs, n_times, sfreq, 4e-13).astype(np.float32)
    names = [f"A{i}" for i in range(n)]
    coils = [kinds[i % len(kinds)] for i in range(n)]
    meta = meta_of(name, names, ["mag"] * n, coils, locs, data, sfreq, [], [])
    return data, meta, params, seed


def meta_of(name, names, types, coils, locs, data, sfreq, bads, projs):
    def finite(values):
        return [None if np.isnan(value) else float(value) for value in values]

    return {
        "name": name, "sfreq": sfreq, "tmin": -0.1,
        "n_epochs": int(data.shape[0]), "n_channels": int(data.shape[1]),
        "n_times": int(data.shape[2]), "dtype": str(data.dtype),
        "ch_names": names, "ch_types": types, "bads": bads,
        "ch_pos": [None if np.isnan(loc[:3]).any() else finite(loc[:3]) for loc in locs],
        "loc": [finite(loc) for loc in locs], "coil_type": coils,
        "dev_head_t": device_to_head().tolist(),
        "projs": [{**proj, "vectors": np.asarray(proj["vectors"]).tolist()} for proj in projs],
        "source": "simulated MEG",
    }  # fmt: skip


def epochs_array(data, meta):
    info = mne.create_info(meta["ch_names"], meta["sfreq"], meta["ch_types"])
    for channel, loc, coil in zip(info["chs"], meta["loc"], meta["coil_type"]):
        channel["loc"][:] = [np.nan if value is None else value for value in loc]
        channel["coil_type"] = coil
    with info._unlock():
        info["dev_head_t"] = mne.transforms.Transform("meg", "head", np.array(meta["dev_head_t"]))
        info["projs"] = [
            mne.Projection(
                active=proj["active"], kind=FIFF.FIFFV_PROJ_ITEM_FIELD, desc="simulated",
                data=dict(nrow=len(proj["vectors"]), ncol=len(proj["channels"]), row_names=None,
                          col_names=proj["channels"], data=np.array(proj["vectors"])))
            for proj in meta["projs"]
        ]  # fmt: skip
    info["bads"] = list(meta["bads"])
    return mne.EpochsArray(data.astype(np.float64), info, tmin=meta["tmin"], proj=False,
                           verbose=False)  # fmt: skip


def mappings(epochs, picks_by_type):
    """A few sensors of each MEG type, and of all together, from the others."""
    arrays, about = {}, {}
    groups = {kind: picks for kind, picks in picks_by_type.items() if kind in ("mag", "grad")}
    if len(groups) == 2:
        groups["meg_joint"] = sorted(groups["mag"] + groups["grad"])
    for kind, picks in groups.items():
        info = mne.pick_info(epochs.info, picks)
        bads = list(range(1, len(picks), 4))[:3]
        goods = [i for i in range(len(picks)) if i not in bads]
        arrays[f"mapping_{kind}_exact"] = _fast_map_meg_channels(info, goods, bads, mode="fast")
        about[kind] = {"bads": [picks[i] for i in bads], "goods": [picks[i] for i in goods]}
    return arrays, about


def reference(data, meta, params, seed):
    """All of autoreject's intermediate and final answers: (arrays, description)."""
    warnings.simplefilter("ignore")
    epochs = epochs_array(data, meta)
    n_epochs = len(epochs)
    fitted = autoreject_of(params, seed).fit(epochs.copy())
    picks = [int(pick) for pick in fitted.picks_]
    picks_by_type = {}
    for pick in picks:
        picks_by_type.setdefault(meta["ch_types"][pick], []).append(pick)
    raw = epochs.get_data(copy=True)
    augmented = np.zeros_like(raw)
    for these in picks_by_type.values():
        made = _clean_by_interp(epochs.copy(), picks=these, dots=fitted.dots, verbose=False)
        augmented[:, these] = made.get_data(copy=True)[:, these]

    labels01 = np.r_[np.zeros(n_epochs), np.ones(n_epochs)]
    splitter = StratifiedShuffleSplit(n_splits=10, test_size=0.2, random_state=seed)
    both = np.concatenate([raw, augmented])
    splits = list(splitter.split(both, labels01))
    tables = [threshold_table(both[:, pick], splits) for pick in picks]
    cleaned, log = fitted.transform(epochs, return_log=True)
    meg = mne.pick_types(epochs.info, meg=True, exclude=[])
    dots, _ = _compute_dots(mne.pick_info(epochs.info, meg), templates=None)
    kept = np.flatnonzero(~log.bad_epochs)
    mapped, about = mappings(epochs, picks_by_type)
    names = [meta["ch_names"][pick] for pick in picks]
    arrays = {
        "ptp": np.ptp(raw[:, picks], axis=-1),
        "self_dots_exact": dots,
        "augmented_ptp_exact": np.ptp(augmented[:, picks], axis=-1),
        "threshold_candidates_exact": padded([c for c, _ in tables], 2 * n_epochs),
        "threshold_losses_exact": padded([loss for _, loss in tables], 2 * n_epochs),
        "thresholds_bayes_exact": np.array([fitted.threshes_[name] for name in names]),
        "labels_exact": np.where(np.isnan(log.labels), -1, log.labels).astype(np.int32),
        "bad_epochs_exact": log.bad_epochs.astype(np.int32),
        "cleaned_exact": cleaned.get_data(copy=True).reshape(len(kept), *raw.shape[1:]),
        **{f"loss_{kind}_exact": loss for kind, loss in fitted.loss_.items()},
        **mapped,
    }
    description = {
        "case": meta["name"],
        "seed": seed,
        "picks": picks,
        "picks_by_type": picks_by_type,
        "type_order": list(picks_by_type),
        "pick_names": names,
        "software": software(),
        "autoreject": {
            "params": {
                "cv": params.get("cv", 10),
                "n_interpolate": [int(value) for value in fitted.n_interpolate],
                "consensus": [float(value) for value in fitted.consensus],
                "random_state": seed,
                "thresh_method": "bayesian_optimization",
                "given": sorted(params),
            },
        },
        "exact_legendre": {
            "consensus_": {key: float(value) for key, value in fitted.consensus_.items()},
            "n_interpolate_": {key: int(value) for key, value in fitted.n_interpolate_.items()},
        },
        "threshold_loss_picks": {"pick_positions": list(range(len(picks))), "names": names},
        "mapping": about,
        "dots": {"rows": [int(channel) for channel in meg]},
    }
    return arrays, description


def committed_cases():
    grid = {"n_interpolate": [1, 2, 3], "consensus": [0.2, 0.4, 0.6, 0.9], "cv": 4}
    yield triplets_case("meg_triplets", 21, 11, 7, 16, 30, **grid)
    yield axial_case("meg_axial", 22, 20, 18, 30, cv=6)


def fresh_cases(seed):
    yield triplets_case("live_triplets", seed, 14, 10, 20, 50, n_interpolate=[1, 4], cv=5)
    yield axial_case("live_axial", seed + 1, 32, 24, 40)


def write_cases(output, cases):
    """Writes each case below output; returns the folders."""
    folders = []
    for data, meta, params, seed in cases:
        arrays, description = reference(data, meta, params, seed)
        folder = Path(output) / meta["name"]
        (folder / "expected").mkdir(parents=True, exist_ok=True)
        np.save(folder / "epochs.npy", np.ascontiguousarray(data))
        (folder / "meta.json").write_text(json.dumps(meta) + "\n")
        for name, array in arrays.items():
            np.save(folder / "expected" / f"{name}.npy", np.ascontiguousarray(array))
        (folder / "expected" / "expected.json").write_text(json.dumps(description) + "\n")
        print(f"{folder}: {description['exact_legendre']}, bad epochs "
              f"{int(arrays['bad_epochs_exact'].sum())}, labels "
              f"{np.unique(arrays['labels_exact'], return_counts=True)}")  # fmt: skip
        folders.append(folder)
    return folders


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", required=True, help="folder that gets one folder per case")
    parser.add_argument("--seed", type=int, help="make fresh cases instead of the committed ones")
    arguments = parser.parse_args()
    cases = committed_cases() if arguments.seed is None else fresh_cases(arguments.seed)
    write_cases(arguments.output, cases)
    print("autoreject", autoreject.__version__, "MNE-Python", mne.__version__)
    return 0


if __name__ == "__main__":
    sys.exit(main())
