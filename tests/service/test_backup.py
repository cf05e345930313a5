"""rejectd backup beside a running daemon, and rejectd restore."""

import hashlib
import json
import os
import shutil
import subprocess
import threading

import pytest
from daemon import SANITIZED, Daemon, program
from samples import description, noise
from store_file import edited_store

SHAPE = {"n_epochs": 12, "n_channels": 6, "n_times": 20}


def command(name, *arguments, **options):
    return subprocess.run([program("rejectd"), name, *arguments], capture_output=True, text=True,
                          timeout=120, **options)  # fmt: skip


def backup(daemon, to, *arguments):
    return command("backup", "--data-dir", daemon.data, "--to", to, *arguments)


def everything(api):
    """All records, and all that can be downloaded."""
    lists = {kind: api.listed(kind) for kind in ("datasets", "jobs", "models")}
    files = {}
    for job in lists["jobs"]:
        for name in ("", "/labels.npy", "/cleaned.npy"):
            answer = api.get(f"/v1/jobs/{job['id']}/result{name}")
            files[job["id"], name] = answer.status, answer.body
    return lists, files


@pytest.fixture
def used(own_daemon, tmp_path):
    daemon = own_daemon("--backend", "cpu", folder=tmp_path / "first")
    dataset = daemon.api.upload(description(), noise())
    daemon.api.upload(description(), noise(seed=1))
    daemon.api.create(description())
    daemon.job, daemon.result = daemon.api.fit(dataset, cv=3)
    daemon.dataset = dataset
    return daemon


@pytest.fixture(autouse=True)
def folders(tmp_path):
    for name in ("first", "second"):
        (tmp_path / name).mkdir()


