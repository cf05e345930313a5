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

import live_jobs  # noqa: E402
import make_meg_reference  # noqa: E402
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
        loc = [float(x) if np.isfinite(x) else None for x in channel["loc"]]
        made = {"name": name, "type": kind, "bad": name in epochs.info["bads"], "loc": loc}
        channels.append(made | {"coil_type": int(channel["coil_type"])})
    description = {
        "name": "live", "sfreq": epochs.info["sfreq"], "tmin": float(epochs.tmin), "dtype": dtype,
        "n_epochs": len(epochs), "n_times": len(epochs.times), "channels": channels,
        "events": epochs.events.tolist(), "event_id": epochs.event_id,
        "projectors": [{
            "description": proj["desc"], "active": proj["active"],
            "channels": proj["data"]["col_names"], "vectors": proj["data"]["data"].tolist(),
        } for proj in epochs.info["projs"]],
    }  # fmt: skip
    if epochs.info["dev_head_t"] is not None:
        description["device_to_head"] = epochs.info["dev_head_t"]["trans"].tolist()
    return description, epochs.get_data(copy=True).astype(dtype)


def labels_of(log):
    return np.where(np.isnan(log.labels), -1, log.labels).astype(int)


def largest_error(cleaned, want, data):
    if cleaned.shape != want.shape:
        return np.inf
    span = np.maximum(np.ptp(data, axis=(0, 2)), 1e-30)[None, :, None]
    return float((np.abs(cleaned - want) / span).max()) if want.size else 0.0


def compare_over_http(api, folder, reference):
    """One case: with autoreject's thresholds given, and as a whole."""
    case = Case(folder)
    params = case.expected["autoreject"]["params"]
    given = {key: params[key] for key in params["given"]}
    epochs = reference.epochs_array(case.data, case.meta)
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
        choice = result["consensus"], result["n_interpolate"]
        theirs_choice = dict(theirs.consensus_), {k: int(v) for k, v in theirs.n_interpolate_.items()}
        report(name, choice == theirs_choice, f"consensus, n_interpolate {choice}, {theirs_choice} expected")
        cleaned = api.get(f"/v1/jobs/{job['id']}/result/cleaned.npy").array()
        error = largest_error(cleaned, want, epochs.get_data(copy=True))
        report(name, error <= precision, f"cleaned differs by {error:.1e} of a channel's range")
    live_jobs.compare(api, dataset["id"], epochs, theirs, result["model"], params["random_state"], precision,
                      report, f"{folder.name} over HTTP,")  # fmt: skip
    if result["bad_epochs"] != list(range(len(epochs))):
        live_jobs.compare_files(api, folder, epochs, theirs, given, 1e-8, report, f"{folder.name},")


def compare_in_c(test, folders):
    global failed
    parity = subprocess.run([program(test), *folders], text=True, stdout=subprocess.PIPE)
    print("\n".join(line for line in parity.stdout.splitlines() if " passed, " not in line))
    if parity.returncode != 0:
        failed += 1
        report(test, "FAIL" in parity.stdout, f"exit status {parity.returncode}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=int(datetime.date.today().strftime("%Y%m%d")))
    seed = parser.parse_args().seed
    with tempfile.TemporaryDirectory(prefix="rejectd-live-") as temporary:
        print(f"seed {seed}")
        daemon = Daemon(temporary).start()
        try:
            for reference, tests in ((make_reference, ("test_golden", "test_golden_more")),
                                     (make_meg_reference, ("test_golden_meg",))):  # fmt: skip
                folders = reference.write_cases(temporary, reference.fresh_cases(seed))
                for test in tests:
                    compare_in_c(test, folders)
                for folder in folders:
                    compare_over_http(daemon.api, folder, reference)
        finally:
            daemon.stop()
    print(", ".join(f"{name} {version}" for name, version in make_reference.software().items()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
