#!/usr/bin/env python3
"""Lets every single file operation of a session fail, one after the other.

    fault_campaign.py [--step N]

The session: a start, uploads, a job, downloads, a deletion, an end. In its N-th run the N-th
operation that changes something in the data directory fails, once with EIO and once with ENOSPC
(fault_preload.c), until there are no more. Requests that fail must be answered by 5xx, the daemon
must live on (or say at its start why it doesn't), and after a restart without faults all that was
acknowledged must be there, and what was not, whole or not at all. Prints "ok ..." and "FAIL ..." lines.
"""

import argparse
import errno
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from api import FINAL, as_base64
from daemon import BUILD, Daemon, program
from pieces import Pieces
from samples import description, noise

PRELOAD = BUILD / "tests" / "libfault_preload.so"
SHAPE = {"n_epochs": 8, "n_channels": 5, "n_times": 20}
JOB_SECONDS = 5


class Failure(Exception):
    pass


def expect(good, *what):
    if not good:
        raise Failure(" ".join(map(str, what)))


def digests(answers):
    return [hashlib.sha256(answer.body).hexdigest() for answer in answers]


class Session:
    def __init__(self, api):
        self.api = api
        self.n_refused = 0
        self.datasets, self.deleted, self.results = {}, [], {}
        self.jobs = {}  # job: as it was when it had ended; None: it was not seen to end
        self.pieces = {}  # dataset: (its upload, how much of it was acknowledged)

    def ask(self, answer, *accepted):
        """True when it was done; what wasn't must be the server's failure."""
        if answer.status in accepted:
            return True
        expect(answer.status >= 500, "answered by", answer)
        expect(answer.headers["Content-Type"].startswith("application/problem+json"), answer)
        self.n_refused += 1
        return False

    def upload(self, seed, by_put):
        data = noise(**SHAPE, seed=seed)
        digest = hashlib.sha256(data.tobytes()).hexdigest()
        inline = {} if by_put else {"data": as_base64(data)}
        answer = self.api.post("/v1/datasets", description(**SHAPE, **inline))
        if not self.ask(answer, 201):
            return None
        identity = answer.json()["id"]
        self.datasets[identity] = None if by_put else digest
        if by_put:
            answer = self.api.put(f"/v1/datasets/{identity}/samples", data.tobytes())
            if not self.ask(answer, 200):
                return None
            self.datasets[identity] = digest
        return identity

    def upload_in_pieces(self, seed):
        data = noise(**SHAPE, seed=seed)
        answer = self.api.post("/v1/datasets", description(**SHAPE))
        if not self.ask(answer, 201):
            return
        dataset = answer.json()
        self.datasets[dataset["id"]] = None
        upload = Pieces(self.api, dataset, data.tobytes())
        self.pieces[dataset["id"]] = upload, 0
        for first, end in ((0, 3001), (3001, 5000)):
            if not self.ask(upload.send(first, end), 204):
                return
            self.pieces[dataset["id"]] = upload, end
        if self.ask(upload.send(5000, len(upload.body)), 200):
            self.datasets[dataset["id"]] = hashlib.sha256(upload.body).hexdigest()
            del self.pieces[dataset["id"]]

    def fit(self, dataset):
        request = {"type": "fit", "dataset": dataset, "parameters": {"cv": 3, "n_interpolate": [1]}, "reuse": False}
        answer = self.api.post("/v1/jobs", request)
        if not self.ask(answer, 202):
            return
        identity = answer.json()["id"]
        self.jobs[identity] = None
        deadline = time.monotonic() + JOB_SECONDS
        job = self.api.job(identity, wait=1)
        while job["state"] not in FINAL:
            expect(time.monotonic() < deadline, "the job hangs:", job["state"])
            job = self.api.job(identity, wait=1)
        self.jobs[identity] = job
        if job["state"] == "succeeded":
            answers = self.download(identity)
            if all([self.ask(answer, 200) for answer in answers]):
                self.results[identity] = digests(answers)
        else:
            expect(job["state"] == "failed" and job["error"], job)
            self.n_refused += 1

    def download(self, identity):
        return [self.api.get(f"/v1/jobs/{identity}/result{name}")
                for name in ("", "/labels.npy", "/cleaned.npy")]  # fmt: skip

    def delete(self, identity):
        if self.ask(self.api.delete(f"/v1/datasets/{identity}"), 204):
            self.deleted.append(identity)
            del self.datasets[identity]
        else:
            self.datasets.pop(identity)

    def run(self):
        first, second = self.upload(1, True), self.upload(2, False)
        if first is not None:
            self.fit(first)
        if second is not None:
            self.delete(second)
        self.upload_in_pieces(3)

    def go_on(self, api, identity, upload, acknowledged):
        """What was acknowledged of a body is there; the rest makes it what was sent."""
        upload.api = api
        if api.get(f"/v1/datasets/{identity}").json()["state"] != "ready":
            offset = upload.offset()
            expect(offset >= acknowledged, "of", acknowledged, "bytes", offset, "are there")
            answer = upload.send(offset, len(upload.body))
            expect(answer.status == 200, "going on at", offset, "is answered by", answer)
        digest = hashlib.sha256(upload.body).hexdigest()
        expect(upload.ready() == digest, "dataset", identity, "has other samples than were sent")

    def check(self, api):
        self.api = api
        for identity, digest in self.datasets.items():
            answer = api.get(f"/v1/datasets/{identity}")
            expect(answer.status == 200, "dataset", identity, "is lost")
            found = answer.json()["sha256"]
            expect(found == digest or digest is None, "dataset", identity, "has", found)
        for identity, (upload, acknowledged) in self.pieces.items():
            self.go_on(api, identity, upload, acknowledged)
        for identity in self.deleted:
            expect(api.get(f"/v1/datasets/{identity}").status == 404, identity, "is there again")
        for identity, ended in self.jobs.items():
            answer = api.get(f"/v1/jobs/{identity}")
            expect(answer.status == 200, "job", identity, "is lost")
            expect(ended in (None, answer.json()), "job", identity, "was", ended, "and is", answer.json())
        for identity, first in self.results.items():
            answers = self.download(identity)
            expect(all(a.status == 200 for a in answers), "the result of", identity, "is lost")
            expect(digests(answers) == first, "the result of", identity, "is another one")


