#!/usr/bin/env python3
"""RANSAC, global thresholds and the validation curve by autoreject and by rejectd, as compare.py.

    compare_more.py [--epochs 100] [--channels 128] [--times 1000] [--repeat 5] [--name NAME]

The same epochs, one machine, one run; autoreject with n_jobs=1 and one BLAS thread, rejectd's C
library through bench_more with all processors and with one. Needs the Python environment of
tests/run (build/venv/bin/python). Prints the ratios and writes results/NAME.json.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import compare  # sets the number of BLAS threads before NumPy comes in
import make_reference
import numpy as np
import report

JOBS = ("ransac", "global_thresholds", "validation_curve")


def autoreject_results(data, meta):
    import autoreject

    epochs = make_reference.epochs_array(data, meta)

    def ransac():
        return {"bad_channels": list(autoreject.Ransac(n_jobs=1, verbose=False).fit(epochs).bad_chs_)}

    def global_thresholds():
        found = autoreject.get_rejection_threshold(epochs, random_state=42, verbose=False)
        return {"threshold": float(found["eeg"])}

    def validation_curve():
        return {"last_test_score": float(autoreject.validation_curve(epochs, n_jobs=1)[1][-1, -1])}

    made = {}
    for name, run in zip(JOBS, (ransac, global_thresholds, validation_curve)):
        start = time.perf_counter()
        result = run()
        made[name] = {"seconds": time.perf_counter() - start} | result
        print(f"autoreject {name}: {made[name]['seconds']:.2f} s")
    return made


def rejectd_results(folder, threads, repeat):
    out = folder / "bench.json"
    done = report.bench("bench_more", "--dataset", folder / "dataset.json", "--samples", folder / "epochs.npy",
                        "--repeat", repeat, "--json", out, "--threads", threads)  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"bench_more failed: {done.stderr}")
    print(done.stdout)
    return json.loads(out.read_text())


def same(a, b):
    """Whether two results agree, but for the time taken."""
    return all(np.isclose(a[k], b[k], rtol=1e-9, atol=0) if isinstance(a[k], float) else a[k] == b[k]
               for k in a if k != "seconds")  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("epochs", 100), ("channels", 128), ("times", 1000), ("repeat", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--name", help="of the file in results/; default compare_more_EPOCHSxCHANNELSxTIMES")
    arguments = parser.parse_args()
    name = arguments.name or f"compare_more_{arguments.epochs}x{arguments.channels}x{arguments.times}"

    machine = report.machine()
    data, meta = compare.make_epochs(arguments)
    print(f"{data.shape} {data.dtype}, {machine['processor']}, {machine['processors']} processors")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        compare.write_dataset(folder, data, meta)
        ours = {key: rejectd_results(folder, threads, arguments.repeat)
                for key, threads in (("all_processors", 0), ("one_thread", 1))}  # fmt: skip
    theirs = autoreject_results(data, meta)
    ratios = {f"{job}_{key}": theirs[job]["seconds"] / made[job]["seconds"]
              for job in JOBS for key, made in ours.items()}  # fmt: skip
    equal = {job: same(theirs[job], ours["all_processors"][job]) for job in JOBS}
    for job in JOBS:
        print(f"{job}: {ratios[f'{job}_all_processors']:.0f} times as fast with all processors, "
              f"{ratios[f'{job}_one_thread']:.0f} with one; "
              f"results {'equal' if equal[job] else 'differ'}")  # fmt: skip
    report.write(name, {"machine": machine, "versions": make_reference.software(), "shape": data.shape,
                        "dtype": str(data.dtype), "autoreject": theirs, "rejectd": ours,
                        "ratios": ratios, "equal": equal})  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
