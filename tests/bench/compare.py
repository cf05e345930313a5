#!/usr/bin/env python3
"""A complete fit by autoreject and by rejectd: the same epochs, one machine, one run.

    compare.py [--epochs 100] [--channels 128] [--times 1000] [--repeat 5] [--name NAME]

autoreject runs with n_jobs=1 and n_jobs=2 and one BLAS thread, rejectd's C library through
bench_fit with all processors and with one. Needs the Python environment of tests/run
(build/venv/bin/python). Prints the ratios and writes results/NAME.json.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "parity"))

import make_reference  # noqa: E402
import mne  # noqa: E402
import numpy as np  # noqa: E402
import report  # noqa: E402


# Other names of places that have one already, and places off the scalp.
ALIASES = ("T3", "T4", "T5", "T6", "M1", "M2", "A1", "A2")


def electrodes(count):
    """Names and positions of that many electrodes spread over the 10-05 montage."""
    montage = mne.channels.make_standard_montage("standard_1005")
    known = [name for name in montage.ch_names if name not in ALIASES]
    chosen = known[:: max(1, len(known) // count)][:count]
    return chosen, make_reference.eeg_positions(chosen)


def make_epochs(arguments):
    rng = np.random.default_rng(arguments.seed)
    names, positions = electrodes(arguments.channels)
    data = make_reference.simulated_epochs(rng, positions, arguments.epochs, arguments.times, 1000.0)
    meta = make_reference.make_meta("bench", names, ["eeg"] * len(names), positions, data, 1000.0)
    return data, meta


def autoreject_seconds(data, meta, n_jobs):
    import autoreject

    epochs = make_reference.epochs_array(data, meta)
    solver = autoreject.AutoReject(random_state=42, n_jobs=n_jobs, verbose=False)
    wall, cpu = time.perf_counter(), sum(os.times()[:4])
    solver.fit(epochs)
    log = solver.get_reject_log(epochs)
    return {
        "n_jobs": n_jobs,
        "seconds": time.perf_counter() - wall,
        "cpu_seconds": sum(os.times()[:4]) - cpu,
        "consensus": float(solver.consensus_["eeg"]),
        "n_interpolate": int(solver.n_interpolate_["eeg"]),
        "bad_epochs": int(log.bad_epochs.sum()),
    }


def rejectd_seconds(folder, threads, repeat):
    out = folder / "bench.json"
    done = report.bench("bench_fit", "--dataset", folder / "dataset.json", "--samples", folder / "epochs.npy",
                        "--repeat", repeat, "--json", out, "--threads", threads)  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"bench_fit failed: {done.stderr}")
    print(done.stdout)
    return json.loads(out.read_text())


def write_dataset(folder, data, meta):
    np.save(folder / "epochs.npy", data)
    channels = [{"name": name, "type": "eeg", "position": place}
                for name, place in zip(meta["ch_names"], meta["ch_pos"])]  # fmt: skip
    keys = ("name", "sfreq", "tmin", "n_epochs", "n_times", "dtype")
    description = {key: meta[key] for key in keys} | {"channels": channels}
    (folder / "dataset.json").write_text(json.dumps(description))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("epochs", 100), ("channels", 128), ("times", 1000), ("repeat", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--name", help="of the file in results/; default compare_EPOCHSxCHANNELSxTIMES")
    arguments = parser.parse_args()
    name = arguments.name or f"compare_{arguments.epochs}x{arguments.channels}x{arguments.times}"

    machine = report.machine()
    data, meta = make_epochs(arguments)
    print(f"{data.shape} {data.dtype}, {machine['processor']}, {machine['processors']} processors")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_dataset(folder, data, meta)
        ours = {key: rejectd_seconds(folder, threads, arguments.repeat)
                for key, threads in (("all_processors", 0), ("one_thread", 1))}  # fmt: skip
    theirs = {f"n_jobs_{n}": autoreject_seconds(data, meta, n) for n in (1, 2)}
    fastest = {key: made["seconds"] for key, made in ours.items()}
    ratios = {f"{a}_over_{b}": theirs[a]["seconds"] / fastest[b] for a in theirs for b in fastest}
    for key, made in theirs.items():
        print(f"autoreject {key}: {made['seconds']:.1f} s ({made['cpu_seconds']:.1f} s of CPU)")
    for key, seconds in fastest.items():
        print(f"rejectd {key}: {seconds:.4f} s")
    for key, ratio in ratios.items():
        print(f"{key}: {ratio:.0f}")
    report.write(name, {"machine": machine, "versions": make_reference.software(), "shape": data.shape,
                        "dtype": str(data.dtype), "autoreject": theirs, "rejectd": ours,
                        "ratios": ratios})  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
