#!/usr/bin/env python3
"""Compares with the autoreject that PyPI has today, on data made on the spot.

    live.py [--seed N]        default: the date, so that every day tries other data

Runs autoreject on fresh simulated epochs, then the C parity programs on the same, then a daemon
end to end: mne.EpochsArray -> HTTP -> labels and repaired epochs of AutoReject.fit_transform. The
build folder is $REJECTD_BUILD (default build/release). Prints "ok ..." and "FAIL ..." lines.
"""

import argparse
import datetime
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "service"), str(ROOT / "tests" / "parity")]

import make_reference  # noqa: E402
import numpy as np  # noqa: E402
from daemon import Daemon, program  # noqa: E402
from samples import Case  # noqa: E402

failed = 0


def report(name, good, detail):
    global failed
    failed += not good
    print(f"{'ok  ' if good else 'FAIL'} {name}: {detail}", flush=True)


def dataset_of(epochs, dtype):
    """What a user of MNE posts: the description of an EpochsArray, and its samples."""
    types = epochs.get_channel_types()
    channels = []
    for name, kind, channel in zip(epochs.ch_names, types, epochs.info["chs"]):
        place = [float(x) for x in channel["loc"][:3]]
        made = {"name": name, "type": kind, "bad": name in epochs.info["bads"]}
        channels.append(made | ({"position": place} if np.isfinite(place).all() else {}))
    description = {
        "name": "live", "sfreq": epochs.info["sfreq"], "tmin": float(epochs.tmin), "dtype": dtype,
        "n_epochs": len(epochs), "n_times": len(epochs.times), "channels": channels,
        "events": epochs.events.tolist(), "event_id": epochs.event_id,
    }  # fmt: skip
    return description, epochs.get_data(copy=True).astype(dtype)


def labels_of(log):
    return np.where(np.isnan(log.labels), -1, log.labels).astype(int)


def largest_error(cleaned, want, data):
    if cleaned.shape != want.shape:
        return np.inf
    span = np.maximum(np.ptp(data, axis=(0, 2)), 1e-30)[None, :, None]
    return float((np.abs(cleaned - want) / span).max()) if want.size else 0.0


def compare_over_http(api, folder):
    """One case: with autoreject's thresholds given, and as a whole."""
    case = Case(folder)
    params = case.expected["autoreject"]["params"]
    given = {key: params[key] for key in params["given"]}
    epochs = make_reference.epochs_array(case.data, case.meta)
    theirs = make_reference.autoreject_of(given, params["random_state"])
    clean, log = theirs.fit_transform(epochs.copy(), return_log=True)
    want, labels = clean.get_data(copy=True), labels_of(log)

    dtype = case.meta["dtype"]
    description, data = dataset_of(epochs, dtype)
    dataset = api.upload(description, data)
    given |= {"random_state": params["random_state"]}
    precision = 1e-8 if dtype == "float64" else 1e-6
    thresholds = {name: float(value) for name, value in theirs.threshes_.items()}
    for kind, extra in (("its thresholds", {"thresholds": thresholds}), ("whole fit", {})):
        job, result = api.fit(dataset, **given, **extra)
        name = f"{folder.name} over HTTP, {kind}"
        same = [np.isclose(result["thresholds"][n], t, rtol=1e-9, atol=1e-18) for n, t in thresholds.items()]
        differ = int((np.array(result["labels"]) != labels).sum())
        if not all(same):
            # Its search depends on rounding (see the notes on thresholds_bayes in the README of the
            # golden data); then the rest legitimately differs too.
            few = sum(same) >= 0.9 * len(same)
            report(name, few, f"{sum(same)} of {len(same)} thresholds are equal, {differ} labels differ")
            continue
        report(name, differ == 0, f"{differ} labels differ")
        choice = (result["consensus"]["eeg"], result["n_interpolate"]["eeg"])
        theirs_choice = (float(theirs.consensus_["eeg"]), int(theirs.n_interpolate_["eeg"]))
        report(name, choice == theirs_choice, f"consensus, n_interpolate {choice}, {theirs_choice} expected")
        cleaned = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        error = largest_error(cleaned, want, epochs.get_data(copy=True))
        report(name, error <= precision, f"cleaned differs by {error:.1e} of a channel's range")


def compare_in_c(name, folders):
    """A parity program on the cases; its exit status."""
    done = subprocess.run([program(name), *folders], text=True, stdout=subprocess.PIPE)
    print("\n".join(line for line in done.stdout.splitlines() if " passed, " not in line))
    if done.returncode != 0:
        report(name, "FAIL" in done.stdout, f"exit status {done.returncode}")
    return done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(datetime.date.today().strftime("%Y%m%d")))
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory(prefix="rejectd-live-") as temporary:
        print(f"seed {seed}")
        folders = make_reference.write_cases(temporary, make_reference.fresh_cases(seed))
        parity = [compare_in_c(name, folders) for name in ("test_golden", "test_golden_more")]
        daemon = Daemon(temporary).start()
        try:
            for folder in folders:
                compare_over_http(daemon.api, folder)
        finally:
            daemon.stop()
    print(", ".join(f"{name} {version}" for name, version in make_reference.software().items()))
    return 1 if failed or any(parity) else 0


if __name__ == "__main__":
    sys.exit(main())