def look_at_files(data):
    """Every record has its files, every file is what its name says, and no other is left."""
    run = subprocess.run([program("rejectd"), "check", "--data-dir", data], capture_output=True, text=True)
    expect(run.returncode == 0, "rejectd check:", run.stdout, run.stderr)
    left = [path.name for path in data.rglob("tmp-*")]
    expect(not left, "temporary files are left:", left)


def one_fault(folder, at, number):
    """(what failed; "" when nothing did, what came of it)"""
    report = folder / "report.txt"
    daemon = Daemon(folder, ["--backend", "cpu", "--threads", "1"])
    daemon.environment = {"LD_PRELOAD": str(PRELOAD), "FAULT_FOLDER": str(daemon.data),
                          "FAULT_AT": str(at), "FAULT_ERRNO": str(number),
                          "FAULT_REPORT": str(report)}  # fmt: skip
    session = None
    came_of_it = "nothing"
    try:
        try:
            daemon.start()
        except AssertionError:
            expect("rejectd: " in daemon.errors(), "no reason for the end:", daemon.errors())
            came_of_it = "no start"
        else:
            session = Session(daemon.api)
            session.run()
            expect(daemon.alive(), "the daemon has ended:", daemon.errors())
            daemon.stop()
            came_of_it = "refused" if session.n_refused else "nothing"
        daemon.environment = {}
        daemon.start()
        if session is not None:
            session.check(daemon.api)
        again = Session(daemon.api)
        again.run()
        expect(again.n_refused == 0, "after the restart something is refused")
        daemon.stop()
        look_at_files(daemon.data)
    except Failure as failure:
        fault = report.read_text().strip() if report.exists() else "no fault"
        raise Failure(f"{errno.errorcode[number]} at {fault}: {failure}") from None
    finally:
        if daemon.alive():
            daemon.kill()
    return report.read_text().strip() if report.exists() else "", came_of_it


MOST_FAILURES = 20  # then it is given up


def all_faults(number, step, counts):
    """How many of them were not survived; counts[what came of it] goes up for the others."""
    at = 1 + (number == errno.ENOSPC) % step
    failed, name = 0, errno.errorcode[number]
    while True:
        with tempfile.TemporaryDirectory() as folder:
            try:
                fault, came_of_it = one_fault(Path(folder), at, number)
                if not fault:
                    return failed
                counts[came_of_it] = counts.get(came_of_it, 0) + 1
                print(f"ok   {at} {name} at {fault.replace(folder, '')}: {came_of_it}", flush=True)
            except (Failure, AssertionError, OSError) as failure:
                failed += 1
                print(f"FAIL {at} {str(failure).replace(folder, '')[:1000]}", flush=True)
                if failed == MOST_FAILURES:
                    return failed
        at += step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1, help="only every N-th operation")
    step = parser.parse_args().step
    failed, counts = 0, {}
    for number in (errno.EIO, errno.ENOSPC):
        failed += all_faults(number, step, counts)
    if not counts:
        failed += 1
        print("FAIL no fault at all")
    print(f"note: {sum(counts.values()) + failed} faults; came of them: {counts}")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
