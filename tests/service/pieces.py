"""Samples that are sent in pieces, by hand and through lines that break."""

import base64
import hashlib
import socket
import threading
import time

from daemon import eventually


def digest_of(data):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


class Pieces:
    """The upload of one body to one dataset."""

    def __init__(self, api, dataset, body, content_type="application/octet-stream"):
        self.api, self.body, self.content_type = api, body, content_type
        self.path = f"/v1/datasets/{dataset['id']}/samples"

    def range_of(self, first, end, total=None):
        return f"bytes {first}-{end - 1}/{len(self.body) if total is None else total}"

    def send(self, first, end, total=None, **headers):
        """Bytes `first` to `end`, the latter excluded."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.api.put(self.path, self.body[first:end], self.content_type,
                            headers={"Content-Range": self.range_of(first, end, total)} | headers)  # fmt: skip

    def look(self):
        """(offset, length or None, complete) as HEAD tells them."""
        response = self.api.request("HEAD", self.path)
        assert response.status == 204 and response.body == b"", response
        return place_of(response)

    def offset(self):
        return self.look()[0]

    def is_free(self):
        """No upload to the dataset is going on: one with a wrong total gets as far as that."""
        return b"another upload" not in self.send(0, 1, 2).body

    def is_kept(self, offset):
        """So much is kept, and the upload has ended: a slow one is recorded every second, too."""
        return self.offset() == offset and self.is_free()

    def send_rest(self):
        """What is not kept yet, as soon as it may be sent: an upload that broke off may even begin late."""
        return eventually(lambda: (answer := self.send(self.offset(), len(self.body))).status != 409 and answer,
                          10, "no other upload is going on")  # fmt: skip

    def break_off(self, first, count, end=None, reset=False, **headers):
        """Promises all up to `end`, sends `count` bytes, and hangs up."""
        end = len(self.body) if end is None else end
        lines = {"Host": "127.0.0.1", "Content-Type": self.content_type, "Content-Length": end - first,
                 "Content-Range": self.range_of(first, end)} | headers  # fmt: skip
        head = f"PUT {self.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        with socket.create_connection(("127.0.0.1", self.api.port), timeout=20) as connection:
            connection.sendall(head.encode() + b"\r\n" + self.body[first : first + count])
            if reset:
                linger = (1).to_bytes(4, "little") + (0).to_bytes(4, "little")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def ready(self):
        """The samples are those that were sent."""
        dataset = self.api.get(self.path.removesuffix("/samples")).json()
        return dataset["state"] == "ready" and dataset["sha256"]


def place_of(response):
    headers = response.headers
    length = headers["Upload-Length"]
    return int(headers["Upload-Offset"]), length and int(length), {"?0": False, "?1": True}[headers["Upload-Complete"]]


class CuttingProxy:
    """Passes connections on to a port, and cuts each one after so many bytes from the client (or, with
    `answers`, from the server), as often as `cuts` has numbers; then it lets all through. `delay`: seconds
    for each 64 KiB."""

    def __init__(self, port, cuts, answers=False, delay=0.0):
        self.port, self.cuts, self.answers, self.delay = port, list(cuts), answers, delay
        self.n_connections = 0
        self.passed = 0  # bytes in the direction that is cut
        self.on_cut = lambda: None
        self.closed = False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.own_port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if self.closed:
                client.close()
                return
            self.n_connections += 1
            try:
                server = socket.create_connection(("127.0.0.1", self.port), timeout=60)
            except OSError:
                client.close()
                continue
            pair = {"client": client, "server": server, "over": False}
            for one, other, counts in ((client, server, not self.answers), (server, client, self.answers)):
                threading.Thread(target=self._pass, args=(pair, one, other, counts), daemon=True).start()

    def _pass(self, pair, one, other, counts):
        passed = 0
        try:
            while chunk := one.recv(65536):
                # Small exchanges pass: only what is a body is cut.
                limit = self.cuts[0] if counts and self.cuts else None
                if limit is not None and passed + len(chunk) > limit:
                    other.sendall(chunk[: limit - passed])
                    self.passed += (limit - passed) * counts
                    self.cuts.pop(0)
                    self.on_cut()
                    break
                other.sendall(chunk)
                if self.delay and counts:
                    time.sleep(self.delay)
                passed += len(chunk)
                self.passed += len(chunk) * counts
            else:
                other.shutdown(socket.SHUT_WR)
                return
        except OSError:
            pass
        for end in (pair["client"], pair["server"]):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()

    def close(self):
        """No connection any more: whoever waits in the queue is let down."""
        self.closed = True
        try:
            socket.create_connection(("127.0.0.1", self.own_port)).close()
        except OSError:
            pass
        self.listener.close()
