#!/usr/bin/env python3
"""Kills rejectd at random moments under load, and looks whether it kept what it had acknowledged.

    crash_campaign.py [--kills N] [--seed N]

Several clients upload (raw, npy, base64), delete, submit and download; the daemon is ended by
SIGKILL after 0 to 150 ms and started again. After every start: what was answered with 2xx is there
with the digest of what was sent, a dataset either awaits its samples or has all of them, a finished
job is byte for byte what it was when first seen, and no temporary file is left. Prints "ok ..." and
"FAIL ..." lines; the build folder is $REJECTD_BUILD.
"""

import argparse
import hashlib
import http.client
import json
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from api import FINAL, Api, as_base64, npy_bytes
from daemon import Daemon
from samples import description, noise

N_CLIENTS = 4
LONGEST = 0.15  # seconds from the start to the end
N_LOOKED_AT = 40  # of the older objects, after each kill; all of them at the end
SHAPE = {"n_epochs": 8, "n_channels": 5, "n_times": 20}
# A job larger than the others, so that some are killed while they compute.
LARGE = {"n_epochs": 60, "n_channels": 16, "n_times": 100}
ARTIFACTS = ("labels.npy", "cleaned.npy")


class Failure(Exception):
    pass


def expect(good, *what):
    if not good:
        raise Failure(" ".join(map(str, what)))


class Connection(Api):
    """One connection that is kept; a look at an object costs a fraction of a millisecond."""

    def __init__(self, port):
        super().__init__(port)
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path):
        self.connection.request("GET", path)
        answer = self.connection.getresponse()
        answer.body = answer.read()
        return answer


class Known:
    """What the daemon has acknowledged, and what it may or may not have done."""

    def __init__(self):
        self.awaiting = {}  # dataset: None, in the order of creation
        self.sent = {}  # dataset: digest of the samples that are being sent, with no answer yet
        self.ready = {}  # dataset: digest
        self.deleting = set()  # since the last start; another client's may have had no answer
        self.deleted = set()
        self.jobs = {}  # job: dataset
        self.finished = {}  # job: (record, {path: digest of the body})
        self.lock = threading.Lock()


class Client(threading.Thread):
    def __init__(self, api, known, seed):
        super().__init__(daemon=True)
        self.api, self.known, self.rng = api, known, random.Random(seed)
        self.failure = None

    def run(self):
        try:
            while True:
                self.rng.choices([self.upload, self.submit, self.download, self.delete],
                                 [3, 3, 2, 1])[0]()  # fmt: skip
        except (OSError, http.client.HTTPException):
            pass  # the daemon is gone
        except Failure as failure:
            self.failure = failure

    def upload(self):
        shape = LARGE if self.rng.random() < 0.1 else SHAPE
        data = noise(**shape, seed=self.rng.randrange(10**6))
        digest = hashlib.sha256(data.tobytes()).hexdigest()
        way = self.rng.choice(("raw", "npy", "base64", "none"))
        if way == "base64":
            answer = self.api.post("/v1/datasets", description(**shape, data=as_base64(data)))
            expect(answer.status == 201, "upload by base64:", answer)
            with self.known.lock:
                self.known.ready[answer.json()["id"]] = digest
            return
        answer = self.api.post("/v1/datasets", description(**shape))
        expect(answer.status == 201, "creation:", answer)
        dataset = answer.json()["id"]
        with self.known.lock:
            self.known.awaiting[dataset] = None
            if way == "none":
                return
            self.known.sent[dataset] = digest
        body = npy_bytes(data) if way == "npy" else data.tobytes()
        answer = self.api.put(f"/v1/datasets/{dataset}/samples", body)
        expect(answer.status == 200, "upload:", answer)
        with self.known.lock:
            self.known.ready[dataset] = digest
            self.known.awaiting.pop(dataset, None)
            del self.known.sent[dataset]

    def some(self, pool):
        with self.known.lock:
            return self.rng.choice(list(pool)[-20:]) if pool else None

    def submit(self):
        dataset = self.some(self.known.ready)
        if dataset is None or len(self.known.jobs) - len(self.known.finished) > 60:
            return
        request = {"type": "fit", "dataset": dataset, "reuse": self.rng.random() < 0.3,
                   "parameters": {"cv": 3, "n_interpolate": [1, 2], "random_state": 1}}  # fmt: skip
        answer = self.api.post("/v1/jobs", request)
        # Another client may have deleted the dataset meanwhile.
        expect(answer.status in (202, 404, 422), "submission:", answer)
        if answer.status == 202:
            with self.known.lock:
                self.known.jobs[answer.json()["id"]] = dataset

    def download(self):
        job = self.some(self.known.jobs)
        if job is not None:
            look_at_job(self.api, self.known, job)

    def delete(self):
        dataset = self.some(self.known.ready)
        if dataset is None:
            return
        with self.known.lock:
            self.known.deleting.add(dataset)
        answer = self.api.delete(f"/v1/datasets/{dataset}")
        expect(answer.status in (204, 404, 409), "deletion:", answer)
        with self.known.lock:
            if answer.status == 204:
                self.known.deleted.add(dataset)
                self.known.ready.pop(dataset, None)


def result_of(api, job, may_go):
    """{path: digest} of all that a job has made; None when it was removed with its dataset."""
    found = {}
    if job["result"] is None:
        expect(may_go() and job["result_removed_at"], "the result of", job["id"], "is lost")
        return None
    for path in [job["result"]] + [f"{job['result']}/{name}" for name in ARTIFACTS]:
        answer = api.get(path)
        if answer.status == 404 and may_go():
            return None
        expect(answer.status == 200, path, answer.status, answer.body[:300])
        found[path] = hashlib.sha256(answer.body).hexdigest()
    return found


