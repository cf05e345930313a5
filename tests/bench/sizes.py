#!/usr/bin/env python3
"""Complete fits of simulated epochs by size, sample type and instruction set; writes results/sizes.json.

    sizes.py [EPOCHS]...        default 100 300 1000 6000, of 128 channels x 1000 samples
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import report

PROGRAM = report.BUILD / "tests" / "bench" / "bench_fit"
SETS = ("x86-64-v4", "x86-64-v3")


def measure(epochs, dtype, instruction_set):
    precision = dtype  # float32 samples with float32 arithmetic, as who wants speed asks for it
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "bench.json"
        done = subprocess.run(
            [PROGRAM, "--epochs", str(epochs), "--channels", "128", "--times", "1000", "--dtype", dtype,
             "--precision", precision, "--instruction-set", instruction_set, "--repeat",
             "5" if epochs < 2000 else "2", "--json", out], text=True, capture_output=True)  # fmt: skip
        if done.returncode != 0:
            print(f"{epochs} {dtype} {instruction_set}: {done.stderr.strip()}")
            return None
        print(done.stdout)
        return json.loads(out.read_text())


def main():
    machine = report.machine()
    sizes = [int(text) for text in sys.argv[1:]] or [100, 300, 1000, 6000]
    fits = [measure(epochs, dtype, instruction_set)
            for epochs in sizes for dtype in ("float64", "float32") for instruction_set in SETS]  # fmt: skip
    report.write("sizes", {"machine": machine, "fits": [fit for fit in fits if fit is not None]})


if __name__ == "__main__":
    main()
