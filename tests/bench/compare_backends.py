#!/usr/bin/env python3
"""A complete fit of the same epochs by autoreject and by each backend of rejectd, with a chart.

    compare_backends.py [--epochs 100] [--channels 128] [--times 1000] [--repeat 5] [--name NAME]
    compare_backends.py --save FOLDER ...        also leaves the epochs there
    compare_backends.py --epochs-of FOLDER --add results/NAME.json

Backends: reference (plain scalar C), cpu (all processors) and cuda, samples sent from the host each
time; cuda is left out where there is no GPU, and an emulated one is none. autoreject runs with one
job and one BLAS thread. Writes results/NAME.json (default compare_backends_EPOCHSxCHANNELSxTIMES),
which tells why a way was left out, and NAME.svg beside it.

A machine with a GPU may have no autoreject: the last form measures there what it has of epochs that
were saved elsewhere, and adds it to the figures of there. Each figure names its machine.

Needs the Python environment of tests/run (build/venv/bin/python) for autoreject, and matplotlib for
the chart; without either, that is left out.
"""

import argparse
import hashlib
import json
import sys
import tempfile
from pathlib import Path

import report

WAYS = {
    "autoreject": "autoreject, one job",
    "reference": "rejectd, reference",
    "cpu": "rejectd, cpu",
    "cuda": "rejectd, cuda",
}
TORCH = "its branch for PyTorch is on no package index"
KEPT = ("seconds", "seconds_median", "consensus", "n_interpolate", "bad_epochs", "repaired_sensors", "kernels", "threads")


def make(folder, arguments):
    import compare  # sets the number of BLAS threads before NumPy comes in

    data, meta = compare.make_epochs(arguments)
    compare.write_dataset(folder, data, meta)
    return data, meta


class LeftOut(Exception):
    """Why a way can't be measured here."""


def autoreject_figures(data, meta):
    try:
        import autoreject  # noqa: F401
        import compare
        import make_reference
    except ModuleNotFoundError as missing:
        raise LeftOut(f"there is no {missing.name}") from None
    return compare.autoreject_seconds(data, meta, 1) | {"versions": make_reference.software()}


def backend_figures(folder, way, arguments):
    chosen = ["--device", "cuda:0"] if way == "cuda" else ["--backend", way]
    repeat = 1 if way == "reference" else arguments.repeat
    out = folder / f"{way}.json"
    done = report.bench("bench_fit", "--dataset", folder / "dataset.json", "--samples", folder / "epochs.npy",
                        "--repeat", repeat, "--no-limits", "--json", out, *chosen)  # fmt: skip
    if done.returncode == 3:
        raise LeftOut(done.stderr.strip().rpartition("\n")[2].removeprefix("bench_fit: "))
    if done.returncode != 0:
        raise SystemExit(f"bench_fit failed: {done.stderr}")
    figures = json.loads(out.read_text())
    out.unlink()
    if figures["kernels"].startswith("emulated"):
        raise LeftOut("its times would be those of an emulation")
    return {key: figures[key] for key in KEPT}


def judge(figures):
    """What follows from the ways that were measured: ratios, and whether all agree."""
    ways = figures["ways"]
    fastest = {way: made["seconds"] for way, made in ways.items()}
    figures["ratios"] = {f"{slow}_over_{fast}": round(fastest[slow] / fastest[fast], 1)
                         for slow in WAYS for fast in WAYS
                         if slow in fastest and fast in fastest and fastest[slow] > fastest[fast]}  # fmt: skip
    results = {way: [made[key] for key in ("consensus", "n_interpolate", "bad_epochs")] for way, made in ways.items()}
    figures["same_results"] = len({json.dumps(result) for result in results.values()}) == 1


def draw(figures, path):
    try:
        import matplotlib
    except ModuleNotFoundError:
        print("note: no chart: there is no matplotlib")
        return
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": "rejectd", "svg.fonttype": "none", "font.size": 9}
    import matplotlib.pyplot as plt

    ways = [way for way in WAYS if way in figures["ways"]]
    seconds = [figures["ways"][way]["seconds"] for way in ways]
    figure, axes = plt.subplots(figsize=(7, 0.55 * len(ways) + 1.1), layout="constrained")
    axes.barh(range(len(ways)), seconds, color=["#b8b8b8", "#9ecae9", "#4c78a8", "#f58518"][: len(ways)], height=0.7)
    for place, value in enumerate(seconds):
        text = f"{value:.3g} s" if value >= 1 else f"{value * 1e3:.3g} ms"
        if "autoreject" in figures["ways"] and seconds[0] > 1.5 * value:
            text += f", {seconds[0] / value:.0f} times as fast"
        axes.text(value * 1.1, place, text, va="center")
    axes.set_xscale("log")
    axes.set_xlim(min(seconds) / 2, max(seconds) * 20)
    axes.set_yticks(range(len(ways)), [WAYS[way] for way in ways])
    axes.invert_yaxis()
    axes.set_xlabel("seconds of a complete fit")
    axes.set_title(" x ".join(map(str, figures["shape"])) + f", {figures['dtype']}", loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    chart = path.with_suffix(".svg")
    figure.savefig(chart, metadata={"Date": None})
    print(f"written to {chart}")


def measure(arguments, folder, before):
    """All ways, or those that the figures of before lack, and cuda anew."""
    data = meta = None
    if not arguments.epochs_of:
        data, meta = make(folder, arguments)
    description = json.loads((folder / "dataset.json").read_text())
    figures = {
        "shape": [description["n_epochs"], len(description["channels"]), description["n_times"]],
        "dtype": description["dtype"],
        "sha256": hashlib.sha256((folder / "epochs.npy").read_bytes()).hexdigest(),
    }
    if before and before["sha256"] != figures["sha256"]:
        raise SystemExit(f"compare_backends.py: {arguments.add} is about other epochs")
    ways = dict(before["ways"]) if before else {}
    machine = report.machine()
    left_out = {"autoreject_torch": TORCH} | (before.get("left_out", {}) if before else {})
    for way in WAYS:
        if way in ways and way != "cuda":
            continue
        try:
            if way != "autoreject":
                made = backend_figures(folder, way, arguments)
            elif data is not None:
                made = autoreject_figures(data, meta)
            else:
                raise LeftOut("the epochs are another machine's")
        except LeftOut as why:
            if way not in ways:
                left_out.setdefault(way, str(why))
            print(f"note: {way} is left out: {why}")
            continue
        ways[way] = made | {"machine": machine}
        left_out.pop(way, None)
        print(f"{WAYS[way]}: {made['seconds']:.4g} s")
    return figures | {"ways": ways, "left_out": left_out}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("epochs", 100), ("channels", 128), ("times", 1000), ("repeat", 5), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--name", help="of the files in results/")
    parser.add_argument("--save", type=Path, help="a folder to leave the epochs in")
    parser.add_argument("--epochs-of", type=Path, help="a folder that --save wrote, instead of new epochs")
    parser.add_argument("--add", type=Path, help="figures of the same epochs, to add to")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.epochs_of or arguments.save or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        before = json.loads(arguments.add.read_text()) if arguments.add else None
        figures = measure(arguments, folder, before)
    judge(figures)
    for key, ratio in figures["ratios"].items():
        print(f"{key}: {ratio}")
    print("results equal" if figures["same_results"] else "results differ")
    name = arguments.name or (arguments.add.stem if arguments.add else "compare_backends_" + "x".join(map(str, figures["shape"])))
    report.write(name, figures)
    draw(figures, report.RESULTS / f"{name}.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
