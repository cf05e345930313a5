"""What the disk may do to the data: a damaged or missing database, damaged samples."""

import contextlib
import os
import random
import shutil
import sqlite3
import subprocess

import pytest
from api import check_problem
from daemon import program
from samples import description, noise
from store_file import PAGE, SUM, page_sum


@pytest.fixture
def used(own_daemon):
    """A daemon that was stopped and has a dataset and a finished job."""
    daemon = own_daemon("--backend", "cpu")
    daemon.dataset = daemon.api.upload(description(), noise())
    daemon.job, daemon.result = daemon.api.fit(daemon.dataset, cv=3)
    daemon.stop()
    return daemon


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refused(daemon, *mentions):
    """The daemon doesn't start, says why in a line, and leaves every file as it is."""
    before = contents(daemon.data)
    command = [program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", daemon.data]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert run.returncode == 1, run
    assert run.stderr.count("\n") == 1 and run.stderr.startswith("rejectd: "), run.stderr
    for words in (str(daemon.data), "backup", *mentions):
        assert words in run.stderr, run.stderr
    after = contents(daemon.data)
    for path, content in before.items():
        assert after.get(path) == content, f"{path} was changed"


def test_store_is_no_database(used):
    (used.data / "store.sqlite").write_bytes(b"This is no database. " * 1000)
    refused(used, "store.sqlite", "is damaged")


def test_store_with_an_overwritten_header(used):
    store = used.data / "store.sqlite"
    store.write_bytes(b"\0" * 100 + store.read_bytes()[100:])
    refused(used, "store.sqlite", "is damaged")


def test_store_cut_short(used):
    store = used.data / "store.sqlite"
    content = store.read_bytes()
    store.write_bytes(content[: len(content) // 2])
    refused(used, "store.sqlite", "is damaged")


def test_store_with_a_damaged_page(used):
    store = used.data / "store.sqlite"
    content = bytearray(store.read_bytes())
    rng = random.Random(1)
    for page in range(1, len(content) // 4096, 2):
        content[4096 * page : 4096 * page + 512] = rng.randbytes(512)
    store.write_bytes(content)
    refused(used, "store.sqlite", "is damaged")


def test_store_with_a_flipped_bit(used):
    """Wherever it is: in a text, too, where the database would look as good as before."""
    store = used.data / "store.sqlite"
    content = store.read_bytes()
    places = [content.rindex(used.job["id"].encode()), content.rindex(b'"labels"')]
    places += [random.Random(2).randrange(100, len(content)) for _ in range(10)]
    for at in places:
        bad = bytearray(content)
        bad[at] ^= 1
        store.write_bytes(bad)
        refused(used, "store.sqlite", "is damaged")
    store.write_bytes(content)
    used.start()
    assert used.api.get(used.job["result"]).json() == used.result


def make_earlier(store, n_models=0):
    """The same store as an earlier version had it, whose pages had no checksums, and some large models."""
    with contextlib.closing(sqlite3.connect(store)) as now:
        script = "\n".join(now.iterdump())
        (version,) = now.execute("PRAGMA user_version").fetchone()
    store.unlink()
    with contextlib.closing(sqlite3.connect(store)) as then:
        then.executescript(script)
        models = ((f"md_{i}", "x" * 9000) for i in range(n_models))
        then.executemany("INSERT INTO models (id, job, dataset, model, created_at) VALUES (?, 'j', 'd', ?, 1)", models)
        then.commit()
        then.execute(f"PRAGMA user_version = {version}")
    assert store.read_bytes()[20] == 0


def test_store_of_an_earlier_version(used):
    store = used.data / "store.sqlite"
    make_earlier(store)
    used.start()
    assert "checksums-added" in used.errors()
    assert used.api.get(used.job["result"]).json() == used.result
    used.api.fit(used.dataset, cv=4)
    used.stop()
    content = store.read_bytes()
    for at in range(0, len(content), PAGE):
        page = content[at : at + PAGE]
        assert page[-SUM:] == page_sum(page, at) or not any(page)
    used.start()
    assert "checksums-added" not in used.errors()


@pytest.mark.parametrize("how", ["missing", "empty"])
def test_store_is_missing(used, how):
    """An empty store would have the samples swept."""
    store = used.data / "store.sqlite"
    kept = store.read_bytes()
    if how == "empty":
        store.write_bytes(b"")
    else:
        store.unlink()
    refused(used, "store.sqlite is missing or empty")
    command = [program("rejectd"), "token", "add", "--user", "ann", "--data-dir", used.data]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 1 and "store.sqlite is missing or empty" in run.stderr, run
    assert not store.exists() or store.stat().st_size == 0

    store.write_bytes(kept)
    used.start()
    assert used.api.get(used.job["result"]).json() == used.result


def test_missing_store_without_blobs_is_a_new_one(used):
    shutil.rmtree(used.data / "blobs")
    (used.data / "store.sqlite").unlink()
    used.start()
    assert used.api.listed("datasets") == []


def test_damaged_samples(used):
    """One flipped bit: the job fails and says so, others go on, and an upload heals it."""
    used.start()
    other = used.api.upload(description(), noise(seed=1))
    used.stop()
    blob = used.data / "blobs" / used.dataset["sha256"]
    good = blob.read_bytes()
    bad = bytearray(good)
    bad[len(bad) // 2] ^= 1
    blob.write_bytes(bad)
    used.start()
    request = {"type": "fit", "dataset": used.dataset["id"], "parameters": {"cv": 3}}
    for _ in range(2):
        job = used.api.finish(used.api.submit(request)["id"])
        assert job["state"] == "failed", job
        assert f"the samples of dataset {used.dataset['id']} are damaged" in str(job["error"])
    assert (used.data / "quarantine" / blob.name).read_bytes() == bytes(bad)
    assert not blob.exists()
    assert "samples-damaged" in used.errors() and blob.name in used.errors()

    used.api.fit(other, cv=3)
    assert used.api.get(used.job["result"]).json() == used.result
    used.api.upload(description(), noise())
    job, result = used.api.fit(used.dataset, cv=3)
    assert result["labels"] == used.result["labels"]
    assert blob.read_bytes() == good


def test_missing_samples(used):
    (used.data / "blobs" / used.dataset["sha256"]).unlink()
    used.start()
    request = {"type": "fit", "dataset": used.dataset["id"], "parameters": {"cv": 3}}
    job = used.api.finish(used.api.submit(request)["id"])
    assert job["state"] == "failed" and "are damaged" in str(job["error"]), job


def check(daemon):
    return subprocess.run([program("rejectd"), "check", "--data-dir", daemon.data],
                          capture_output=True, text=True, timeout=60)  # fmt: skip


def test_check_of_good_data(used):
    run = check(used)
    assert run.returncode == 0 and run.stdout == "3 files, 3 references, 0 damaged\n", run
    used.start()
    run = check(used)
    assert run.returncode == 1 and "used by another rejectd" in run.stderr, run


def test_check_lists_what_is_damaged(used):
    blobs = used.data / "blobs"
    samples = blobs / used.dataset["sha256"]
    results = [p for p in used.blobs() if p != samples]
    results[0].unlink()
    samples.write_bytes(samples.read_bytes()[:-1] + b"\0")
    before = contents(blobs)
    run = check(used)
    assert run.returncode == 1, run
    lines = run.stdout.splitlines()
    assert lines[-1] == "3 files, 3 references, 2 damaged" and len(lines) == 3, run
    assert any(f"dataset {used.dataset['id']}: " in x and "another content" in x for x in lines)
    assert any(f"of job {used.job['id']}: " in x and "No such file" in x for x in lines)
    assert contents(blobs) == before


def test_check_of_nothing(tmp_path):
    run = subprocess.run([program("rejectd"), "check", "--data-dir", tmp_path / "nothing"],
                         capture_output=True, text=True)  # fmt: skip
    assert run.returncode == 1 and "No such file" in run.stderr, run
    assert not (tmp_path / "nothing").exists()


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB, for a data directory."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("a file system can be mounted here by nobody but root, or by no one")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_full_disk(small_disk, own_daemon):
    """507 for what doesn't fit; what was there stays; with room again, all goes on."""
    daemon = own_daemon("--backend", "cpu", folder=small_disk)
    dataset = daemon.api.upload(description(), noise())
    job, result = daemon.api.fit(dataset, cv=3)
    shape = {"n_epochs": 200, "n_channels": 32, "n_times": 200}  # 10 MB
    large = noise(**shape)
    waiting = daemon.api.create(description(**shape))
    try:
        answer = daemon.api.put(f"/v1/datasets/{waiting['id']}/samples", large.tobytes())
        check_problem(answer, 507, "storage-full")
    except (BrokenPipeError, ConnectionResetError):
        pass  # it was answered before all was sent, which http.client doesn't read
    small = daemon.api.create(description())
    assert daemon.api.get(f"/v1/datasets/{waiting['id']}").json()["state"] == "awaiting_samples"

    # Not even room for a record; a journal of SQLite's may have some space left.
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError:
            pass
    answers = [daemon.api.post("/v1/datasets", description()) for _ in range(400)]
    assert {a.status for a in answers} <= {201, 507}
    check_problem(answers[-1], 507, "storage-full")
    answer = daemon.api.put(f"/v1/datasets/{small['id']}/samples", noise().tobytes())
    check_problem(answer, 507, "storage-full")
    assert daemon.api.get(job["result"]).json() == result
    filler.unlink()
    daemon.api.fit(daemon.api.upload(description(), noise(seed=2)), cv=3)
    daemon.kill()
    daemon.start()
    for answer in answers:
        if answer.status == 201:
            assert daemon.api.get(f"/v1/datasets/{answer.json()['id']}").status == 200
    assert daemon.api.get(job["result"]).json() == result
    daemon.stop()


def test_earlier_version_on_a_full_disk(small_disk, own_daemon):
    """No room to make the store anew: it goes on as it was, and what was tried takes no room."""
    daemon = own_daemon("--backend", "cpu", folder=small_disk)
    job, result = daemon.api.fit(daemon.api.upload(description(), noise()), cv=3)
    daemon.stop()
    make_earlier(daemon.data / "store.sqlite", n_models=450)
    free = os.statvfs(small_disk).f_bavail
    daemon.start()
    assert os.statvfs(small_disk).f_bavail > 0.9 * free
    assert daemon.api.get(job["result"]).json() == result
    daemon.api.fit(daemon.api.upload(description(), noise(seed=1)), cv=3)
    daemon.stop()
    assert (daemon.data / "store.sqlite").read_bytes()[20] == 0
    assert check(daemon).returncode == 0
