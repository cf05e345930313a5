#!/usr/bin/env python3
"""Fits on a GPU, kernel by kernel, against what the GPU can do at most; writes results/cuda_CARD.json.

    cuda.py [--folder build/release/tests/bench] [--module PATH] [--commit ID] [--out FOLDER]
            [--epochs 300 1000 6000] [--channels 128] [--times 1000] [--repeat 5] [--no-cpu]
    cuda.py --again results/cuda_h200.json     tables and charts of figures measured before

Runs bench_cuda (tests/bench/bench_cuda.c: from the host's memory, resident, and again with other
consensus and n_interpolate) twice for each number of epochs and either precision: once for the
times, with a fit on the processor to compare, and once with REJECTD_CUDA_TRACE for its kernels; and
cuda_limits for what the card can do. bench_maps
maps MEG sensors on both. cuda_work.py says what each kernel has to do. Beside the JSON
go cuda_CARD_kernels.svg (each kernel and its bound) and cuda_CARD_fits.svg (GPU and processor).

Needs a GPU, the three programs and the module, Python with matplotlib, and no build tree: --folder has
bench_cuda, bench_maps, cuda_limits and, unless --module says where it is, rejectd_cuda.so; the folders of a
build are looked through too.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import cuda_work
import report

# Milliseconds of device work in a complete fit of 128 channels x 1000 samples on an H200, from a
# model of its memory and arithmetic that was made before there was a kernel.
ROOFLINE_H200 = {(300, "float64"): 4, (300, "float32"): 3, (6000, "float64"): 62, (6000, "float32"): 37}
PRECISIONS = ("float64", "float32", "float16", "bfloat16")


def find(folder, *names):
    """The first of these paths below the folder that exists."""
    for name in names:
        if (path := folder / name).exists():
            return path.resolve()
    raise SystemExit(f"cuda.py: no {names[0]} in {folder}")


def run(command, trace=False):
    environment = os.environ | ({"REJECTD_CUDA_TRACE": "1"} if trace else {})
    done = subprocess.run([*map(str, command)], env=environment, text=True, capture_output=True)
    if done.returncode != 0:
        raise SystemExit(f"cuda.py: {command[0]} failed: {done.stderr.strip()}")
    return done


def read_trace(text, kind="resident"):
    """Median milliseconds of each mark over the fits of a kind."""
    fits, current = [], None
    for line in text.splitlines():
        if line.startswith("fit "):
            current = {} if line == f"fit {kind}" else None
            if current is not None:
                fits.append(current)
        elif current is not None and (mark := re.fullmatch(r"trace (\S+) \d+ ([\d.]+)", line)):
            current[mark[1]] = float(mark[2])
    names = sorted({name for fit in fits for name in fit})
    return {name: round(statistics.median(fit.get(name, 0.0) for fit in fits), 4) for name in names}


def measure_fits(program, module, arguments):
    for epochs in arguments.epochs:
        for precision in PRECISIONS:
            command = [program, "--module", module, "--epochs", epochs, "--channels",
                       arguments.channels, "--times", arguments.times, "--precision", precision]  # fmt: skip
            timed = [*command, "--repeat", arguments.repeat, *([] if arguments.no_cpu else ["--compare"])]
            fit = json.loads(run(timed).stdout)
            traced = run([*command, "--repeat", min(3, arguments.repeat)], trace=True)
            fit["milliseconds_per_kernel_resident"] = read_trace(traced.stderr)
            print(f"{epochs} {precision}: " + ", ".join(
                f"{kind} {fit[kind]['median'] * 1e3:.2f} ms" for kind in ("from_host", "resident", "again")), flush=True)  # fmt: skip
            yield fit


def measure_maps(program, module, limits, sets):
    """MEG: sets of sensors a second, on the GPU and on the processor, beside what a model allows."""
    for sensors in (102, 204, 306):
        for left_out, projectors in ((1, 0), (4, 0), (32, 0), (4, 8)):
            command = [program, "--module", module, "--sensors", sensors, "--sets", sets,
                       "--left-out", left_out, "--projectors", projectors]  # fmt: skip
            maps = json.loads(run(command).stdout)
            predicted = cuda_work.predicted_sets_per_s(sensors, left_out, limits, projectors)
            maps["model_sets_per_s"] = round(predicted, 1)
            print(f"maps of {sensors} without {left_out}, {projectors} projectors: "
                  f"{maps['device_sets_per_s']} sets/s, processor {maps['host_sets_per_s']}", flush=True)  # fmt: skip
            yield maps


def driver():
    try:
        asked = subprocess.run(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"],
                               text=True, capture_output=True)  # fmt: skip
        return asked.stdout.splitlines()[0].strip() if asked.returncode == 0 else ""
    except (OSError, IndexError):
        return ""


def measure(arguments):
    folder = arguments.folder
    module = arguments.module or find(folder, "rejectd_cuda.so", "../../worker/cuda/rejectd_cuda.so",
                                      "worker/cuda/rejectd_cuda.so")  # fmt: skip
    program = find(folder, "bench_cuda", "tests/bench/bench_cuda")
    limits = json.loads(run([find(folder, "cuda_limits", "tests/bench/cuda_limits")]).stdout)
    maps = find(folder, "bench_maps", "tests/bench/bench_maps")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": arguments.commit or report.revision(),
        "card": limits.pop("device"),
        "driver": driver(),
        "machine": report.machine(),
        "limits": limits,
        "fits": list(measure_fits(program, module, arguments)),
        "maps": list(measure_maps(maps, module, limits, arguments.sets)),
    }


def judge(figures):
    """Adds what follows from the figures: ratios, and the table of kernels."""
    for fit in figures["fits"]:
        transfer = fit["bytes"] / figures["limits"]["link_bytes_per_s"]
        ratios = {"from_host_over_transfer": fit["from_host"]["median"] / transfer}
        roofline = ROOFLINE_H200.get((fit["epochs"], fit["precision"])) if "H200" in figures["card"] else None
        if roofline and (fit["channels"], fit["times"]) == (128, 1000):
            ratios["resident_over_roofline"] = fit["resident"]["median"] * 1e3 / roofline
        if "cpu_seconds" in fit:
            ratios["processor_over_resident"] = fit["cpu_seconds"] / fit["resident"]["median"]
            ratios["processor_over_from_host"] = fit["cpu_seconds"] / fit["from_host"]["median"]
        fit["transfer_milliseconds"] = round(transfer * 1e3, 3)
        fit["ratios"] = {name: round(ratio, 3) for name, ratio in ratios.items()}
        if "milliseconds_per_kernel_resident" in fit:
            fit["kernels"] = cuda_work.table(fit, figures["limits"])


def show(figures):
    for fit in figures["fits"]:
        print(f"\n{fit['epochs']} x {fit['channels']} x {fit['times']}, {fit['precision']}: {fit['ratios']}")
        for row in fit.get("kernels", []):
            line = f"  {row['name']:20} {row['milliseconds']:9.4f} ms"
            if "bytes" in row:
                line += (f" {row['gigabytes_per_s']:8.1f} GB/s {row['gigaflops']:9.1f} Gflop/s"
                         f" {row['share_of_the_limit']:6.1%} of {row['bound_by']}")  # fmt: skip
            elif row.get("host"):
                line += " (the host's work)"
            print(line)


def card_name(card):
    """A card as part of a file's name: h200 for NVIDIA H200."""
    return re.sub(r"[^a-z0-9]+", "_", card.lower().removeprefix("nvidia ")).strip("_")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=report.BUILD / "tests" / "bench")
    parser.add_argument("--module", type=Path, help="rejectd_cuda.so")
    parser.add_argument("--commit", help="where git can't tell what was built")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    parser.add_argument("--epochs", type=int, nargs="+", default=[300, 1000, 6000])
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--times", type=int, default=1000)
    parser.add_argument("--sets", type=int, default=4096, help="of MEG sensors that are mapped")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--no-cpu", action="store_true", help="no fit on the processor")
    parser.add_argument("--again", type=Path, help="figures of before, instead of measuring")
    arguments = parser.parse_args()
    figures = json.loads(arguments.again.read_text()) if arguments.again else measure(arguments)
    judge(figures)
    show(figures)
    out = arguments.again.parent if arguments.again else arguments.out
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"cuda_{card_name(figures['card'])}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"\nwritten to {path}")
    try:
        import cuda_chart
    except ModuleNotFoundError as missing:
        print(f"no charts: there is no {missing.name}")
        return 0
    for chart in cuda_chart.draw(figures, path):
        print(f"written to {chart}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
