"""TLS: what is spoken, what is refused, and a certificate that is replaced while it runs."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import time

import pytest
from api import Response
from daemon import Daemon, eventually, program
from samples import description

SANS = "subjectAltName=IP:127.0.0.1,DNS:localhost"


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


def make_pair(folder, name, *options, kind="ec"):
    """A self-signed certificate for 127.0.0.1 and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if kind == "ec" else ["-newkey", "rsa:2048"]
    openssl("req", "-x509", *new, "-nodes", "-keyout", key, "-out", certificate, "-days", 30,
            "-subj", f"/CN={name}", "-addext", SANS, *options)  # fmt: skip
    key.chmod(0o600)
    return certificate, key


def settings(certificate, key):
    return ["--tls-certificate", str(certificate), "--tls-key", str(key)]


def context(*certificates, least=ssl.TLSVersion.TLSv1_2, most=ssl.TLSVersion.TLSv1_3):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version, made.maximum_version = least, most
    for certificate in certificates:
        made.load_verify_locations(certificate)
    return made


def get(port, path, trusted):
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=60, context=context(*trusted))
    try:
        connection.request("GET", path)
        return Response(connection.getresponse())
    finally:
        connection.close()


def subject(port, trusted):
    """Who answers."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as plain:
        with context(*trusted).wrap_socket(plain, server_hostname="127.0.0.1") as secure:
            return dict(pair for part in secure.getpeercert()["subject"] for pair in part)["commonName"]


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return make_pair(tmp_path_factory.mktemp("pair"), "first")


@pytest.fixture(scope="module")
def secure(pair, tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("secure"), settings(*pair)).start()
    yield daemon
    daemon.stop()


def test_the_url_says_https(secure):
    assert f"https://127.0.0.1:{secure.port}" in "".join(secure.output)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_versions(secure, pair, version):
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as plain:
        made = context(pair[0], least=version, most=version)
        with made.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
            assert connection.version() == version.name.replace("_", ".")
            connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := connection.recv(65536):
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200 ")


def test_old_versions_are_refused(secure):
    """Security level 0: it is the server that refuses, not this client."""
    for version, accepted in (("-tls1", False), ("-tls1_1", False), ("-tls1_2", True)):
        run = subprocess.run(["openssl", "s_client", version, "-cipher", "DEFAULT:@SECLEVEL=0",
                              "-connect", f"127.0.0.1:{secure.port}"],
                             input=b"", capture_output=True, timeout=60)  # fmt: skip
        said = run.stdout + run.stderr
        assert (run.returncode == 0) == accepted, said[-800:]
        assert (b"no peer certificate available" not in said) == accepted, said[-800:]


def test_another_certificate_is_not_trusted(secure, tmp_path):
    other, _ = make_pair(tmp_path, "other")
    with pytest.raises(ssl.SSLCertVerificationError):
        get(secure.port, "/healthz", [other])


def test_plain_http_gets_no_answer(secure, pair):
    with socket.create_connection(("127.0.0.1", secure.port), timeout=60) as connection:
        connection.sendall(b"GET /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        try:
            while piece := connection.recv(65536):
                answer += piece
        except ConnectionResetError:
            pass
    assert b"HTTP" not in answer, answer
    assert get(secure.port, "/healthz", pair[:1]).status == 200


def test_a_large_upload(secure, pair):
    """Bodies and files go through TLS as they go without."""
    import numpy as np

    made = description() | {"n_epochs": 40, "n_times": 5000}
    size = (40, len(made["channels"]), 5000)
    data = np.random.default_rng(1).normal(size=size).astype(np.float32 if made.get("dtype") == "float32" else float)
    connection = http.client.HTTPSConnection("127.0.0.1", secure.port, timeout=120, context=context(pair[0]))
    connection.request("POST", "/v1/datasets", json.dumps(made), {"Content-Type": "application/json"})
    dataset = Response(connection.getresponse()).json()
    connection.request("PUT", f"/v1/datasets/{dataset['id']}/samples", data.tobytes(),
                       {"Content-Type": "application/octet-stream"})  # fmt: skip
    answer = Response(connection.getresponse())
    assert answer.status == 200 and answer.json()["state"] == "ready", answer
    connection.close()


def test_slow_handshake(own_daemon, pair):
    """Who begins a handshake and doesn't end it is cut off, byte by byte or silent."""
    daemon = own_daemon(*settings(*pair), "--header-timeout", "1", "--idle-timeout", "60")
    silent = socket.create_connection(("127.0.0.1", daemon.port), timeout=60)
    slow = socket.create_connection(("127.0.0.1", daemon.port), timeout=0.2)
    hello = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200)
    began = time.monotonic()
    ended = False
    for byte in hello:
        try:
            slow.send(bytes([byte]))
            ended = slow.recv(100) == b""
        except TimeoutError:
            continue
        except OSError:
            ended = True
        if ended:
            break
    assert ended and time.monotonic() - began < 30
    assert silent.recv(100) == b""
    assert get(daemon.port, "/healthz", pair[:1]).status == 200


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_reload(own_daemon, tmp_path, kind):
    """SIGHUP: new connections get the new certificate, the open ones go on."""
    first, second = make_pair(tmp_path, "one", kind=kind), make_pair(tmp_path, "two", kind=kind)
    certificate, key = tmp_path / "used.pem", tmp_path / "used.key"

    def use(pair):
        certificate.write_bytes(pair[0].read_bytes())
        key.write_bytes(pair[1].read_bytes())
        key.chmod(0o600)

    use(first)
    daemon = own_daemon(*settings(certificate, key))
    both = [first[0], second[0]]
    connection = http.client.HTTPSConnection("127.0.0.1", daemon.port, timeout=60, context=context(first[0]))
    connection.request("GET", "/healthz")
    assert Response(connection.getresponse()).status == 200
    assert subject(daemon.port, both) == "one"

    use(second)
    assert subject(daemon.port, both) == "one"  # not before it is told
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: subject(daemon.port, both) == "two", 10, "the second certificate")
    connection.request("GET", "/healthz")
    assert Response(connection.getresponse()).status == 200

    # A key that belongs to another certificate, and a file that is none: the old one stays.
    key.write_bytes(first[1].read_bytes())
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: "certificate-refused" in daemon.errors(), 10, "a word in the log")
    assert subject(daemon.port, both) == "two"
    certificate.write_text("nothing")
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: daemon.errors().count("certificate-refused") == 2, 10, "another word in the log")
    assert subject(daemon.port, both) == "two"
    use(first)
    daemon.process.send_signal(signal.SIGHUP)
    eventually(lambda: subject(daemon.port, both) == "one", 10, "the first certificate")
    connection.request("GET", "/healthz")
    assert Response(connection.getresponse()).status == 200
    connection.close()


