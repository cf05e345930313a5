#!/usr/bin/env python3
"""Lets the power fail in the middle of a session, and looks at what the disk would have.

    power_campaign.py [--step N] [--seed N]

The session of fault_campaign.py is cut off at its N-th file operation, before or after it, and
after the restart all that was acknowledged must be there, whole. A kill alone would not tell whether
everything was synced in the right order: the kernel goes on and writes it all. So fault_shadow.c
records what was synced, and the data directory is put together from that and from what the process
left:

    nothing  not one byte or name more than what was synced is there
    some     of each name, and of each page of a file, the synced or the last state, by chance

Then the session is cut off where the disk has refused something for the first time. What was not
acknowledged may be there or not, but never a record without its samples; so everything that the
process has written is looked at as well:

    all      the last state

Prints "ok ..." and "FAIL ..." lines.
"""

import argparse
import errno
import hashlib
import http.client
import random
import sys
import tempfile
from pathlib import Path

from daemon import Daemon
from fault_campaign import MOST_FAILURES, PRELOAD, Failure, Session, expect, look_at_files

PAGE = 4096
ARGUMENTS = ["--backend", "cpu", "--threads", "1"]


class Cut(Exception):
    pass


class Survived(Exception):
    """Nothing was cut off: the session came to its end before the operation."""


class CutSession(Session):
    """Ends when the daemon does, or, if `stops`, when something is refused for the first time."""

    def __init__(self, api, stops):
        super().__init__(api)
        self.stops = stops
        self.deleting = None

    def ask(self, answer, *accepted):
        good = super().ask(answer, *accepted)
        if not good and self.stops:
            raise Cut
        return good

    def delete(self, identity):
        self.deleting = identity
        super().delete(identity)
        self.deleting = None

    def run(self):
        try:
            super().run()
        except (OSError, http.client.HTTPException, Cut):
            pass  # the daemon is gone

    def check(self, api):
        if self.deleting is not None and api.get(f"/v1/datasets/{self.deleting}").status == 404:
            self.datasets.pop(self.deleting, None)
        super().check(api)


# ---- what the disk has ----


class Disk:
    def __init__(self, live, shadow, share, rng):
        """share: of the names and pages that are in their last state, 0 to 1."""
        self.shadow, self.share, self.rng = shadow, share, rng
        self.live = {path.stat().st_ino: path for path in [live, *live.rglob("*")]}
        self.root = int((shadow / "root").read_text())

    def synced_names(self, inode):
        path = self.shadow / f"dir-{inode}"
        lines = path.read_text().splitlines() if path.exists() else []
        return {name: int(number) for number, name in (line.split(" ", 1) for line in lines)}

    def is_last(self):
        return self.rng.random() < self.share

    def names(self, inode):
        names = self.synced_names(inode)
        if inode not in self.live:
            return names
        last = {path.name: path.stat().st_ino for path in self.live[inode].iterdir()}
        for name in sorted(names.keys() | last.keys()):
            if self.is_last():
                names.pop(name, None)
                if name in last:
                    names[name] = last[name]
        return names

    def content(self, inode):
        path = self.shadow / f"file-{inode}"
        synced = path.read_bytes() if path.exists() else b""
        if inode not in self.live:
            return synced
        last = self.live[inode].read_bytes()
        size = len(last if self.is_last() else synced)
        pages = []
        for at in range(0, size, PAGE):
            page = (last if self.is_last() else synced)[at : at + PAGE]
            pages.append(page.ljust(min(PAGE, size - at), b"\0")[: size - at])
        return b"".join(pages)

    def is_directory(self, inode):
        return (self.shadow / f"dir-{inode}").exists() or (
            inode in self.live and self.live[inode].is_dir())  # fmt: skip

    def write(self, folder, inode=None):
        folder.mkdir()
        for name, number in self.names(inode or self.root).items():
            if self.is_directory(number):
                self.write(folder / name, number)
            elif not name.endswith("-shm"):  # shared memory: nobody expects it to survive
                (folder / name).write_bytes(self.content(number))


# ---- one failure ----


