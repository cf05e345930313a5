#!/usr/bin/env python3
"""A complete fit of MEG by autoreject and by rejectd: the same epochs, one machine, one run.

    compare_meg.py [--epochs 40] [--triplets 102] [--times 200] [--projectors] [--name NAME]

Sensors are those of a VectorView helmet: two planar gradiometers and a magnetometer in each place.
Otherwise as compare.py.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import compare  # sets the number of BLAS threads before NumPy is loaded
import numpy as np
import report

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))
import live  # noqa: E402
import make_meg_reference  # noqa: E402
import make_reference  # noqa: E402


def make_epochs(arguments):
    data, meta, _, _ = make_meg_reference.triplets_case(
        "bench", arguments.seed, arguments.triplets, 2, arguments.epochs, arguments.times, 1000.0)  # fmt: skip
    if not arguments.projectors:
        meta["projs"] = []
    meta["bads"] = []
    return make_meg_reference.epochs_array(data, meta).pick("meg")


def autoreject_seconds(epochs, n_jobs):
    import autoreject

    solver = autoreject.AutoReject(random_state=42, n_jobs=n_jobs, verbose=False)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    solver.fit(epochs.copy())
    log = solver.get_reject_log(epochs)
    return {
        "n_jobs": n_jobs,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:4]) - cpu,
        "consensus": {kind: float(value) for kind, value in solver.consensus_.items()},
        "n_interpolate": {kind: int(value) for kind, value in solver.n_interpolate_.items()},
        "bad_epochs": int(log.bad_epochs.sum()),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("epochs", 40), ("triplets", 102), ("times", 200), ("repeat", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--projectors", action="store_true", help="with three signal-space projectors")
    parser.add_argument("--name", help="of the file in results/; default compare_meg[_projectors]")
    arguments = parser.parse_args()
    machine = report.machine()
    epochs = make_epochs(arguments)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        description, data = live.dataset_of(epochs, "float64")
        np.save(folder / "epochs.npy", data)
        (folder / "dataset.json").write_text(json.dumps(description))
        ours = {key: compare.rejectd_seconds(folder, threads, arguments.repeat)
                for key, threads in (("all_processors", 0), ("one_thread", 1))}  # fmt: skip
    theirs = {f"n_jobs_{n}": autoreject_seconds(epochs, n) for n in (1, 2)}
    fastest = {key: made["seconds"] for key, made in ours.items()}
    ratios = {f"{a}_over_{b}": theirs[a]["seconds"] / fastest[b] for a in theirs for b in fastest}
    for key, made in theirs.items():
        print(f"autoreject {key}: {made['seconds']:.1f} s ({made['cpu_seconds']:.1f} s of CPU), "
              f"{made['consensus']}, {made['n_interpolate']}, {made['bad_epochs']} bad epochs")  # fmt: skip
    for key, seconds in fastest.items():
        print(f"rejectd {key}: {seconds:.4f} s")
    for key, ratio in ratios.items():
        print(f"{key}: {ratio:.0f}")
    name = arguments.name or "compare_meg" + ("_projectors" if arguments.projectors else "")
    report.write(name, {"machine": machine, "versions": make_reference.software(), "shape": data.shape,
                        "dtype": str(data.dtype), "autoreject": theirs, "rejectd": ours,
                        "ratios": ratios})  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
