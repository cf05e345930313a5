"""rejectctl against a real daemon: what it makes, prints, exits with, and says when it can't."""

import json
import os
import pty
import re
import signal
import subprocess
import time

import numpy as np
import pytest
from api import FINAL
from daemon import PATIENCE, eventually, program
from pieces import CuttingProxy
from samples import description, noise

SMALL = ("--epochs", 40, "--channels", 16, "--times", 100)
OK, FAILED, USAGE, REFUSED, UNREACHABLE = range(5)
COMMANDS = ("upload", "fit", "apply", "thresholds", "ransac", "global-thresholds", "validation-curve", "interpolate",
            "status", "cancel", "download", "estimate", "health", "simulate")  # fmt: skip


def run_in(folder, *arguments, server=None, environment=None, **options):
    """Runs rejectctl in a folder (None: this one); options are those of subprocess.run()."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REJECTD_")}
    server = () if server is None else ("--server", server)
    return subprocess.run([program("rejectctl").resolve(), *map(str, arguments), *server], text=True, cwd=folder,
                          env=clean | (environment or {}), timeout=120 * PATIENCE,
                          **{"capture_output": True} | options)  # fmt: skip


def run(*arguments, stdin=None, **options):
    return run_in(None, *arguments, input=stdin, **options)


@pytest.fixture
def ctl(daemon):
    def call(*arguments, code=OK, **options):
        done = run(*arguments, server=f"http://127.0.0.1:{daemon.port}", **options)
        assert done.returncode == code, done
        return done

    return call


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "epochs"
    assert run("simulate", "--output", folder, *SMALL).returncode == OK
    return folder


@pytest.fixture(scope="module")
def fitted(daemon, demo):
    """The result of a fit as rejectctl prints it, and its job."""
    done = run("fit", demo, "--json", server=f"http://127.0.0.1:{daemon.port}")
    assert done.returncode == OK, done
    printed = json.loads(done.stdout)
    return printed["result"], daemon.api.job(printed["job"])


def one_line(done, *words):
    """The complaint is one line that names what was wrong."""
    assert done.stderr.startswith("rejectctl: ") and done.stderr.count("\n") == 1, done
    for word in words:
        assert str(word).lower() in done.stderr.lower(), done


class TestSimulate:
    def test_files(self, demo):
        made = json.loads((demo / "dataset.json").read_text())
        data = np.load(demo / "epochs.npy")
        assert data.shape == (40, 16, 100) == (made["n_epochs"], len(made["channels"]), made["n_times"])
        assert data.dtype == np.float64 and np.isfinite(data).all()
        radius = [np.linalg.norm(c["position"]) for c in made["channels"]]
        np.testing.assert_allclose(radius, 0.095, atol=0.02)

    def test_planted_artefacts_are_there(self, demo):
        data = np.load(demo / "epochs.npy")
        names = [c["name"] for c in json.loads((demo / "dataset.json").read_text())["channels"]]
        ptp = np.ptp(data, axis=2)
        planted = json.loads((demo / "truth.json").read_text())["artefacts"]
        assert {artefact["kind"] for artefact in planted} >= {"blink", "jump"}
        for artefact in planted:
            if artefact["kind"] in ("blink", "jump", "muscle"):
                channels = [names.index(name) for name in artefact["channels"]]
                struck = ptp[artefact["first_epoch"]][channels]
                assert (struck > 1.5 * np.median(ptp[:, channels], axis=0)).mean() > 0.5, artefact

    def test_the_same_seed_gives_the_same_files(self, demo, tmp_path):
        assert run("simulate", "--output", tmp_path / "again", *SMALL).returncode == OK
        assert run("simulate", "--output", tmp_path / "other", *SMALL, "--seed", 2).returncode == OK
        for name in ("epochs.npy", "dataset.json", "truth.json"):
            assert (tmp_path / "again" / name).read_bytes() == (demo / name).read_bytes()
        assert (tmp_path / "other" / "epochs.npy").read_bytes() != (demo / "epochs.npy").read_bytes()

    @pytest.mark.parametrize("arguments, word", [
        (("--epochs", 0), "epochs"), (("--channels", 7), "channels"), (("--epochs", "many"), "epochs"),
        (("--dtype", "int16"), "dtype"), (("--colour", "red"), "colour"), (("--seed",), "seed"),
    ])  # fmt: skip
    def test_wrong_options(self, tmp_path, arguments, word):
        done = run("simulate", "--output", tmp_path / "x", *arguments)
        assert done.returncode == USAGE and word in done.stderr, done
        assert not (tmp_path / "x" / "epochs.npy").exists()

    def test_output_that_cannot_be_written(self):
        done = run("simulate", "--output", "/proc/none", *SMALL)
        assert done.returncode != OK
        one_line(done, "/proc/none")


class TestUpload:
    def check(self, api, done, demo):
        dataset = api.get(f"/v1/datasets/{done.stdout.split()[-1]}").json()
        assert dataset["state"] == "ready" and dataset["n_epochs"] == 40
        assert dataset["bytes"] == np.load(demo / "epochs.npy").nbytes

    def test_folder(self, ctl, api, demo):
        self.check(api, ctl("upload", demo), demo)

    def test_npy_with_metadata(self, ctl, api, demo):
        self.check(api, ctl("upload", demo / "epochs.npy", "--metadata", demo / "dataset.json"), demo)

    def test_inline_from_standard_input(self, ctl, api, demo):
        made = json.loads((demo / "dataset.json").read_text())
        made["data"] = np.load(demo / "epochs.npy").tolist()
        self.check(api, ctl("upload", "-", stdin=json.dumps(made)), demo)

    def test_float32(self, ctl, api, demo, tmp_path):
        np.save(tmp_path / "single.npy", np.load(demo / "epochs.npy").astype(np.float32))
        made = json.loads((demo / "dataset.json").read_text()) | {"dtype": "float32"}
        (tmp_path / "single.json").write_text(json.dumps(made))
        done = ctl("upload", tmp_path / "single.npy", "--metadata", tmp_path / "single.json", "--json")
        dataset = api.get(f"/v1/datasets/{json.loads(done.stdout)['dataset']}").json()
        assert dataset["dtype"] == "float32" and dataset["state"] == "ready"

    def test_missing_and_broken_files(self, ctl, demo, tmp_path):
        one_line(ctl("upload", tmp_path / "none", code=USAGE), tmp_path / "none")
        (tmp_path / "bad.json").write_text("{")
        done = ctl("upload", demo / "epochs.npy", "--metadata", tmp_path / "bad.json", code=REFUSED)
        one_line(done, "bad.json")
        (tmp_path / "bad.npy").write_bytes(b"\x93NUMPY\x01\x00")
        done = ctl("upload", tmp_path / "bad.npy", "--metadata", demo / "dataset.json", code=REFUSED)
        one_line(done, "bad.npy")

    def test_refused_by_the_server(self, ctl, api, demo, tmp_path):
        before = api.listed("datasets")
        data = np.load(demo / "epochs.npy")
        data[3, 2, 1] = np.nan
        np.save(tmp_path / "nan.npy", data)
        done = ctl("upload", tmp_path / "nan.npy", "--metadata", demo / "dataset.json", code=REFUSED)
        one_line(done, "nan.npy", "finite")
        assert api.listed("datasets") == before, "what was refused is still there"


class TestFit:
    def test_json_is_the_result(self, api, fitted):
        printed, job = fitted
        result = api.get(job["result"]).json()
        assert {key: printed[key] for key in ("labels", "thresholds", "loss")} == {
            key: result[key] for key in ("labels", "thresholds", "loss")}  # fmt: skip

    def test_table(self, ctl, demo):
        done = ctl("fit", demo, "--truth", demo / "truth.json")
        for words in ("thresholds", "consensus", "n_interpolate", "bad epochs", "repaired", "blinks", "jumps"):
            assert words in done.stdout, words
        assert "\r" not in done.stdout and "\x1b" not in done.stdout

    def test_answered_from_is_shown(self, ctl, api, fitted):
        printed = json.loads(ctl("fit", fitted[1]["dataset"], "--json").stdout)
        answer = api.job(printed["job"])["answered_from"]
        assert answer is not None and printed["answered_from"] == answer
        assert f"answered from {answer}\n" in ctl("status", printed["job"]).stdout
        first = ctl("fit", fitted[1]["dataset"]).stdout.splitlines()[0]
        assert first.endswith(f", answered from {api.listed('jobs')[0]['answered_from']}")
        computed = ctl("fit", fitted[1]["dataset"], "--fresh").stdout
        assert "answered" not in computed
        printed = json.loads(ctl("fit", fitted[1]["dataset"], "--fresh", "--json").stdout)
        assert printed["answered_from"] is None

    def test_parameters_arrive(self, ctl, api, demo, tmp_path):
        names = [c["name"] for c in json.loads((demo / "dataset.json").read_text())["channels"]]
        (tmp_path / "thresholds.json").write_text(json.dumps({name: 1e-4 for name in names}))
        dataset = ctl("upload", demo).stdout.split()[-1]
        ctl("fit", dataset, "--cv", 4, "--consensus", "0.1,0.5", "--n-interpolate", "1,3", "--random-state", 5,
            "--thresh-method", "exact", "--picks", "eeg", "--precision", "bfloat16", "--priority", 3,
            "--device", "cpu", "--thresholds", tmp_path / "thresholds.json")  # fmt: skip
        job = api.listed("jobs")[0]
        assert job["dataset"] == dataset and job["priority"] == 3 and job["device"] == "cpu"
        assert job["parameters"] == {
            "cv": 4, "consensus": [0.1, 0.5], "n_interpolate": [1, 3], "random_state": 5,
            "thresh_method": "exact", "picks": ["eeg"], "precision": "bfloat16",
            "thresholds": {name: 1e-4 for name in names}}  # fmt: skip

    def test_refused(self, ctl, demo):
        one_line(ctl("fit", "ds_0000000000000000000000", code=REFUSED), "dataset")
        done = ctl("fit", demo, "--cv", 41, code=REFUSED)
        refusal, kept = done.stderr.splitlines()
        assert "cv" in refusal and "40" in refusal, done
        dataset = re.search(r"dataset (ds_\w+)", kept)[1]
        refused = ctl("fit", dataset, "--n-interpolate", "1.5", code=REFUSED)
        one_line(refused, "n_interpolate", "integer")
        ctl("fit", dataset, "--cv", 4)

    @pytest.mark.parametrize("arguments", [("--cv", "x"), ("--consensus", "0.1,,0.2"), ("--consensus", "a"),
                                           ("--colour", "red"), ("--cv",)])  # fmt: skip
    def test_wrong_options(self, ctl, demo, arguments):
        done = ctl("fit", demo, *arguments, code=USAGE)
        assert arguments[0].strip("-") in done.stderr, done

    def test_numbers_as_people_write_them(self, ctl, api, demo):
        printed = json.loads(ctl("fit", demo, "--consensus", ".1,+0.5,1.", "--n-interpolate", "+1,02", "--cv", 4,
                                 "--json").stdout)  # fmt: skip
        parameters = api.job(printed["job"])["parameters"]
        assert parameters["consensus"] == [0.1, 0.5, 1.0] and parameters["n_interpolate"] == [1, 2]

    @pytest.mark.parametrize("text", ["", "junk", '{"Fz": 1e-4'])
    def test_files_that_are_not_json(self, ctl, demo, tmp_path, text):
        path = tmp_path / "t.json"
        path.write_text(text)
        one_line(ctl("fit", demo, "--thresholds", path, code=USAGE), path, "JSON")
        one_line(ctl("estimate", "30x32x200", "--parameters", path, code=USAGE), path, "JSON")

    def test_file_named_like_an_id(self, ctl, demo, tmp_path):
        copy = tmp_path / "ds_epochs.npy"
        copy.write_bytes((demo / "epochs.npy").read_bytes())
        done = run_in(tmp_path, "fit", "ds_epochs.npy", server=None)
        assert done.returncode == USAGE and "--metadata" in done.stderr, done

    def test_job_that_is_cancelled(self, ctl, api):
        shape = (400, 96, 400)
        dataset = api.upload(description(*shape), noise(*shape))
        waiting = subprocess.Popen(
            [program("rejectctl"), "--server", f"http://127.0.0.1:{api.port}", "fit", dataset["id"],
             "--thresh-method", "exact", "--n-interpolate", "1,2,4,8,16,32"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        job = eventually(lambda: [j for j in api.listed("jobs") if j["dataset"] == dataset["id"]], 20, "queued")[0]
        ctl("cancel", job["id"])
        _, complaint = waiting.communicate(timeout=60 * PATIENCE)
        assert waiting.returncode == FAILED and "cancelled" in complaint, complaint

    def test_no_wait(self, ctl, api, demo):
        done = ctl("fit", demo, "--no-wait", "--json")
        job = api.finish(json.loads(done.stdout)["job"])
        assert job["state"] == "succeeded"


class TestEstimate:
    def test_shape(self, ctl):
        done = ctl("estimate", "300x128x1000")
        assert "cpu" in done.stdout and "it would run on cpu" in done.stdout
        answer = json.loads(ctl("estimate", "300x128x1000", "--dtype", "float32", "--json").stdout)
        assert answer["sample_bytes"] == 300 * 128 * 1000 * 4

    def test_types_and_parameters(self, ctl, tmp_path):
        (tmp_path / "p.json").write_text('{"picks": ["mag"]}')
        shape = ("estimate", "300x306x100", "--channel-types", "mag=102,grad=204", "--type", "ransac")
        answer = json.loads(ctl(*shape, "--parameters", tmp_path / "p.json", "--json").stdout)
        assert answer["chosen"] == "cpu"
        one_line(ctl(*shape, code=REFUSED), "parameters.picks")

    def test_dataset(self, ctl, fitted):
        assert "it would run on cpu" in ctl("estimate", fitted[1]["dataset"], "--device", "cpu").stdout

    def test_too_large(self, ctl):
        assert "it can't run here" in ctl("estimate", "1000000x4000x1000").stdout

    @pytest.mark.parametrize("arguments", [
        (), ("300x128x1000", "again"), ("300x128x1000", "--channel-types", "mag"),
        ("300x128x1000", "--channel-types", "mag=x"), ("300x128x1000", "--parameters", "/nowhere"),
    ])  # fmt: skip
    def test_wrong_options(self, ctl, arguments):
        one_line(ctl("estimate", *arguments, code=USAGE))

    @pytest.mark.parametrize("source", ["300x128", "x3x4", "ds_0123456789abcdefghijkl", "3x4x5x6"])
    def test_refused(self, ctl, source):
        one_line(ctl("estimate", source, code=REFUSED), "dataset")


def test_apply(ctl, api, demo, fitted):
    result, _ = fitted
    applied = json.loads(ctl("apply", demo, "--model", result["model"], "--json").stdout)["result"]
    assert applied["labels"] == result["labels"] and applied["bad_epochs"] == result["bad_epochs"]
    dataset = api.listed("datasets")[0]["id"]
    one_line(ctl("apply", dataset, "--model", "md_0000000000000000000000", code=REFUSED), "model")
    assert "model" in ctl("apply", demo, code=USAGE).stderr


class TestStatus:
    def test_one_and_all(self, ctl, api, fitted):
        _, job = fitted
        assert json.loads(ctl("status", job["id"], "--json").stdout) == api.job(job["id"])
        assert "succeeded" in ctl("status", job["id"]).stdout
        assert job["id"] in ctl("status").stdout
        listed = json.loads(ctl("status", "--json").stdout)["jobs"]
        assert job["id"] in [other["id"] for other in listed]

    def test_datasets_and_models(self, ctl, api, fitted):
        result, job = fitted
        assert json.loads(ctl("status", job["dataset"], "--json").stdout)["id"] == job["dataset"]
        assert json.loads(ctl("status", result["model"], "--json").stdout)["id"] == result["model"]

    def test_output_that_cannot_be_written(self, api, fitted):
        server = f"http://127.0.0.1:{api.port}"
        with open("/dev/full", "w") as full:
            for arguments in (("status", "--json"), ("download", fitted[1]["id"], "result", "-")):
                done = run_in(None, *arguments, server=server, capture_output=False, stdout=full, stderr=subprocess.PIPE)
                assert done.returncode == USAGE, done
                one_line(done, "written")

    def test_unknown(self, ctl):
        one_line(ctl("status", "jb_0000000000000000000000", code=REFUSED), "jb_0000000000000000000000")
        assert ctl("status", "nonsense", code=USAGE).stderr

    def test_watch(self, ctl, api, fitted):
        done, job = fitted
        text = ctl("watch", job["id"]).stdout
        assert text.startswith(job["id"]) and "succeeded" in text and len(text.splitlines()) == 1
        shape = (400, 96, 400)
        dataset = api.upload(description(*shape), noise(*shape))
        long = api.submit({"type": "fit", "dataset": dataset["id"], "parameters": {"thresh_method": "exact"}})
        watching = subprocess.Popen(
            [program("rejectctl"), "--server", f"http://127.0.0.1:{api.port}", "watch", long["id"]],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        ctl("cancel", long["id"])
        _, complaint = watching.communicate(timeout=60 * PATIENCE)
        assert watching.returncode == FAILED and "cancelled" in complaint, complaint
        one_line(ctl("watch", "ds_abc", code=USAGE), "jb_")
        one_line(ctl("watch", "jb_abc", code=REFUSED), "jb_abc")

    def test_cancel_what_has_ended(self, ctl, fitted):
        _, job = fitted
        one_line(ctl("cancel", job["id"], code=REFUSED), "ended")


class TestDownload:
    @pytest.mark.parametrize("what, path", [("result", ""), ("labels", "/labels.npy"), ("cleaned", "/cleaned.npy")])
    def test_files(self, ctl, api, fitted, tmp_path, what, path):
        _, job = fitted
        ctl("download", job["id"], what, tmp_path / "out")
        assert (tmp_path / "out").read_bytes() == api.get(job["result"] + path).body

    def test_standard_output(self, ctl, api, fitted):
        result, job = fitted
        assert json.loads(ctl("download", job["id"], "result", "-").stdout)["labels"] == result["labels"]

    def test_what_is_no_file_stays_what_it_is(self, ctl, fitted, tmp_path):
        _, job = fitted
        pipe, link, target, nowhere = (tmp_path / name for name in ("pipe", "link", "target", "nowhere"))
        os.mkfifo(pipe)
        link.symlink_to("target")
        nowhere.symlink_to("none")
        one_line(ctl("download", job["id"], "labels", pipe, code=USAGE), "pipe", "standard output")
        one_line(ctl("download", job["id"], "labels", nowhere, code=USAGE), "nowhere", "link")
        assert pipe.is_fifo() and nowhere.is_symlink() and len(list(tmp_path.iterdir())) == 3
        target.write_text("before")
        ctl("download", job["id"], "labels", link)
        assert link.is_symlink() and target.read_bytes().startswith(b"\x93NUMPY")

    def test_errors_leave_no_file(self, ctl, fitted, tmp_path):
        _, job = fitted
        ctl("download", "jb_0000000000000000000000", "labels", tmp_path / "out", code=REFUSED)
        ctl("download", job["id"], "everything", tmp_path / "out", code=USAGE)
        assert list(tmp_path.iterdir()) == []
        done = run("download", job["id"], "labels", tmp_path / "none" / "out", server="http://127.0.0.1:1")
        assert done.returncode != OK


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    done = run(command, "--help")
    assert done.returncode == OK and "usage: rejectctl " + command in done.stdout
    assert "example" in done.stdout


def test_help_of_all():
    done = run("--help")
    assert done.returncode == OK
    for command in COMMANDS:
        assert command in done.stdout
    assert run().returncode == USAGE
    one_line(run("paint"), "paint")


class TestServer:
    def test_not_there(self):
        done = run("status", server="http://127.0.0.1:1")
        assert done.returncode == UNREACHABLE
        one_line(done, "127.0.0.1:1")

    def test_not_a_url(self):
        assert run("status", server="nonsense://x").returncode in (USAGE, UNREACHABLE)

    def test_environment(self, daemon):
        named = {"REJECTD_SERVER": f"http://127.0.0.1:{daemon.port}/"}
        assert run("status", environment=named).returncode == OK
        assert run("status", environment={"REJECTD_SERVER": "http://127.0.0.1:1"}).returncode == UNREACHABLE

    def test_health(self, ctl):
        assert json.loads(ctl("health").stdout) == {"status": "ok"}
        one_line(ctl("health", "more", code=USAGE), "health")
        one_line(run("health", server="http://127.0.0.1:1"), "127.0.0.1:1")
        assert run("health", server="http://127.0.0.1:1").returncode == UNREACHABLE

    def test_interrupted_while_waiting(self, own_daemon):
        """At once, even when the server hangs; the job goes on."""
        daemon = own_daemon()
        shape = (400, 96, 400)
        dataset = daemon.api.upload(description(*shape), noise(*shape))
        before = [daemon.api.fit_later(dataset, cv=10, random_state=seed, n_interpolate=[1, 2, 4, 8, 16, 24, 32, 48])
                  for seed in range(20)]  # fmt: skip
        waiting = subprocess.Popen(
            [program("rejectctl"), "--server", f"http://127.0.0.1:{daemon.port}", "fit", dataset["id"], "--json"],
            text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        submitted = lambda: [each["id"] for each in daemon.api.listed("jobs") if each["id"] not in before]  # noqa: E731
        (job,) = eventually(submitted, 20, "the job is submitted")
        time.sleep(0.3 * PATIENCE)
        daemon.process.send_signal(signal.SIGSTOP)
        waiting.send_signal(signal.SIGINT)
        try:
            printed, complaint = waiting.communicate(timeout=10 * PATIENCE)
        finally:
            daemon.process.send_signal(signal.SIGCONT)
        assert waiting.returncode == -signal.SIGINT and printed == "" and f"rejectctl watch {job}" in complaint, complaint
        assert daemon.api.job(job)["state"] == "queued"
        for each in before:
            daemon.api.delete(f"/v1/jobs/{each}")
        assert daemon.api.finish(job)["state"] == "succeeded"

    def test_killed_while_waiting(self, own_daemon):
        daemon = own_daemon()
        shape = (400, 96, 400)
        dataset = daemon.api.upload(description(*shape), noise(*shape))
        proxy = CuttingProxy(daemon.port, [])
        waiting = subprocess.Popen(
            [program("rejectctl"), "--server", f"http://127.0.0.1:{proxy.own_port}", "fit", dataset["id"], "--json",
             "--thresh-method", "exact"], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip
        eventually(lambda: daemon.api.listed("jobs"), 20, "the job is submitted")
        daemon.kill()
        daemon.start()
        proxy.port = daemon.port
        printed, complaint = waiting.communicate(timeout=60 * PATIENCE)
        proxy.close()
        assert waiting.returncode == OK and complaint == "", complaint
        job = json.loads(printed)["job"]
        assert [each["id"] for each in daemon.api.listed("jobs")] == [job]


class TestBar:
    def on_terminal(self, daemon, *arguments):
        """What a person at a terminal would see."""
        leader, follower = pty.openpty()
        child = subprocess.Popen([program("rejectctl"), "--server", f"http://127.0.0.1:{daemon.port}",
                                  *map(str, arguments)], stdout=follower, stderr=follower, stdin=follower)  # fmt: skip
        os.close(follower)
        seen = b""
        deadline = time.monotonic() + 60 * PATIENCE
        while time.monotonic() < deadline:
            try:
                piece = os.read(leader, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        os.close(leader)
        assert child.wait(20) == OK, seen
        return seen.decode()

    def test_on_a_terminal(self, daemon, demo):
        seen = self.on_terminal(daemon, "fit", demo)
        assert "\r" in seen.replace("\r\n", "\n") and "%" in seen, seen

    def test_not_with_json(self, daemon, demo):
        seen = self.on_terminal(daemon, "fit", demo, "--json").replace("\r\n", "\n")
        assert "\r" not in seen
        json.loads(seen)


def test_all_jobs_have_ended(api):
    assert all(job["state"] in FINAL for job in api.listed("jobs"))
