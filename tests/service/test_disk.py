"""A disk that is full, read-only or broken for a while, or has the wrong things on it."""

import errno
import os
import shutil
import subprocess
import time

import numpy as np
import pytest
from api import FINAL, as_base64, check_problem
from daemon import BUILD, SANITIZED, eventually, program
from samples import description, noise, positions

PRELOAD = BUILD / "tests" / "libfault_preload.so"
FULL = (errno.ENOSPC, errno.EDQUOT)


class Disk:
    """All writing below the data directory fails while broken() is on."""

    def __init__(self, own_daemon, folder, number):
        self.switch = folder / "broken"
        self.problem = (507, "storage-full") if number in FULL else (500, "storage")
        environment = {"LD_PRELOAD": str(PRELOAD), "FAULT_FOLDER": str(folder / "data"),
                       "FAULT_WHEN": str(self.switch), "FAULT_ERRNO": str(number)}  # fmt: skip
        self.daemon = own_daemon("--backend", "cpu", "--threads", "1", environment=environment)

    def breaks(self):
        self.switch.touch()

    def heals(self):
        self.switch.unlink()


@pytest.fixture(params=[errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO],
                ids=["full", "quota", "read-only", "broken"])  # fmt: skip
def disk(request, own_daemon, tmp_path):
    if SANITIZED:
        pytest.skip("a sanitizer's library has to be the first one")
    return Disk(own_daemon, tmp_path, request.param)


def blobs(daemon):
    return {path.name for path in daemon.blobs()}


def test_changes_are_refused_and_reading_goes_on(disk):
    daemon, api = disk.daemon, disk.daemon.api
    dataset = api.upload(description(), noise())
    job, result = api.fit(dataset, cv=3)
    awaiting = api.create(description())
    lists = {kind: api.listed(kind) for kind in ("datasets", "jobs", "models")}
    before = blobs(daemon)

    disk.breaks()
    posted = description(data=as_base64(noise(seed=1)))
    for _ in range(3):
        check_problem(api.post("/v1/datasets", description()), *disk.problem)
        check_problem(api.post("/v1/datasets", posted), *disk.problem)
        path = f"/v1/datasets/{awaiting['id']}/samples"
        check_problem(api.put(path, noise(seed=2).tobytes()), *disk.problem)
        request = {"type": "fit", "dataset": dataset["id"], "parameters": {"cv": 3}}
        check_problem(api.post("/v1/jobs", request), *disk.problem)
        check_problem(api.delete(f"/v1/datasets/{awaiting['id']}"), *disk.problem)
    assert {kind: api.listed(kind) for kind in lists} == lists
    assert api.get(job["result"]).json() == result
    assert api.get(job["result"] + "/cleaned.npy").status == 200
    assert api.get("/healthz").status == 200

    disk.heals()
    assert api.put(f"/v1/datasets/{awaiting['id']}/samples", noise(seed=2).tobytes()).status == 200
    api.fit(awaiting, cv=3)
    assert api.delete(f"/v1/datasets/{awaiting['id']}").status == 204
    daemon.kill()
    daemon.start()
    api = daemon.api
    assert api.get(job["result"]).json() == result
    assert {d["id"] for d in api.listed("datasets")} == {dataset["id"]}
    results = len([j for j in api.listed("jobs") if j["result"]])
    assert before <= blobs(daemon) and len(blobs(daemon)) == 1 + 2 * results


def end_is_refused(disk):
    """A job that runs when the disk breaks, and ends: its request and id."""
    shape = {"n_epochs": 300, "n_channels": 48, "n_times": 300}
    api = disk.daemon.api
    dataset = api.upload(description(**shape), noise(**shape))
    request = {"type": "fit", "dataset": dataset["id"], "parameters": {"thresh_method": "exact"}}
    job = api.submit(request)["id"]
    eventually(lambda: api.job(job)["state"] == "running", 10, "the job runs")
    disk.breaks()
    eventually(lambda: "finish-delayed" in disk.daemon.errors(), 60, "its end is refused")
    return request, job


@pytest.mark.parametrize("disk", [errno.ENOSPC], indirect=True, ids=["full"])
def test_a_job_that_ends_meanwhile_is_not_left_running(disk):
    api = disk.daemon.api
    request, job = end_is_refused(disk)
    time.sleep(2.5)  # longer than it is tried in one go
    assert api.job(job)["state"] == "running"
    assert api.get("/healthz").status == 200
    disk.heals()
    ended = eventually(lambda: (j := api.job(job))["state"] in FINAL and j, 20, "the job ends")
    assert ended["state"] == "failed" or api.get(ended["result"]).status == 200
    if ended["state"] == "failed":
        assert ended["error"]["type"] == f"/problems/{disk.problem[1]}", ended
    again = api.finish(api.submit(request)["id"])
    assert again["state"] == "succeeded"
    assert api.delete(f"/v1/datasets/{request['dataset']}").status == 204


@pytest.mark.parametrize("disk", [errno.ENOSPC], indirect=True, ids=["full"])
def test_a_stop_does_not_wait_for_the_disk(disk):
    _, job = end_is_refused(disk)
    disk.daemon.stop()
    disk.heals()
    disk.daemon.start()
    assert disk.daemon.api.finish(job)["state"] == "succeeded"


