"""rejectctl over lines that break and with daemons that come and go."""

import hashlib
import json
import os
import re
import signal
import subprocess

import numpy as np
import pytest
from daemon import PATIENCE, eventually, program
from pieces import CuttingProxy
from samples import description, noise
from test_rejectctl import OK, REFUSED, UNREACHABLE, USAGE, run

SHAPE = {"n_epochs": 30, "n_channels": 16, "n_times": 1000}  # 3.8 MB


@pytest.fixture
def source(tmp_path):
    """The arguments of an upload, and the SHA-256 of its samples."""
    data = noise(**SHAPE)
    np.save(tmp_path / "x.npy", data)
    (tmp_path / "x.json").write_text(json.dumps(description(**SHAPE)))
    return ("upload", tmp_path / "x.npy", "--metadata", tmp_path / "x.json"), hashlib.sha256(data.tobytes()).hexdigest()


@pytest.fixture
def proxied():
    """Makes proxies that are closed after the test."""
    made = []

    def make(port, cuts, **options):
        made.append(CuttingProxy(port, cuts, **options))
        return made[-1], f"http://127.0.0.1:{made[-1].own_port}"

    yield make
    for proxy in made:
        proxy.close()


def check_uploaded(api, done, digest):
    assert done.returncode == OK, done
    dataset = api.get(f"/v1/datasets/{done.stdout.strip()}").json()
    assert (dataset["state"], dataset["sha256"]) == ("ready", digest)
    assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204


