#!/usr/bin/env python3
"""How many times a second a job's status is read, with a token, and a static file of nginx beside it.

The daemon and nginx each have one core, wrk the other one. Where others use the machine, too, what
is done per second of processor time says more than what is done per second. Writes
tests/bench/results/status_reads.json.

    REJECTD_BUILD=build/release python3 tests/bench/status_reads.py [--seconds 8]
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "service"))

from daemon import Daemon  # noqa: E402
from proxies import free_port  # noqa: E402
from samples import description, noise  # noqa: E402

NGINX = """
user root; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log; daemon off;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; default_type application/json;
        server {{ listen 127.0.0.1:{port}; root {folder}/www; }} }}
"""


def processor_seconds(pids):
    """User and system time that processes have had."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def wrk(url, seconds, pids, headers=()):
    command = ["taskset", "-c", "1", "wrk", "-t1", "-c16", f"-d{seconds}s", "--latency", url]
    for header in headers:
        command += ["-H", header]
    before = processor_seconds(pids)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = processor_seconds(pids) - before
    assert "Non-2xx" not in output and "Socket errors" not in output, output
    times = dict(re.findall(r"(50|99)%\s+([\d.]+[mu]?s)", output))
    return {"per_second": float(re.search(r"Requests/sec:\s+([\d.]+)", output).group(1)),
            "per_processor_second": int(re.search(r"(\d+) requests in", output).group(1)) / used,
            "p50": times["50"], "p99": times["99"]}  # fmt: skip


def on_core_0(pid):
    subprocess.run(["taskset", "-a", "-p", "-c", "0", str(pid)], check=True, capture_output=True)


def measure(folder, seconds):
    daemon = Daemon(folder).start()
    dataset = daemon.api.upload(description(), noise())
    job, _ = daemon.api.fit(dataset, cv=3, consensus=[0.5], n_interpolate=[1])
    header = f"Authorization: Bearer {daemon.add_token('anna', '--role', 'admin')}"
    on_core_0(daemon.process.pid)
    path = f"/v1/jobs/{job['id']}"
    body = daemon.api.get(path, headers=dict([header.split(": ")])).body

    www = folder / "www" / "v1" / "jobs"
    www.mkdir(parents=True)
    (www / job["id"]).write_bytes(body)
    port = free_port()
    (folder / "nginx.conf").write_text(NGINX.format(folder=folder, port=port))
    nginx = subprocess.Popen(["/usr/sbin/nginx", "-e", folder / "error.log", "-c", folder / "nginx.conf"])
    time.sleep(1)
    on_core_0(nginx.pid)
    children = subprocess.run(["pgrep", "-P", str(nginx.pid)], capture_output=True, text=True).stdout
    workers = [nginx.pid, *map(int, children.split())]
    for child in children.split():
        on_core_0(child)
    rows = {"rejectd": [], "nginx": []}
    try:
        for _ in range(3):
            rows["rejectd"].append(wrk(f"http://127.0.0.1:{daemon.port}{path}", seconds, [daemon.process.pid], [header]))
            rows["nginx"].append(wrk(f"http://127.0.0.1:{port}{path}", seconds, workers, [header]))
    finally:
        nginx.terminate()
        nginx.wait()
        daemon.stop()
    return len(body), {name: sorted(row, key=lambda r: r["per_second"])[1] for name, row in rows.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=int, default=8)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as folder:
        size, medians = measure(Path(folder), seconds)
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True)
    report = {"date": str(date.today()), "commit": commit.stdout.strip(), "machine": platform.machine(),
              "answer_bytes": size, "connections": 16, "median_of": 3, **medians,
              "cores": os.cpu_count(), "load": os.getloadavg()[0],
              "ratio": medians["rejectd"]["per_second"] / medians["nginx"]["per_second"]}  # fmt: skip
    (ROOT / "tests" / "bench" / "results" / "status_reads.json").write_text(json.dumps(report, indent=1) + "\n")
    for name, row in medians.items():
        print(f"{name:8} {row['per_second']:9.0f} a second {row['per_processor_second']:9.0f} a processor second   p50 {row['p50']:>8}   p99 {row['p99']:>8}")
    print(f"ratio {report['ratio']:.2f}")


if __name__ == "__main__":
    main()
