"""Requests byte by byte, as no HTTP library sends them."""

import json
import re
import socket
import time
from contextlib import contextmanager

JSON = "Content-Type: application/json"
BINARY = "Content-Type: application/octet-stream"
UNKNOWN = "0123456789abcdefghijkl"


def head(method, path, *lines, host="127.0.0.1", version="HTTP/1.1"):
    text = f"{method} {path} {version}\r\nHost: {host}\r\n"
    return (text + "".join(line + "\r\n" for line in lines) + "\r\n").encode()


def statuses(answer):
    """Status codes of all responses in the bytes that came back."""
    return [int(code) for code in re.findall(rb"HTTP/1\.1 (\d\d\d) ", answer)]


def problem_of(answer):
    return json.loads(answer.partition(b"\r\n\r\n")[2])


@contextmanager
def connected(port, timeout=60, source="127.0.0.1"):
    with socket.create_connection(("127.0.0.1", port), timeout=timeout, source_address=(source, 0)) as connection:
        yield connection


def receive_all(connection):
    """Until the other side closes."""
    answer = b""
    try:
        while piece := connection.recv(65536):
            answer += piece
    except ConnectionError:
        pass
    return answer


def receive_one(connection):
    """One response with a Content-Length, or none at all."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        piece = connection.recv(65536)
        if not piece:
            return answer
        answer += piece
    before, _, body = answer.partition(b"\r\n\r\n")
    lengths = [line for line in before.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    length = int(lengths[0].split(b":")[1]) if lengths else 0
    while len(body) < length:
        piece = connection.recv(65536)
        assert piece, answer
        body += piece
    return before + b"\r\n\r\n" + body


def drip(connection, data, pause, seconds):
    """Sends byte by byte until the other side closes; after how many seconds it did, None if not."""
    began = time.monotonic()
    connection.settimeout(pause)
    for byte in data:
        if time.monotonic() - began > seconds:
            return None
        try:
            connection.send(bytes([byte]))
            if connection.recv(65536) == b"":
                return time.monotonic() - began
        except TimeoutError:
            continue
        except OSError:
            return time.monotonic() - began
    return None