@pytest.fixture
def small(tmp_path):
    """mount(options) for a file system of 16 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()

    def mount(options):
        command = ["mount", "-t", "tmpfs", "-o", f"size=16m{options}", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
            pytest.skip("a file system can be mounted here by nobody but root, or by no one")
        return folder

    yield mount
    subprocess.run(["umount", "--lazy", folder], capture_output=True)


def test_deleting_makes_room(small, own_daemon):
    """Uploads leave the last of the disk to the store, so that something can be deleted."""
    daemon = own_daemon("--backend", "cpu", folder=small(""))
    shape = {"n_epochs": 20, "n_channels": 16, "n_times": 200}  # 512 kB
    held, seed = [], 0
    while True:
        dataset = daemon.api.create(description(**shape))
        answer = daemon.api.put(f"/v1/datasets/{dataset['id']}/samples", noise(**shape, seed=seed).tobytes())
        if answer.status != 200:
            break
        held.append(dataset["id"])
        seed += 1
    check_problem(answer, 507, "storage-full", mentions="kept for the store")
    assert len(held) > 20
    for identity in held[:3]:
        assert daemon.api.delete(f"/v1/datasets/{identity}").status == 204
    daemon.api.fit(daemon.api.upload(description(), noise()), cv=3)
    answer = daemon.api.put(f"/v1/datasets/{dataset['id']}/samples", noise(**shape, seed=seed).tobytes())
    assert answer.status == 200, answer
    daemon.stop()
    run = subprocess.run([program("rejectd"), "check", "--data-dir", daemon.data],
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 0, run


def test_read_only_disk_at_the_start(small, tmp_path):
    folder = small(",ro")
    run = subprocess.run([program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", folder],
                         capture_output=True, text=True, timeout=60)  # fmt: skip
    assert run.returncode == 1 and run.stderr.count("\n") == 1, run
    assert "cannot be written to: Read-only file system" in run.stderr, run


# ---- the wrong things ----


@pytest.fixture
def used(own_daemon, tmp_path):
    daemon = own_daemon("--backend", "cpu")
    daemon.dataset = daemon.api.upload(description(), noise())
    daemon.job, daemon.result = daemon.api.fit(daemon.dataset, cv=3)
    daemon.stop()
    return daemon


def refused(daemon, *mentions):
    before = blobs(daemon)
    run = subprocess.run([program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", daemon.data],
                         capture_output=True, text=True, timeout=60)  # fmt: skip
    assert run.returncode == 1 and run.stderr.count("\n") == 1, run
    for words in mentions:
        assert words in run.stderr, run
    assert blobs(daemon) == before


def test_store_of_another_daemon(used, own_daemon, tmp_path):
    """It knows none of the samples: without a look at whose they are all would be swept."""
    (tmp_path / "other").mkdir()
    other = own_daemon("--backend", "cpu", folder=tmp_path / "other")
    other.api.create(description())
    other.stop()
    kept = (used.data / "store.sqlite").read_bytes()
    shutil.copy(other.data / "store.sqlite", used.data / "store.sqlite")
    refused(used, "belong to another store", "backup")

    # Nor when nothing says whose they are, as before there was such a file.
    (used.data / "blobs" / "store-id").unlink()
    refused(used, "belong to another store")

    (used.data / "store.sqlite").write_bytes(kept)
    used.start()
    assert used.api.get(used.job["result"] + "/cleaned.npy").status == 200
    assert (used.data / "blobs" / "store-id").exists()
    used.stop()


def damage(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["labels.npy", "cleaned.npy"])
def test_damaged_result(used, name):
    """A damaged download is refused, told, and put aside; the rest goes on."""
    used.start()
    path = f"{used.job['result']}/{name}"
    body = used.api.get(path).body
    used.stop()
    blob = next(p for p in (used.data / "blobs").iterdir() if p.read_bytes() == body)
    damage(blob)
    used.start()
    check_problem(used.api.get(path), 500, "storage", mentions="another content")
    assert (used.data / "quarantine" / blob.name).exists() and not blob.exists()
    assert "blob-damaged" in used.errors() and blob.name in used.errors()
    check_problem(used.api.get(path), 500, "storage")
    assert used.api.get(used.job["result"]).json() == used.result
    job, _ = used.api.fit(used.dataset, cv=3)
    assert used.api.get(path).body == body, "the same result, made again, heals it"


@pytest.mark.parametrize("which", ["head", "cleaned"])
def test_damaged_parts_of_a_file(own_daemon, tmp_path, which):
    """What cleaned-epo.fif is made of is looked at as well."""
    mne = pytest.importorskip("mne")
    rng = np.random.default_rng(1)
    info = mne.create_info([f"E{i}" for i in range(6)], 100.0, "eeg")
    data = 1e-5 * rng.standard_normal((12, 6, 40))
    epochs = mne.EpochsArray(data, info, verbose="error")
    places = dict(zip(info.ch_names, positions(6)))
    epochs.set_montage(mne.channels.make_dig_montage(places, coord_frame="head"), verbose="error")
    epochs.save(tmp_path / "all-epo.fif", verbose="error", overwrite=True)
    daemon = own_daemon("--backend", "cpu")
    answer = daemon.api.request("POST", "/v1/datasets", (tmp_path / "all-epo.fif").read_bytes(),
                                {"Content-Type": "application/octet-stream"})  # fmt: skip
    assert answer.status == 201, answer
    dataset = answer.json()
    job, _ = daemon.api.fit(dataset, cv=3)
    path = f"{job['result']}/cleaned-epo.fif"
    assert daemon.api.get(path).status == 200
    cleaned = daemon.api.get(f"{job['result']}/cleaned.npy").body
    labels = daemon.api.get(f"{job['result']}/labels.npy").body
    daemon.stop()
    for blob in (daemon.data / "blobs").iterdir():
        body = blob.read_bytes()
        is_head = body not in (cleaned, labels) and blob.name not in (dataset["sha256"], "store-id")
        if (body == cleaned) if which == "cleaned" else is_head:
            damage(blob)
    daemon.start()
    check_problem(daemon.api.get(path), 500, "storage", mentions="another content")
