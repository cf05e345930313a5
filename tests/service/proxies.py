"""nginx and Caddy as deploy/ configures them, in front of any address, with a certificate of their own."""

import http.client
import os
import random
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

from api import Api, Response
from daemon import ROOT, eventually

# What holds an nginx that isn't the machine's: everything in one folder, as whoever runs the test.
NGINX_MAIN = """
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/rejectd.conf;
}}
"""


def free_port():
    """One below those that the system gives away, to other tests and to whoever connects: it stays
    free until it is listened at."""
    while True:
        port = random.randrange(20000, 32768)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def make_certificate(folder):
    """(certificate, key) of localhost, signed by itself."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", certificate], check=True, capture_output=True)  # fmt: skip
    return certificate, key


def changed(path, changes):
    """The text of a file of deploy/ with what its first lines say is to be set."""
    text = (ROOT / "deploy" / path).read_text()
    for old, new in changes.items():
        assert old in text, f"deploy/{path} has no {old!r}"
        text = text.replace(old, new)
    return text


class Proxy:
    """Running when it is made; TLS on 127.0.0.1:port."""

    def __init__(self, kind, folder, upstream_port):
        self.kind = kind
        self.folder = Path(folder)
        self.certificate, self.key = make_certificate(self.folder)
        self.port = free_port()
        command = getattr(self, f"_{kind}")(f"127.0.0.1:{upstream_port}")
        with (self.folder / "output.txt").open("wb") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder,
                                            env=os.environ | {"HOME": str(self.folder)})  # fmt: skip
        eventually(self._listens, 20, f"{kind} listens: {self.errors()}")
        self.api = ProxyApi(self)

    def _nginx(self, upstream):
        text = changed("nginx/rejectd.conf", {
            "server 127.0.0.1:8765;": f"server {upstream};",
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "rejectd.example.org": "localhost",
            "/etc/ssl/rejectd/fullchain.pem": str(self.certificate),
            "/etc/ssl/rejectd/privkey.pem": str(self.key),
        })  # fmt: skip
        (self.folder / "rejectd.conf").write_text(text)
        user = "user root;" if os.geteuid() == 0 else ""
        main = self.folder / "nginx.conf"
        main.write_text(NGINX_MAIN.format(user=user, folder=self.folder))
        return [find("nginx"), "-p", self.folder, "-c", main, "-e", self.folder / "error.log", "-g", "daemon off;"]

    def _caddy(self, upstream):
        text = changed("caddy/Caddyfile", {
            "{\n\tauto_https": "{\n\tadmin off\n\tauto_https",
            "reverse_proxy 127.0.0.1:8765": f"reverse_proxy {upstream}",
            "rejectd.example.org {": f"https://localhost:{self.port} {{\n\ttls {self.certificate} {self.key}",
        })  # fmt: skip
        (self.folder / "Caddyfile").write_text(text)
        return [find("caddy"), "run", "--adapter", "caddyfile", "--config", self.folder / "Caddyfile"]

    def _listens(self):
        assert self.process.poll() is None, self.errors()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def errors(self):
        return "".join(path.read_text() for path in self.folder.glob("*") if path.name in ("output.txt", "error.log"))

    def connect(self, **options):
        """An https connection, which knows the certificate."""
        context = ssl.create_default_context(cafile=self.certificate)
        return http.client.HTTPSConnection("localhost", self.port, context=context, timeout=60, **options)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)


def find(kind):
    """Path of the program; None when it isn't installed."""
    return shutil.which(kind, path=os.environ.get("PATH", "") + ":/usr/sbin")


class ProxyApi(Api):
    """The same API, through the proxy."""

    def __init__(self, proxy):
        super().__init__(proxy.port)
        self.proxy = proxy

    def request(self, method, path, body=None, headers=None, timeout=120):
        connection = self.proxy.connect()
        try:
            connection.request(method, path, body=body, headers=self.with_token(headers))
            return Response(connection.getresponse())
        finally:
            connection.close()


class Upstream:
    """In place of rejectd: answers what it is told to and keeps the heads that it was sent."""

    def __init__(self):
        self.heads = []  # (number of the connection, request line, {name: value})
        self.answer = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"]  # sent one after another
        self.pauses = 0.0  # seconds between them
        self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection, self.connections), daemon=True).start()

    def _serve(self, connection, number):
        with connection, connection.makefile("rb") as stream:
            while first := stream.readline():
                lines = iter(lambda: stream.readline().decode().strip(), "")
                headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
                stream.read(int(headers.get("content-length", 0)))
                self.heads.append((number, first.decode().strip(), headers))
                for piece in self.answer:
                    connection.sendall(piece)
                    time.sleep(self.pauses)

    def close(self):
        self.socket.close()
