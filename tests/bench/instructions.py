#!/usr/bin/env python3
"""Instructions of a small fixed fit, counted by callgrind, which timing noise does not touch.

    instructions.py [BUILD FOLDER] [--record]

Runs bench_fit under valgrind on simulated epochs, one thread, at the instruction sets that valgrind
knows, twice: the counts must be equal to a millionth. They are compared with results/instructions.json,
which --record rewrites; a difference is reported, not failed, since compilers and libraries differ
between machines.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import report

FIT = ["--epochs", "24", "--channels", "20", "--times", "200", "--threads", "1", "--repeat", "1",
       "--no-limits", "--seed", "1"]  # fmt: skip
VARIANTS = {
    "float64 x86-64-v3": ["--instruction-set", "x86-64-v3"],
    "float32 x86-64-v3": ["--instruction-set", "x86-64-v3", "--dtype", "float32", "--precision", "float32"],
    "float64 x86-64": ["--instruction-set", "x86-64"],
    "float64 reference": ["--backend", "reference"],
}


def count(program, arguments):
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out",
             "--toggle-collect=fit_run", program, *FIT, *arguments],
            capture_output=True, text=True, env={"PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    found = re.search(r"Collected : (\d+)", done.stderr)
    if done.returncode != 0 or found is None or int(found[1]) == 0:
        raise RuntimeError(f"exit status {done.returncode}: {done.stdout[-400:]} {done.stderr[-1200:]}")
    return int(found[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", nargs="?", type=Path, default=report.BUILD)
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    program = arguments.build.resolve() / "tests" / "bench" / "bench_fit"
    recorded_at = report.RESULTS / "instructions.json"
    recorded = json.loads(recorded_at.read_text())["counts"] if recorded_at.is_file() else {}
    counts, failed = {}, 0
    for name, options in VARIANTS.items():
        try:
            first, second = count(program, options), count(program, options)
        except (RuntimeError, OSError) as error:
            print(f"FAIL {name}: {error}")
            failed += 1
            continue
        counts[name] = first
        steady = abs(first - second) <= 1e-6 * first
        failed += not steady
        print(f"{'ok  ' if steady else 'FAIL'} {name}: {first} instructions, again {second}")
        if name in recorded:
            print(f"note: {name}: {first / recorded[name]:.4f} of the recorded {recorded[name]}")
    if arguments.record and not failed:
        report.write("instructions", {"machine": report.machine(), "fit": FIT, "counts": counts})
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