def look_at_job(api, known, identity):
    dataset = known.jobs[identity]
    was_deleted = dataset in known.deleted
    answer = api.get(f"/v1/jobs/{identity}")
    expect(answer.status == 200, "job", identity, "is lost:", answer.status)
    job = json.loads(answer.body)
    if job["state"] not in FINAL:
        expect(identity not in known.finished, "job", identity, "was finished, and is", job["state"])
        return
    result = {}
    if job["state"] == "succeeded":
        result = result_of(api, job, lambda: dataset in known.deleted or dataset in known.deleting)
        expect(not was_deleted or result is None, "the result of", identity, "outlives its dataset")
    record = {name: job[name] for name in job.keys() - {"result", "result_removed_at"}}
    with known.lock:
        first = known.finished.setdefault(identity, (record, result))
    if result is None or first[1] is None:
        result = first[1]
    expect((record, result) == first, "job", identity, "was", first, "and is", (record, result))


def look_at_dataset(api, known, identity, digest):
    """digest: of what was acknowledged; None: it awaits its samples, or has all that were sent."""
    answer = api.get(f"/v1/datasets/{identity}")
    if answer.status == 404 and identity in known.deleting:
        known.ready.pop(identity, None)
        known.deleted.add(identity)
        return
    expect(answer.status == 200, "dataset", identity, "is lost:", answer.status)
    dataset = json.loads(answer.body)
    if dataset["state"] == "ready":
        accepted = known.sent.get(identity) if digest is None else digest
        expect(dataset["sha256"] == accepted, "dataset", identity, "has other samples")
        known.ready[identity] = accepted
        known.awaiting.pop(identity, None)
    else:
        expect(digest is None and dataset["state"] == "awaiting_samples" and dataset["sha256"] is None,
               "dataset", identity, "is", dataset["state"], "after", digest)  # fmt: skip


def look_at_files(folder, known):
    """Every blob is what its name says, and those of ready datasets are there."""
    for path in (folder / "blobs").iterdir():
        if len(path.name) == 64:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            expect(found == path.name, "blob", path.name, "has another content")
    for identity, digest in known.ready.items():
        expect((folder / "blobs" / digest).is_file() or identity in known.deleting,
               "the samples of", identity, "are missing")  # fmt: skip


def some_of(rng, items, recent=15):
    items = list(items)
    older = items[:-recent]
    return items[-recent:] + rng.sample(older, min(N_LOOKED_AT, len(older)))


def look(daemon, known, rng, everything):
    api = Connection(daemon.port)
    choose = (lambda items: list(items)) if everything else (lambda items: some_of(rng, items))
    # Those whose last answer was cut off are looked at now: later it would not be known any more.
    for identity in {*choose(known.ready), *known.deleting} & known.ready.keys():
        look_at_dataset(api, known, identity, known.ready[identity])
    for identity in {*choose(known.awaiting), *known.sent}:
        look_at_dataset(api, known, identity, None)
    for identity in choose(known.deleted):
        expect(api.get(f"/v1/datasets/{identity}").status == 404, identity, "is there again")
    for identity in choose(known.jobs):
        look_at_job(api, known, identity)
    known.deleting.clear()
    known.sent.clear()
    api.connection.close()


def temporary(folder):
    return {p for p in folder.rglob("*") if p.name.startswith("tmp-")}


def one_kill(daemon, known, rng, last):
    clients = [Client(daemon.api, known, rng.random()) for _ in range(N_CLIENTS)]
    for client in clients:
        client.start()
    time.sleep(rng.uniform(0.0, LONGEST))
    daemon.kill()
    for client in clients:
        client.join(60)
        expect(not client.is_alive(), "a client hangs")
        if client.failure is not None:
            raise client.failure
    left = temporary(daemon.data)
    daemon.start()
    expect(not left & temporary(daemon.data), "temporary files are left:", left)
    look(daemon, known, rng, last)
    return len(left)


def campaign(daemon, kills, seed):
    rng = random.Random(seed)
    known = Known()
    n_left = 0
    daemon.start()
    for kill in range(kills):
        try:
            n_left += one_kill(daemon, known, rng, kill % 50 == 49)
            print(f"ok   kill {kill}", flush=True)
        except (Failure, AssertionError) as failure:
            print(f"FAIL kill {kill}, seed {seed}: {failure}", flush=True)
            return 1
    for identity in known.jobs:
        daemon.api.finish(identity)
    look(daemon, known, rng, True)
    daemon.stop()
    look_at_files(daemon.data, known)
    expect(not temporary(daemon.data), "temporary files are left after a clean end")
    states = [job["state"] for job, _ in known.finished.values()]
    expect("succeeded" in states and known.deleted and known.ready, "there was no load")
    print(f"ok   all of {len(known.ready)} ready datasets, {len(known.awaiting)} awaiting, "
          f"{len(known.deleted)} deleted, {len(known.jobs)} jobs")  # fmt: skip
    print(f"note: {kills} kills; {n_left} unfinished files were swept; jobs: "
          + ", ".join(f"{states.count(s)} {s}" for s in FINAL))  # fmt: skip
    return 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    wish = parser.parse_args()
    print(f"note: seed {wish.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder), ["--backend", "cpu", "--threads", "1"])
        try:
            failed = campaign(daemon, wish.kills, wish.seed)
        except (Failure, AssertionError) as failure:
            print(f"FAIL at the end, seed {wish.seed}: {failure}")
            failed = 1
        finally:
            if daemon.alive():
                daemon.kill()
    sys.exit(failed)


if __name__ == "__main__":
    main()