class TestUpload:
    def test_goes_on(self, api, daemon, proxied, source):
        arguments, digest = source
        proxy, server = proxied(daemon.port, [200_000, 1_000_000, 30_000, 500_000])
        check_uploaded(api, run(*arguments, server=server), digest)
        assert not proxy.cuts and proxy.n_connections > 4
        # What had come was not sent again: each cut costs at most what was on its way.
        assert proxy.passed < 2 * 3_840_000

    def test_at_the_very_end(self, api, daemon, proxied, source):
        """The answer to the last piece is what gets lost."""
        arguments, digest = source
        proxy, server = proxied(daemon.port, [], answers=True)
        check_uploaded(api, run(*arguments, server=server), digest)
        proxy, server = proxied(daemon.port, [proxy.passed - 300], answers=True)
        check_uploaded(api, run(*arguments, server=server), digest)
        assert not proxy.cuts

    def test_no_resume(self, api, daemon, proxied, source):
        arguments, _ = source
        before = api.listed("datasets")
        _, server = proxied(daemon.port, [200_000])
        done = run(*arguments, "--no-resume", server=server)
        assert done.returncode == UNREACHABLE, done
        eventually(lambda: api.listed("datasets") == before, 10, "the dataset is deleted")

    def test_gives_up(self, daemon, proxied, source):
        arguments, _ = source
        proxy, server = proxied(daemon.port, [200_000])
        proxy.on_cut = proxy.close
        done = run(*arguments, "--retry", "1", server=server)
        assert done.returncode == UNREACHABLE, done
        self.check_goes_on(daemon, proxied, source, done.stderr)

    def check_goes_on(self, daemon, proxied, source, advice):
        """By what the message says, and without sending again what had come."""
        arguments, digest = source
        path, option, dataset = re.search(r"rejectctl upload (\S+) (--into) (ds_\w+) goes on", advice).groups()
        offset = lambda: int(daemon.api.request("HEAD", f"/v1/datasets/{dataset}/samples").headers["Upload-Offset"])  # noqa: E731
        kept = eventually(offset, 10, "what has come is kept")
        proxy, server = proxied(daemon.port, [])
        done = run("upload", path, option, dataset, server=server)
        assert done.stdout.strip() == dataset
        assert proxy.passed < 3_840_128 - kept + 10_000
        assert run("upload", path, option, dataset, server=server).returncode == OK  # it is there
        check_uploaded(daemon.api, done, digest)
        assert run("upload", path, option, dataset, server=server).returncode == REFUSED  # it was

    def test_goes_on_with_another_file(self, api, daemon, proxied, source):
        """The dataset would be the head of one recording and the tail of another."""
        arguments, _ = source
        proxy, server = proxied(daemon.port, [1_000_000])
        proxy.on_cut = proxy.close
        done = run(*arguments, "--retry", "1", server=server)
        dataset = re.search(r"--into (ds_\w+)", done.stderr)[1]
        np.save(arguments[1], noise(**SHAPE, seed=1))
        done = run("upload", arguments[1], "--into", dataset, server=f"http://127.0.0.1:{daemon.port}")
        assert done.returncode == REFUSED and "Repr-Digest" in done.stderr, done
        assert api.get(f"/v1/datasets/{dataset}").json()["state"] == "awaiting_samples"
        done = run("upload", arguments[1], "--into", dataset, server=f"http://127.0.0.1:{daemon.port}")
        check_uploaded(api, done, hashlib.sha256(noise(**SHAPE, seed=1).tobytes()).hexdigest())

    def test_interrupted(self, daemon, proxied, source):
        arguments, _ = source
        proxy, server = proxied(daemon.port, [1_000_000])
        running = subprocess.Popen([program("rejectctl"), *map(str, arguments), "--server", server],
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        proxy.on_cut = lambda: running.send_signal(signal.SIGINT)
        _, told = running.communicate(timeout=20 * PATIENCE)
        assert running.returncode == -signal.SIGINT, told
        self.check_goes_on(daemon, proxied, source, told)

    @pytest.mark.parametrize("wrong", [
        ["--into", "jb_abc"], ["--into", "x"], ["--into", "ds_abc", "--compress"], ["--into", "ds_abc", "--no-resume"],
    ])  # fmt: skip
    def test_into_what_is_none(self, source, wrong):
        assert run(*source[0], *wrong).returncode == USAGE

    def test_into_another_dataset(self, api, daemon, source):
        server = f"http://127.0.0.1:{daemon.port}"
        other = api.create(description(**SHAPE | {"n_epochs": 29}))
        done = run(*source[0], "--into", other["id"], server=server)
        assert done.returncode == REFUSED, done
        assert api.get(f"/v1/datasets/{other['id']}").json()["state"] == "awaiting_samples"
        assert run(*source[0], "--into", "ds_0123456789abcdefghijkl", server=server).returncode == REFUSED

    @pytest.mark.parametrize("value", ["0", "-1", "x", ""])
    def test_wrong_patience(self, source, value):
        assert run(*source[0], "--retry", value).returncode == USAGE

    def test_restarted_daemon(self, own_daemon, proxied, source):
        arguments, digest = source
        daemon = own_daemon()
        proxy, server = proxied(daemon.port, [500_000, 700_000])
        ends = [daemon.stop, daemon.kill]

        def restart():
            ends.pop(0)()
            daemon.start()
            proxy.port = daemon.port

        proxy.on_cut = restart
        done = run(*arguments, server=server)
        check_uploaded(daemon.api, done, digest)
        assert not ends

    @pytest.mark.slow
    def test_killed_daemon_keeps_most(self, own_daemon, proxied, tmp_path):
        """Of 100 MB the daemon marks 64 MiB as kept while they come."""
        shape = {"n_epochs": 100, "n_channels": 125, "n_times": 1000}
        data = noise(**shape)
        np.save(tmp_path / "x.npy", data)
        (tmp_path / "x.json").write_text(json.dumps(description(**shape)))
        daemon = own_daemon()
        proxy, server = proxied(daemon.port, [90_000_000], delay=0.002)

        def restart():
            daemon.kill()
            daemon.start()
            proxy.port = daemon.port

        proxy.on_cut = restart
        done = run("upload", tmp_path / "x.npy", "--metadata", tmp_path / "x.json", server=server)
        check_uploaded(daemon.api, done, hashlib.sha256(data.tobytes()).hexdigest())
        assert proxy.passed < 90_000_000 + 40_000_000

    @pytest.mark.parametrize("change", ["written again", "cut"])
    def test_file_that_changes_meanwhile(self, api, daemon, proxied, source, change):
        """The samples would be half of the one and half of the other."""
        arguments, _ = source
        path, before = arguments[1], api.listed("datasets")
        proxy, server = proxied(daemon.port, [1_000_000])

        def write():
            if change == "cut":
                os.truncate(path, 2_000_000)
            else:
                with path.open("r+b") as file:
                    np.save(file, noise(**SHAPE, seed=1))

        proxy.on_cut = write
        done = run(*arguments, "--retry", "5", server=server)
        assert done.returncode == USAGE and "has changed" in done.stderr, done
        eventually(lambda: api.listed("datasets") == before, 10, "the dataset is deleted")

    def test_compress(self, api, daemon, proxied, tmp_path):
        data = np.round(noise(**SHAPE), 6)
        np.save(tmp_path / "x.npy", data)
        (tmp_path / "x.json").write_text(json.dumps(description(**SHAPE)))
        proxy, server = proxied(daemon.port, [])
        done = run("upload", tmp_path / "x.npy", "--metadata", tmp_path / "x.json", "--compress", server=server)
        check_uploaded(api, done, hashlib.sha256(data.tobytes()).hexdigest())
        assert proxy.passed < data.nbytes / 2

    def test_compress_a_file(self, api, daemon, proxied, tmp_path):
        path = tmp_path / "x.npz"
        np.savez(path, data=np.round(noise(**SHAPE), 6), sfreq=100.0, ch_names=[f"E{i}" for i in range(16)],
                 ch_types=["eeg"] * 16)  # fmt: skip
        proxy, server = proxied(daemon.port, [])
        done = run("upload", path, "--compress", server=server)
        assert done.returncode == OK, done
        assert api.get(f"/v1/datasets/{done.stdout.strip()}").json()["state"] == "ready"
        assert proxy.passed < path.stat().st_size / 2


@pytest.fixture(scope="module")
def cleaned(daemon):
    """A job and its cleaned.npy."""
    shape = {"n_epochs": 60, "n_channels": 16, "n_times": 500}
    dataset = daemon.api.upload(description(**shape), noise(**shape))
    job, _ = daemon.api.fit(dataset, cv=3, consensus=[0.9], n_interpolate=[1])
    return job["id"], daemon.api.get(f"{job['result']}/cleaned.npy").body


class TestDownload:
    def files(self, folder):
        return sorted(p.name for p in folder.iterdir())

    def test_goes_on(self, daemon, proxied, cleaned, tmp_path):
        job, body = cleaned
        proxy, server = proxied(daemon.port, [300_000, 100, 700_000, 1], answers=True)
        done = run("download", job, "cleaned", tmp_path / "c.npy", server=server)
        assert done.returncode == OK, done
        assert (tmp_path / "c.npy").read_bytes() == body
        assert self.files(tmp_path) == ["c.npy"]
        assert not proxy.cuts and proxy.passed < len(body) + 10_000

    def test_next_call_goes_on(self, daemon, proxied, cleaned, tmp_path):
        job, body = cleaned
        proxy, server = proxied(daemon.port, [1_000_000], answers=True)
        proxy.on_cut = proxy.close
        done = run("download", job, "cleaned", tmp_path / "c.npy", "--retry", "1", server=server)
        assert done.returncode == UNREACHABLE and "c.npy.part" in done.stderr, done
        assert self.files(tmp_path) == ["c.npy.part", "c.npy.part.etag"]
        assert 500_000 < (tmp_path / "c.npy.part").stat().st_size < 1_000_000
        proxy, server = proxied(daemon.port, [], answers=True)
        done = run("download", job, "cleaned", tmp_path / "c.npy", server=server)
        assert done.returncode == OK, done
        assert (tmp_path / "c.npy").read_bytes() == body and self.files(tmp_path) == ["c.npy"]
        assert proxy.passed < len(body) - 500_000

    @pytest.mark.parametrize("tag", [None, '"other"', "", "nonsense"])
    @pytest.mark.parametrize("size", [0, 1000, 10_000_000])
    def test_leftovers_of_something_else(self, daemon, cleaned, tmp_path, tag, size):
        job, body = cleaned
        (tmp_path / "c.npy.part").write_bytes(b"x" * size)
        if tag is not None:
            (tmp_path / "c.npy.part.etag").write_text(tag)
        server = f"http://127.0.0.1:{daemon.port}"
        done = run("download", job, "cleaned", tmp_path / "c.npy", server=server)
        assert done.returncode == OK, done
        assert (tmp_path / "c.npy").read_bytes() == body and self.files(tmp_path) == ["c.npy"]

    def test_longer_than_the_whole(self, daemon, cleaned, tmp_path):
        """A part with the right tag that is as long as all of it, or longer, is begun anew."""
        job, body = cleaned
        for extra in (0, 10):
            (tmp_path / "c.npy.part").write_bytes(b"x" * (len(body) + extra))
            (tmp_path / "c.npy.part.etag").write_text(f'"{hashlib.sha256(body).hexdigest()}"\n')
            done = run("download", job, "cleaned", tmp_path / "c.npy", server=f"http://127.0.0.1:{daemon.port}")
            assert done.returncode == OK, done
            assert (tmp_path / "c.npy").read_bytes() == body and self.files(tmp_path) == ["c.npy"]

    def test_no_resume(self, daemon, proxied, cleaned, tmp_path):
        job, _ = cleaned
        _, server = proxied(daemon.port, [300_000], answers=True)
        done = run("download", job, "cleaned", tmp_path / "c.npy", "--no-resume", server=server)
        assert done.returncode == UNREACHABLE, done
        assert run("download", job, "cleaned", tmp_path / "c.npy", "--no-resume",
                   server=f"http://127.0.0.1:{daemon.port}").returncode == OK  # fmt: skip

    def test_refused_leaves_nothing(self, daemon, tmp_path):
        done = run("download", "jb_0123456789abcdefghijkl", "cleaned", tmp_path / "c.npy",
                   server=f"http://127.0.0.1:{daemon.port}")  # fmt: skip
        assert done.returncode == 3 and self.files(tmp_path) == []