def test_sighup_without_tls(own_daemon):
    daemon = own_daemon()
    daemon.process.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert daemon.alive() and daemon.api.get("/healthz").status == 200


class TestRefusedAtStart:
    def refused(self, tmp_path, *arguments):
        run = subprocess.run([program("rejectd"), "--listen", "127.0.0.1:0", "--data-dir", tmp_path / "data",
                              *map(str, arguments)], capture_output=True, text=True, timeout=120)  # fmt: skip
        assert run.returncode in (1, 2), run
        return run.stderr

    def test_one_of_both(self, tmp_path, pair):
        assert "tls-key is missing" in self.refused(tmp_path, "--tls-certificate", pair[0])
        assert "tls-certificate is missing" in self.refused(tmp_path, "--tls-key", pair[1])

    def test_no_file(self, tmp_path, pair):
        said = self.refused(tmp_path, *settings(tmp_path / "none.pem", pair[1]))
        assert "tls-certificate" in said and "none.pem" in said and "No such file" in said

    def test_a_file_that_is_none(self, tmp_path, pair):
        odd = tmp_path / "odd.pem"
        for content in (b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\0" * 5000):
            odd.write_bytes(content)
            odd.chmod(0o600)
            assert "tls-certificate" in self.refused(tmp_path, *settings(odd, pair[1]))
            assert "tls-key" in self.refused(tmp_path, *settings(pair[0], odd))
        assert "tls-certificate" in self.refused(tmp_path, *settings(tmp_path, pair[1]))

    def test_the_wrong_key(self, tmp_path, pair):
        _, other = make_pair(tmp_path, "other")
        said = self.refused(tmp_path, *settings(pair[0], other))
        assert "tls-key" in said and "not the key" in said

    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o666])
    def test_a_key_that_others_can_read(self, tmp_path, mode):
        certificate, key = make_pair(tmp_path, "open")
        key.chmod(mode)
        said = self.refused(tmp_path, *settings(certificate, key))
        assert "tls-key" in said and "others" in said


class TestRejectctl:
    def run(self, secure, *arguments, **environment):
        full = {k: v for k, v in os.environ.items() if not k.startswith("REJECTD_")} | environment
        return subprocess.run(
            [program("rejectctl"), *arguments, "--server", f"https://127.0.0.1:{secure.port}"],
            capture_output=True, text=True, timeout=120, env=full)  # fmt: skip

    def test_with_a_certificate(self, secure, pair):
        for run in (self.run(secure, "status", "--ca", str(pair[0])),
                    self.run(secure, "--ca", str(pair[0]), "status"),
                    self.run(secure, "status", REJECTD_CA=str(pair[0]))):  # fmt: skip
            assert run.returncode == 0, run

    def test_without(self, secure, tmp_path):
        run = self.run(secure, "status")
        assert run.returncode == 4 and "certificate" in run.stderr.lower(), run
        other, _ = make_pair(tmp_path, "other")
        assert self.run(secure, "status", "--ca", str(other)).returncode == 4
        missing = self.run(secure, "status", "--ca", "/no/such/file")
        assert missing.returncode == 2 and "/no/such/file" in missing.stderr, missing

    def test_insecure(self, secure):
        for run in (self.run(secure, "status", "--insecure"), self.run(secure, "--insecure", "status")):
            assert run.returncode == 2 and "--ca" in run.stderr, run
