#!/usr/bin/env python3
"""What is foretold of jobs against what they take: seconds and bytes of the host, over several sizes.

    estimates.py [--most-bytes 500000000] [--kinds fit,ransac,...] [--directory DIR]

Starts the daemon of $REJECTD_BUILD (default build/release) on an empty data directory below DIR
(default: the current one), and runs jobs from small to large ones. Each is asked for before
it runs for the first time, when all that is known are smaller ones, and again before the second
time. The daemon is started anew for each job, so that what it grew by is the job's alone.
Writes results/estimates.json.
"""

import argparse
import sys
import tempfile
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

import report  # noqa: E402
from daemon import Daemon  # noqa: E402
from samples import description, noise  # noqa: E402

SHAPES = [(40, 32, 200), (100, 64, 500), (300, 64, 500), (100, 128, 1000), (300, 128, 1000), (1000, 128, 1000)]
KINDS = ["fit", "thresholds", "ransac", "global_thresholds", "validation_curve"]


def seconds_of(job):
    started, finished = (datetime.fromisoformat(job[key].rstrip("Z")) for key in ("started_at", "finished_at"))
    return (finished - started).total_seconds()


def run(daemon, request):
    """One job on a daemon that has just begun: what was foretold, and what it took."""
    daemon.start()
    try:
        answer = daemon.api.post("/v1/estimate", request)
        if answer.status != 200:
            raise SystemExit(f"no estimate: {answer}")
        told = answer.json()["devices"][0]
        daemon.reset_peak()
        before = daemon.memory()["VmRSS"]
        job = daemon.api.finish(daemon.api.submit(request)["id"], seconds=3600)
        if job["state"] != "succeeded":
            raise SystemExit(f"the job failed: {job}")
        return {
            "seconds_told": told["seconds"],
            "basis": told["basis"],
            "seconds_taken": seconds_of(job),
            "bytes_told": told["host_bytes"],
            "bytes_taken": daemon.memory()["VmHWM"] - before,
        }
    finally:
        daemon.stop()


def measure(daemon, kind, shape, dtype):
    daemon.start()
    dataset = daemon.api.upload(description(*shape, dtype=dtype), noise(*shape, dtype=dtype))
    daemon.stop()
    request = {"type": kind, "dataset": dataset["id"], "device": "cpu"}
    runs = [run(daemon, request) for _ in range(2)]
    for made in runs:
        print("{kind:17} {shape:14} {dtype}: {seconds_told:8.3f} s told ({basis}), {seconds_taken:8.3f} taken; "
              "{told:7.1f} MB told, {taken:7.1f} taken".format(
                  kind=kind, shape="x".join(map(str, shape)), dtype=dtype, told=1e-6 * made["bytes_told"],
                  taken=1e-6 * made["bytes_taken"], **made), flush=True)  # fmt: skip
    return {"kind": kind, "shape": shape, "dtype": dtype, "first": runs[0], "again": runs[1]}


def factor(run, what):
    return run[f"{what}_told"] / run[f"{what}_taken"]


def spread(rows, when, what):
    factors = sorted(factor(row[when], what) for row in rows)
    middle = len(factors) // 2
    median = (factors[middle] + factors[~middle]) / 2
    return {"least": factors[0], "median": median, "most": factors[-1]}


def summary(rows):
    made = {
        "told_over_taken": {
            "seconds_first": spread(rows, "first", "seconds"),
            "seconds_again": spread(rows, "again", "seconds"),
            "bytes": spread(rows, "first", "bytes"),
        },
    }
    for what, factors in made["told_over_taken"].items():
        print("told over taken, {}: {least:.2f} to {most:.2f}, median {median:.2f}".format(what, **factors))
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--most-bytes", type=int, default=500_000_000, help="of the samples of a job")
    parser.add_argument("--kinds", default=",".join(KINDS))
    parser.add_argument("--dtypes", default="float64,float32")
    parser.add_argument("--directory", default=".")
    parser.add_argument("--name", default="estimates", help="of the file in results/")
    arguments = parser.parse_args()
    machine = report.machine()
    rows = []
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="rejectd-bench-") as temporary:
        daemon = Daemon(Path(temporary).resolve())
        for shape in SHAPES:
            for kind in arguments.kinds.split(","):
                for dtype in arguments.dtypes.split(","):
                    if shape[0] * shape[1] * shape[2] * 8 <= arguments.most_bytes:
                        rows.append(measure(daemon, kind, shape, dtype))
    report.write(arguments.name, {"machine": machine, "jobs": rows} | summary(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
