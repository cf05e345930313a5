"""A real rejectd in a temporary directory on a port of its own."""

import os
import re
import signal
import subprocess
import threading
import time
from pathlib import Path

from api import Api

ROOT = Path(__file__).resolve().parents[2]
BUILD = Path(os.environ.get("REJECTD_BUILD", ROOT / "build" / "release")).resolve()
SANITIZED = BUILD.name in ("asan", "tsan")
# A sanitized daemon is several times slower; waiting times are stretched with it.
PATIENCE = 8.0 if SANITIZED else 1.0
REPORT = re.compile(
    r"ERROR: (Address|Leak)Sanitizer|WARNING: ThreadSanitizer|runtime error:|Assertion .* failed"
)
LISTENING = re.compile(r"rejectd listening on https?://127\.0\.0\.1:(\d+)")


def program(name):
    """Path of a built program; the programs lie in the room they are built from, or in bin/."""
    for folder in ("server", "client", "bin", "tests/bench", "tests/parity", ""):
        path = BUILD / folder / name
        if path.is_file():
            return path
    raise FileNotFoundError(f"{name} is not built below {BUILD}")


class Daemon:
    """start() and stop() or kill() as often as wanted; the data directory stays."""

    starts = 0  # of all daemons, so that each has a log of its own

    def __init__(self, folder, arguments=(), environment=None):
        self.folder = Path(folder)
        self.data = self.folder / "data"
        self.arguments = list(arguments)
        self.environment = dict(environment or {})
        self.process = None
        self.port = None

    def start(self):
        Daemon.starts += 1
        self.log = self.folder / f"stderr-{Daemon.starts}.txt"
        environment = {k: v for k, v in os.environ.items() if not k.startswith("REJECTD_")}
        # What stops a daemon in a test doesn't wait for its jobs, but where that is the test.
        environment["REJECTD_DRAIN_SECONDS"] = "0"
        environment.update(self.environment)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", self.data,
                 *self.arguments],
                stdout=subprocess.PIPE, stderr=log, env=environment, text=True,
            )  # fmt: skip
        self.output = []
        listening = threading.Event()
        threading.Thread(target=self._read_output, args=(listening,), daemon=True).start()
        if not listening.wait(20 * PATIENCE) or self.port is None:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"rejectd did not start: {self.output} {self.errors()}")
        self.api = Api(self.port)
        return self

    def _read_output(self, listening):
        self.port = None
        for line in self.process.stdout:
            self.output.append(line)
            found = LISTENING.search(line)
            if found:
                self.port = int(found.group(1))
                listening.set()
        listening.set()

    def token_command(self, *arguments):
        """rejectd token ... on this daemon's data directory, whether it runs or not."""
        return subprocess.run(
            [program("rejectd"), "token", *arguments, "--data-dir", self.data],
            capture_output=True, text=True, timeout=60, env={},
        )  # fmt: skip

    def add_token(self, user, *arguments):
        done = self.token_command("add", "--user", user, *arguments)
        assert done.returncode == 0, done
        return done.stdout.strip()

    def blobs(self):
        """The files of samples and results, finished or not."""
        return [path for path in (self.data / "blobs").iterdir() if path.name != "store-id"]

    def errors(self):
        return self.log.read_text(errors="replace")

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def stop(self):
        """Clean end: SIGTERM, exit code 0, and no report of a sanitizer."""
        assert self.alive(), f"rejectd ended by itself: {self.process.returncode} {self.errors()}"
        self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(20 * PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"rejectd did not end on SIGTERM: {self.errors()}") from None
        assert not REPORT.search(self.errors()), self.errors()
        assert code == 0, f"exit code {code}: {self.errors()}"

    def kill(self):
        """As a power cut for the process: SIGKILL, at once."""
        self.process.kill()
        self.process.wait()
        assert not REPORT.search(self.errors()), self.errors()

    def memory(self):
        """{"VmHWM": bytes, "VmRSS": bytes, ...} of the process."""
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        pairs = (line.split(":", 1) for line in lines if line.startswith("Vm"))
        return {key: int(value.split()[0]) * 1024 for key, value in pairs}

    def reset_peak(self):
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")


def eventually(condition, seconds, what):
    """The first true value of condition(), which is asked again and again."""
    deadline = time.monotonic() + seconds * PATIENCE
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds * PATIENCE} s: {what}")
