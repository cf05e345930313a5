#!/usr/bin/env python3
"""What the service adds to the numerics: latency of a tiny fit, rate of a large upload.

    service.py [--upload-bytes 1000000000] [--fits 40] [--directory DIR]

Starts the daemon of $REJECTD_BUILD (default build/release) with its data in DIR (default: a
temporary folder below the current directory, so on this disk) and measures
  * the time from POST of a job on 30x32x200 epochs to its result in hand, less the compute time
    that the result tells;
  * the upload of samples, and of a -epo.fif file of float64, against `cp` of the same file to the
    same disk followed by fsync, with the daemon's memory before and at its peak.
Writes results/service.json.
"""

import argparse
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

import numpy as np  # noqa: E402
import report  # noqa: E402
from daemon import Daemon  # noqa: E402
from samples import description, noise  # noqa: E402


def tiny_fit(api, dataset):
    """(seconds from POST to result, seconds of compute), over one kept connection."""
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=60)
    connection.connect()

    def call(method, path, body=None):
        connection.request(method, path, body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())

    begun = time.perf_counter()
    job = call("POST", "/v1/jobs", json.dumps({"type": "fit", "dataset": dataset["id"], "reuse": False}))
    while job["state"] in ("queued", "running"):
        job = call("GET", f"/v1/jobs/{job['id']}?wait=30")
    result = call("GET", job["result"])
    took = time.perf_counter() - begun
    connection.close()
    return took, result["timings"]["fit"]


def measure_latency(api, fits):
    shape = (30, 32, 200)
    dataset = api.upload(description(*shape), noise(*shape))
    tiny_fit(api, dataset)
    pairs = [tiny_fit(api, dataset) for _ in range(fits)]
    beyond = sorted(took - compute for took, compute in pairs)
    made = {
        "shape": shape,
        "fits": fits,
        "seconds_median": statistics.median(took for took, _ in pairs),
        "compute_seconds_median": statistics.median(compute for _, compute in pairs),
        "beyond_compute_median": statistics.median(beyond),
        "beyond_compute_p95": beyond[int(0.95 * (len(beyond) - 1))],
        "beyond_compute_most": beyond[-1],
    }
    print("POST to result of a 30x32x200 fit: {seconds_median:.4f} s, of which compute "
          "{compute_seconds_median:.4f} s; beyond it {beyond_compute_median:.4f} s (95 % within "
          "{beyond_compute_p95:.4f} s, most {beyond_compute_most:.4f} s)".format(**made))  # fmt: skip
    return made


def copy_seconds(source, folder):
    target = folder / "copy"
    begun = time.perf_counter()
    subprocess.run(["cp", "--reflink=never", source, target], check=True)
    copied = time.perf_counter() - begun
    with target.open("rb") as file:
        os.fsync(file.fileno())
    synced = time.perf_counter() - begun
    target.unlink()
    return copied, synced


def send(daemon, source, method, path):
    """(seconds, resident bytes before, and at the peak) of sending a file; the answer."""
    daemon.reset_peak()
    before = daemon.memory()["VmRSS"]
    with source.open("rb") as body:
        begun = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=600, blocksize=1 << 20)
        connection.request(method, path, body, {"Content-Type": "application/octet-stream",
                                                "Content-Length": str(source.stat().st_size)})  # fmt: skip
        response = connection.getresponse()
        answer = response.read()
        took = time.perf_counter() - begun
    connection.close()
    if response.status not in (200, 201):
        raise SystemExit(f"upload refused: {answer}")
    return (took, before, daemon.memory()["VmHWM"]), json.loads(answer)


def upload_samples(daemon, source, made):
    dataset = daemon.api.create(made)
    measured, _ = send(daemon, source, "PUT", f"/v1/datasets/{dataset['id']}/samples")
    daemon.api.delete(f"/v1/datasets/{dataset['id']}")
    return measured


def upload_file(daemon, source):
    measured, dataset = send(daemon, source, "POST", "/v1/datasets")
    daemon.api.delete(f"/v1/datasets/{dataset['id']}")
    return measured


def measure_upload(source, folder, upload, what):
    rows = []
    for _ in range(3):
        copied, synced = copy_seconds(source, folder)
        took, before, peak = upload(source)
        rows.append({"cp": copied, "cp_and_fsync": synced, "upload": took, "rss_before": before, "rss_peak": peak})
    best = {key: min(row[key] for row in rows) for key in ("cp", "cp_and_fsync", "upload")}
    made = {
        "bytes": source.stat().st_size,
        "runs": rows,
        "cp_seconds": best["cp"],
        "cp_and_fsync_seconds": best["cp_and_fsync"],
        "upload_seconds": best["upload"],
        "upload_over_cp": best["upload"] / best["cp"],
        "upload_over_cp_and_fsync": best["upload"] / best["cp_and_fsync"],
        "memory_growth_bytes": max(row["rss_peak"] - row["rss_before"] for row in rows),
    }
    print(what + " of {bytes} bytes: {upload_seconds:.2f} s; cp {cp_seconds:.2f} s, with fsync "
          "{cp_and_fsync_seconds:.2f} s; the upload takes {upload_over_cp:.2f} and "
          "{upload_over_cp_and_fsync:.2f} times that; the daemon grew by {memory_growth_bytes} "
          "bytes".format(**made))  # fmt: skip
    return made


def measure_samples(daemon, folder, n_epochs):
    source = folder / "samples.bin"
    rng = np.random.default_rng(0)
    with source.open("wb") as file:
        for _ in range(n_epochs):
            file.write((1e-5 * rng.standard_normal((128, 1000))).tobytes())
    made = measure_upload(source, folder, lambda s: upload_samples(daemon, s, description(n_epochs, 128, 1000)),
                          "upload of samples")  # fmt: skip
    source.unlink()
    return made


def measure_file(daemon, folder, n_epochs):
    import mne

    rng = np.random.default_rng(0)
    epochs = mne.EpochsArray(1e-5 * rng.standard_normal((n_epochs, 128, 1000)),
                             mne.create_info(128, 1000.0, "eeg"), verbose=False)  # fmt: skip
    source = folder / "samples-epo.fif"
    epochs.save(source, fmt="double", verbose=False)
    del epochs
    made = measure_upload(source, folder, lambda s: upload_file(daemon, s), "upload of a FIF file")
    source.unlink()
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upload-bytes", type=int, default=10**9)
    parser.add_argument("--fits", type=int, default=40)
    parser.add_argument("--directory", default=".")
    parser.add_argument("--name", default="service", help="of the file in results/")
    arguments = parser.parse_args()
    machine = report.machine()
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="rejectd-bench-") as temporary:
        folder = Path(temporary).resolve()
        daemon = Daemon(folder).start()
        try:
            latency = measure_latency(daemon.api, arguments.fits)
            n_epochs = max(1, round(arguments.upload_bytes / (128 * 1000 * 8)))
            samples = measure_samples(daemon, folder, n_epochs)
            file = measure_file(daemon, folder, n_epochs)
        finally:
            daemon.stop()
    report.write(arguments.name, {"machine": machine, "tiny_fit": latency, "upload": samples, "upload_fif": file})
    return 0


if __name__ == "__main__":
    sys.exit(main())
