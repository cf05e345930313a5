#!/usr/bin/env python3
"""Draws docs/fit.png: what a fit finds in simulated epochs, and one epoch before and after.

    docs/fit_figure.py [SERVER]      needs numpy, matplotlib, build/release and a running daemon
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402
import numpy as np  # noqa: E402
from matplotlib.colors import ListedColormap  # noqa: E402

HERE = Path(__file__).resolve().parent
CTL = HERE.parent / "build" / "release" / "client" / "rejectctl"
SERVER = sys.argv[1] if len(sys.argv) > 1 else "http://127.0.0.1:8765"
GOOD, BAD, REPAIRED = "#eef2ee", "#c8553d", "#3d7ea6"


def fit(folder):
    subprocess.run([CTL, "simulate", "--epochs", "120", "--channels", "64", "--output", folder], check=True)
    done = subprocess.run([CTL, "--server", SERVER, "fit", folder, "--json"], check=True, stdout=subprocess.PIPE)
    made = json.loads(done.stdout)
    cleaned = folder / "cleaned.npy"
    subprocess.run([CTL, "--server", SERVER, "download", made["job"], "cleaned", cleaned], check=True)
    return made["result"], np.load(folder / "epochs.npy"), np.load(cleaned)


def draw_labels(axis, result, truth, names):
    labels = np.array(result["labels"]).T
    axis.imshow(labels, aspect="auto", cmap=ListedColormap([GOOD, BAD, REPAIRED]), vmin=0, vmax=2,
                interpolation="nearest")  # fmt: skip
    for artefact in truth:
        if artefact["kind"] in ("blink", "muscle", "jump"):
            rows = [names.index(name) for name in artefact["channels"]]
            axis.plot([artefact["first_epoch"]] * len(rows), rows, "k.", markersize=1.5)
    for name, colour in (("bad", BAD), ("repaired", REPAIRED)):
        axis.plot([], [], "s", color=colour, label=name)
    axis.plot([], [], "k.", label="planted artefact")
    axis.set(xlabel="epoch", ylabel="sensor", title=f"{len(result['bad_epochs'])} bad epochs, "
             f"{(labels == 2).sum()} repairs of one sensor in one epoch")  # fmt: skip
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=3, frameon=False)


def draw_epoch(axis, before, after, step=120e-6):
    time = np.arange(before.shape[1]) / 250.0
    rows = np.linspace(0, len(before) - 1, 16).astype(int)
    for place, row in enumerate(rows):
        axis.plot(time, before[row] - place * step, color=BAD, linewidth=0.7)
        axis.plot(time, after[row] - place * step, color="black", linewidth=0.7)
    axis.plot([], [], color=BAD, label="before")
    axis.plot([], [], color="black", label="after")
    axis.set(xlabel="time (s)", yticks=[], title="one epoch, 16 of 64 sensors")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncol=2, frameon=False)


def main():
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        result, data, cleaned = fit(folder)
        names = [c["name"] for c in json.loads((folder / "dataset.json").read_text())["channels"]]
        truth = json.loads((folder / "truth.json").read_text())["artefacts"]
    kept = [epoch for epoch in range(len(data)) if epoch not in result["bad_epochs"]]
    change = [np.ptp(data[epoch] - cleaned[i], axis=1).max() for i, epoch in enumerate(kept)]
    chosen = int(np.argmax(change))
    figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), width_ratios=(1.5, 1), layout="constrained")
    draw_labels(axes[0], result, truth, names)
    draw_epoch(axes[1], data[kept[chosen]], cleaned[chosen])
    figure.savefig(HERE / "fit.png", dpi=110)


if __name__ == "__main__":
    main()
