"""Settings by file, environment and flags; errors at start that name where they come from."""

import os
import subprocess

import pytest
from api import check_problem
from daemon import PATIENCE, program
from samples import description, noise


def rejectd(*arguments, environment=None):
    """Runs the daemon where it is expected to end by itself."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("REJECTD_")}
    return subprocess.run([program("rejectd"), *map(str, arguments)], text=True, capture_output=True,
                          env=clean | (environment or {}), timeout=20 * PATIENCE)  # fmt: skip


def config_file(folder, text):
    path = folder / "rejectd.ini"
    path.write_text(text)
    return path


def test_version():
    done = rejectd("--version")
    assert done.returncode == 0 and "0.1.0" in done.stdout


def test_help():
    done = rejectd("--help")
    assert done.returncode == 0
    for word in ("--listen", "--data-dir", "--config", "--check-config", "127.0.0.1:8765"):
        assert word in done.stdout


def test_check_config(tmp_path):
    path = config_file(tmp_path, f"[rejectd]\nlisten = 127.0.0.1:9999\ndata-dir = {tmp_path}/data\nthreads = 3\n")
    done = rejectd("--config", path, "--check-config")
    assert done.returncode == 0, done
    assert "127.0.0.1:9999" in done.stdout and "3" in done.stdout
    assert not (tmp_path / "data").exists(), "checking must not create anything"


WRONG_FILES = {
    "unknown setting": ("[rejectd]\nlisten = 127.0.0.1:0\ncolour = red\n", ":3", "colour"),
    "unknown section": ("[rejectd]\n[database]\nurl = x\n", ":3", "database"),
    "not a number": ("\n# comment\n\nthreads = many\n", ":4", "threads"),
    "out of range": ("threads = -1\n", ":1", "threads"),
    "not a choice": ("[rejectd]\nbackend = gpu\n", ":2", "cpu"),
    "overflow": ("max-json-bytes = 99999999999999999999\n", ":1", "max-json-bytes"),
    "no value": ("listen = 127.0.0.1:0\nnonsense\n", ":2", ""),
    "listen without port": ("listen = localhost\n", "", "port"),
    "listen on port 70000": ("listen = 127.0.0.1:70000\n", "", "port"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_wrong_file(tmp_path, name):
    text, line, word = WRONG_FILES[name]
    done = rejectd("--config", config_file(tmp_path, text), "--data-dir", tmp_path / "data")
    assert done.returncode not in (0, -11, -6), done
    assert f"rejectd.ini{line}" in done.stderr or line == "", done.stderr
    assert word in done.stderr.lower(), done.stderr
    assert "listening" not in done.stdout


@pytest.mark.parametrize("arguments, word", [
    (["--colour", "red"], "colour"),
    (["--threads", "x"], "--threads"),
    (["--threads"], "threads"),
    (["--config", "/nonexistent/rejectd.ini"], "/nonexistent/rejectd.ini"),
    (["--listen", "256.1.2.3:0"], "256.1.2.3"),
    (["--data-dir", "/proc/nothing/here"], "/proc/nothing"),
    (["surplus"], "surplus"),
])  # fmt: skip
def test_wrong_flags(tmp_path, arguments, word):
    base = [] if "--data-dir" in arguments else ["--data-dir", tmp_path / "data"]
    base += [] if "--listen" in arguments else ["--listen", "127.0.0.1:0"]
    done = rejectd(*base, *arguments)
    assert done.returncode not in (0, -11, -6), done
    assert word in done.stderr, done.stderr


def test_wrong_environment(tmp_path):
    done = rejectd("--data-dir", tmp_path / "data", environment={"REJECTD_THREADS": "x"})
    assert done.returncode not in (0, -11, -6) and "REJECTD_THREADS" in done.stderr, done


def test_address_in_use(own_daemon, tmp_path):
    first = own_daemon()
    done = rejectd("--listen", f"127.0.0.1:{first.port}", "--data-dir", tmp_path / "other")
    assert done.returncode not in (0, -11, -6)
    assert str(first.port) in done.stderr, done.stderr


def test_flags_over_environment_over_file(tmp_path):
    path = config_file(tmp_path, "threads = 1\nhttp-threads = 3\nmax-uploads = 4\n")
    done = rejectd("--config", path, "--check-config", "--threads", "7",
                   environment={"REJECTD_THREADS": "5", "REJECTD_HTTP_THREADS": "6"})  # fmt: skip
    settings = dict(line.replace(" ", "").split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert (settings["threads"], settings["http-threads"], settings["max-uploads"]) == ("7", "6", "4")


def test_listens_on_loopback_only(own_daemon):
    port = own_daemon().port
    listening = []
    for name in ("tcp", "tcp6"):
        with open(f"/proc/net/{name}", encoding="ascii") as table:
            rows = [line.split() for line in table.readlines()[1:]]
        listening += [row[1] for row in rows if row[3] == "0A" and row[1].endswith(f":{port:04X}")]
    assert listening == [f"0100007F:{port:04X}"]


def test_limits(own_daemon):
    api = own_daemon("--max-json-bytes", "20000", "--max-upload-bytes", "11520").api
    made = description(data=noise().tolist())
    check_problem(api.post("/v1/datasets", made), 413, "too-large", None, "20000")
    response = api.post("/v1/datasets", description(n_times=21))
    if response.status == 201:
        response = api.put(f"/v1/datasets/{response.json()['id']}/samples", noise(n_times=21).tobytes())
    assert response.status in (413, 422), response
    assert "11520" in response.json()["detail"], response
    assert api.upload(description(), noise())["state"] == "ready"


@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_backend(own_daemon, backend):
    api = own_daemon(environment={"REJECTD_BACKEND": backend}).api
    _, result = api.fit(api.upload(description(), noise()), cv=3)
    assert backend in result["provenance"]["backend"], result["provenance"]


def test_data_directory_is_private(own_daemon):
    """Others on the machine have no business with the samples."""
    daemon = own_daemon()
    assert daemon.data.stat().st_mode & 0o077 == 0, oct(daemon.data.stat().st_mode)


def test_idle_connections_are_closed(own_daemon):
    import socket

    daemon = own_daemon("--idle-timeout", "1")
    with socket.create_connection(("127.0.0.1", daemon.port), timeout=20 * PATIENCE) as idle:
        idle.sendall(b"GET /healthz HTTP/1.1\r\nHost")
        while idle.recv(4096):
            pass  # the connection ends, with or without an answer; else recv() times out
    assert daemon.api.get("/healthz").status == 200