def cut_off(folder, environment, stops):
    """(the session as far as it came, None if not even the daemon did; what was cut)"""
    report, shadow = folder / "report.txt", folder / "shadow"
    daemon = Daemon(folder, ARGUMENTS)
    daemon.data.mkdir()
    shadow.mkdir()
    daemon.environment = {"LD_PRELOAD": str(PRELOAD), "FAULT_FOLDER": str(daemon.data),
                          "FAULT_SHADOW": str(shadow), "FAULT_REPORT": str(report)}  # fmt: skip
    daemon.environment |= environment
    session = None
    try:
        daemon.start()
        session = CutSession(daemon.api, stops)
        session.run()
    except AssertionError:
        expect(report.exists(), "the daemon did not start:", daemon.errors())
    finally:
        daemon.kill()
    cut = report.read_text().strip().replace(str(folder), "") if report.exists() else ""
    return daemon.data, shadow, session, cut


def look_at_all(daemon):
    """Whatever is there is whole, whether it was acknowledged or not."""
    for dataset in daemon.api.listed("datasets"):
        if dataset["state"] == "ready":
            blob = daemon.data / "blobs" / dataset["sha256"]
            expect(blob.exists(), "the samples of", dataset["id"], "are missing")
            found = hashlib.sha256(blob.read_bytes()).hexdigest()
            expect(found == blob.name, "the samples of", dataset["id"], "are others")
    for job in daemon.api.listed("jobs"):
        if job["state"] == "succeeded":
            answers = Session(daemon.api).download(job["id"])
            expect(all(a.status == 200 for a in answers), "there is no result of", job["id"])


def survive(folder, disk, session):
    folder.mkdir()
    daemon = Daemon(folder, ARGUMENTS)
    disk.write(daemon.data)
    try:
        daemon.start()
        if session is not None:
            session.check(daemon.api)
        look_at_all(daemon)
        again = Session(daemon.api)
        again.run()
        expect(again.n_refused == 0, "after the restart something is refused")
        daemon.stop()
    finally:
        if daemon.alive():
            daemon.kill()
    look_at_files(daemon.data)


def one_failure(environment, stops, rng):
    """What was cut off; Survived when the session came to its end."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        live, shadow, session, cut = cut_off(folder, environment, stops)
        states = {"nothing": 0.0, "all": 1.0} if stops else {"nothing": 0.0, "some": 0.5}
        for state, share in states.items():
            try:
                survive(folder / state, Disk(live, shadow, share, rng), session)
            except (Failure, AssertionError) as failure:
                what = f"{cut or 'the end'}, {state} of what was not synced is there: {failure}"
                raise Failure(what[:1000]) from None
        if not cut:
            raise Survived
        return cut


def campaign(kinds, stops, step, rng):
    """How many failures there were, and how many were not survived."""
    at, n_cut, n_failed = rng.randrange(1, step + 1), 0, 0
    while True:
        kind = kinds[n_cut % len(kinds)]
        try:
            cut = one_failure({"FAULT_AT": str(at), "FAULT_ERRNO": kind}, stops, rng)
            print(f"ok   {kind} {at}, {cut}", flush=True)
        except Survived:
            return n_cut, n_failed
        except (Failure, AssertionError) as failure:
            n_failed += 1
            print(f"FAIL {kind} {at}, {str(failure)[:1000]}", flush=True)
            if n_failed == MOST_FAILURES:
                return n_cut, n_failed
        n_cut += 1
        at += step


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", type=int, default=1, help="only every N-th operation")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    wish = parser.parse_args()
    print(f"note: seed {wish.seed}", flush=True)
    rng = random.Random(wish.seed)
    n_cut, n_failed = campaign(["before", "after"], False, wish.step, rng)
    n_refused, more = campaign([str(errno.EIO)], True, wish.step, rng)
    print(f"note: {n_cut} power cuts, and {n_refused} after a refusal")
    if n_cut == 0:
        print("FAIL no power cut at all")
    sys.exit(n_cut == 0 or n_failed + more > 0)


if __name__ == "__main__":
    main()
