"""What every benchmark writes: its figures, the machine, the versions; as JSON in results/."""

import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "tests" / "bench" / "results"
BUILD = Path(os.environ.get("REJECTD_BUILD", ROOT / "build" / "release")).resolve()


def machine():
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "")
    flags = next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])
    memory = next(line for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("MemTotal"))
    return {
        "processor": model,
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "avx512": "avx512f" in flags,
        "memory_bytes": int(memory.split()[1]) * 1024,
        "system": f"{platform.system()} {platform.release()}",
        "load_before": os.getloadavg()[0],
    }


def bench(program, *arguments):
    """Runs a program of tests/bench with as many threads as it wants: limits that are set here are
    for the Python packages that it is compared with."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("_NUM_THREADS")}
    command = [BUILD / "tests" / "bench" / program, *arguments]
    return subprocess.run([*map(str, command)], env=environment, text=True, capture_output=True)


def revision():
    try:
        git = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    except OSError:
        return ""  # no git here
    return git.stdout.strip()


def write(name, figures):
    figures = {"benchmark": name, "date": time.strftime("%Y-%m-%d"), "revision": revision(), "command": " ".join(map(str, sys.argv))} | figures
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"written to {path.relative_to(ROOT)}")