def check_manifest(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    files = {p.name: p for p in (folder / "blobs").iterdir()}
    assert {blob["sha256"] for blob in manifest["blobs"]} == set(files)
    for blob in manifest["blobs"] + [manifest["store"]]:
        path = files.get(blob["sha256"], folder / "store.sqlite")
        assert path.stat().st_size == blob["bytes"]
        assert hashlib.sha256(path.read_bytes()).hexdigest() == blob["sha256"]
    assert {p.name for p in folder.iterdir()} == {"manifest.json", "store.sqlite", "blobs"}
    return manifest


@pytest.mark.parametrize("arguments", [(), ("--copy",)])
@pytest.mark.parametrize("running", [True, False])
def test_backup_and_restore(used, own_daemon, tmp_path, arguments, running):
    before = everything(used.api)
    if not running:
        used.stop()
    run = backup(used, tmp_path / "backup", *arguments)
    assert run.returncode == 0 and run.stdout.startswith("4 files"), run
    assert check_manifest(tmp_path / "backup")["lacking"] == 0
    blob = used.dataset["sha256"]
    same = os.path.samefile(used.data / "blobs" / blob, tmp_path / "backup" / "blobs" / blob)
    assert same == (not arguments)
    if running:
        assert everything(used.api) == before
        used.stop()

    shutil.rmtree(used.data)
    run = command("restore", "--data-dir", tmp_path / "second" / "data", "--from", tmp_path / "backup")
    assert run.returncode == 0 and run.stdout.startswith("4 files"), run
    second = own_daemon("--backend", "cpu", folder=tmp_path / "second")
    assert everything(second.api) == before
    job, result = second.api.fit(used.dataset, cv=3)
    assert result["labels"] == used.result["labels"]
    second.stop()
    assert command("check", "--data-dir", second.data).returncode == 0
    # The restored data are files of their own: what happens to them doesn't happen to the backup.
    assert not os.path.samefile(second.data / "blobs" / blob, tmp_path / "backup" / "blobs" / blob)


class Churn(threading.Thread):
    """Uploads and deletes without pause."""

    def __init__(self, api, seed):
        super().__init__()
        self.api, self.seed, self.going, self.n = api, seed, True, 0

    def run(self):
        mine = []
        while self.going:
            self.n += 1
            data = noise(**SHAPE, seed=self.seed + self.n)
            mine.append(self.api.upload(description(**SHAPE), data)["id"])
            if len(mine) > 5:
                assert self.api.delete(f"/v1/datasets/{mine.pop(0)}").status == 204


def test_backup_under_load(used, own_daemon, tmp_path):
    """Every backup is of one moment: no record in it lacks its samples."""
    clients = [Churn(used.api, 10**6 * i) for i in range(2)]
    for client in clients:
        client.start()
    n_backups = 2 if SANITIZED else 8
    try:
        for i in range(n_backups):
            used.api.fit(used.dataset, cv=3)
            run = backup(used, tmp_path / f"backup{i}")
            assert run.returncode == 0, run
    finally:
        for client in clients:
            client.going = False
            client.join()
    assert all(client.n > n_backups for client in clients)
    for i in range(n_backups):
        assert check_manifest(tmp_path / f"backup{i}")["lacking"] == 0
        run = command("check", "--data-dir", tmp_path / f"backup{i}")
        assert run.returncode == 0 and run.stdout.endswith(" 0 damaged\n"), run
    used.stop()
    data = tmp_path / "second" / "data"
    last = tmp_path / f"backup{n_backups - 1}"
    (last / "store.sqlite-wal").unlink(missing_ok=True)
    run = command("restore", "--data-dir", data, "--from", last)
    assert run.returncode == 0, run
    second = own_daemon("--backend", "cpu", folder=tmp_path / "second")
    for dataset in second.api.listed("datasets"):
        if dataset["state"] == "ready":
            second.api.fit(dataset, cv=3)


def test_backup_without_what_is_damaged(used, tmp_path):
    """What is damaged or missing is left out and told; the rest is there."""
    used.stop()
    blobs = used.data / "blobs"
    samples = blobs / used.dataset["sha256"]
    samples.write_bytes(samples.read_bytes()[:-1] + b"\0")
    other = next(p for p in blobs.iterdir() if p != samples and len(p.name) == 64)
    other.unlink()
    run = backup(used, tmp_path / "backup")
    assert run.returncode == 1 and "lacks 2 files" in run.stderr, run
    assert used.dataset["id"] in run.stdout, run
    manifest = check_manifest(tmp_path / "backup")
    assert manifest["lacking"] == 2 and len(manifest["blobs"]) == 2
    run = command("restore", "--data-dir", tmp_path / "second" / "data", "--from", tmp_path / "backup")
    assert run.returncode == 0 and "2 that were missing or damaged" in run.stdout, run


def test_names_that_are_no_digests(used, tmp_path):
    """A store that somebody else made names files outside of the blobs: none is saved, none removed."""
    used.stop()
    identity = used.dataset["id"]
    with edited_store(used.data) as store:
        store.execute("UPDATE datasets SET sha256 = '../store.sqlite' WHERE id = ?", [identity])
        store.execute("UPDATE artifacts SET sha256 = '../precious' WHERE name LIKE 'labels%'")
    (used.data / "precious").write_text("stays")
    run = backup(used, tmp_path / "backup")
    assert run.returncode == 1 and "lacks 2 files" in run.stderr, run
    assert check_manifest(tmp_path / "backup")["lacking"] == 2
    used.start()
    assert used.api.delete(f"/v1/datasets/{identity}").status == 204
    assert (used.data / "store.sqlite").exists() and (used.data / "precious").read_text() == "stays"


def test_backup_needs_an_empty_folder(used, tmp_path):
    assert command("backup", "--data-dir", used.data).returncode == 2
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").write_text("mine")
    run = backup(used, tmp_path / "taken")
    assert run.returncode == 1 and "not empty" in run.stderr, run
    assert [p.name for p in (tmp_path / "taken").iterdir()] == ["file"]
    run = command("backup", "--data-dir", tmp_path / "nothing", "--to", tmp_path / "backup")
    assert run.returncode == 1, run
    assert not (tmp_path / "nothing").exists() and not (tmp_path / "backup").exists()


def test_restore_needs_an_empty_directory(used, tmp_path):
    assert backup(used, tmp_path / "backup").returncode == 0
    before = everything(used.api)
    run = command("restore", "--data-dir", used.data, "--from", tmp_path / "backup")
    assert run.returncode == 1 and "not empty" in run.stderr, run
    assert everything(used.api) == before
    assert command("restore", "--data-dir", tmp_path / "second" / "data").returncode == 2


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


DAMAGES = {
    "store": lambda folder: flip(folder / "store.sqlite"),
    "blob": lambda folder: flip(sorted((folder / "blobs").iterdir())[-1]),
    "blob missing": lambda folder: sorted((folder / "blobs").iterdir())[-1].unlink(),
    "blob is a link": lambda folder: relink(sorted((folder / "blobs").iterdir())[-1]),
    "blob cut": lambda folder: os.truncate(sorted((folder / "blobs").iterdir())[0], 5),
    "no manifest": lambda folder: (folder / "manifest.json").unlink(),
    "manifest cut": lambda folder: os.truncate(folder / "manifest.json", 100),
    "later format": lambda folder: change(folder, lambda m: m.update(format=2)),
    "no format": lambda folder: change(folder, lambda m: m.pop("format")),
    "no store": lambda folder: change(folder, lambda m: m.pop("store")),
    "blobs are none": lambda folder: change(folder, lambda m: m.update(blobs={})),
    "a path": lambda folder: change(folder, lambda m: m["blobs"][0].update(sha256="../" * 20 + "etc/")),
    "another size": lambda folder: change(folder, lambda m: m["blobs"][0].update(bytes=3)),
}


def relink(path):
    path.rename(path.parent.parent / "elsewhere")
    path.symlink_to(path.parent.parent / "elsewhere")


def change(folder, how):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    how(manifest)
    path.write_text(json.dumps(manifest))


def test_damaged_backups_are_refused(used, tmp_path):
    assert backup(used, tmp_path / "backup", "--copy").returncode == 0
    for name, damage in DAMAGES.items():
        folder = tmp_path / "damaged"
        shutil.copytree(tmp_path / "backup", folder)
        damage(folder)
        target = tmp_path / "second" / "data"
        run = command("restore", "--data-dir", target, "--from", folder)
        assert run.returncode in (1, 2) and run.stderr.count("\n") == 1, (name, run)
        assert not target.exists() or not list(target.iterdir()), (name, "something is left")
        shutil.rmtree(folder)
        shutil.rmtree(target, ignore_errors=True)


def test_interrupted_restore_is_no_data_directory(used, tmp_path):
    assert backup(used, tmp_path / "backup").returncode == 0
    data = tmp_path / "second" / "data"
    assert command("restore", "--data-dir", data, "--from", tmp_path / "backup").returncode == 0
    (data / "store.sqlite").rename(data / "store.sqlite.restoring")
    second = Daemon(tmp_path / "second")
    with pytest.raises(AssertionError, match="did not start"):
        second.start()
    assert "store.sqlite" in second.errors() and (data / "store.sqlite.restoring").exists()


def test_backup_and_restore_by_root(used, tmp_path):
    """Root backs up and restores the daemon's data; they stay the daemon's user's."""
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else")
    used.stop()
    uid, gid = 65534, 65534
    public = tmp_path
    while public != public.parent and public.stat().st_uid == 0 and str(public) != "/tmp":
        public.chmod(public.stat().st_mode | 0o711)
        public = public.parent
    for path in [used.data, *used.data.rglob("*")]:
        os.chown(path, uid, gid)
    assert backup(used, tmp_path / "backup").returncode == 0
    for path in (tmp_path / "backup").rglob("*"):
        assert path.stat().st_uid == uid, path
    target = tmp_path / "second" / "data"
    target.mkdir()
    os.chown(target, uid, gid)
    run = command("restore", "--data-dir", target, "--from", tmp_path / "backup")
    assert run.returncode == 0, run
    for path in target.rglob("*"):
        assert (path.stat().st_uid, path.stat().st_gid) == (uid, gid), path
