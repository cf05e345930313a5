"""Samples in pieces: offsets, broken lines, killed daemons, expiry, two at once."""

import hashlib
import http.client
import random
import select
import socket
import threading
import time

import numpy as np
import pytest
from api import Api, check_problem, npy_bytes
from daemon import PATIENCE, eventually
from pieces import CuttingProxy, Pieces, digest_of, place_of
from samples import description, noise
from store_file import edited_store

BIG = {"n_epochs": 60, "n_channels": 32, "n_times": 1000}  # 15 MB


def partial_files(daemon):
    return sorted(p.name for p in daemon.blobs() if p.name.startswith("partial-"))


def bodies():
    """Name, body, content type, and what the samples of it are."""
    data = noise()
    odd = noise(7, 5, 33, dtype="float32")
    yield "raw", description(), data.tobytes(), "application/octet-stream", data
    yield "npy", description(), npy_bytes(data), "application/octet-stream", data
    yield "named npy", description(), npy_bytes(data), "application/x-npy", data
    yield "float32", description(7, 5, 33, dtype="float32"), odd.tobytes(), "application/octet-stream", odd


@pytest.fixture(params=list(bodies()), ids=lambda b: b[0])
def upload(request, api):
    _, made, body, content_type, data = request.param
    dataset = api.create(made)
    upload = Pieces(api, dataset, body, content_type)
    upload.sha256 = hashlib.sha256(data.tobytes()).hexdigest()
    yield upload
    api.delete(f"/v1/datasets/{dataset['id']}")


def check_ready(upload, response):
    assert response.status == 200, response
    assert response.json()["state"] == "ready" and response.json()["sha256"] == upload.sha256
    assert place_of(response) == (len(upload.body), len(upload.body), True)
    assert upload.look()[2]


class TestPieces:
    @pytest.mark.parametrize("size", [1, 7, 100, 4097])
    def test_of_one_size(self, upload, size):
        """Headers and samples are cut anywhere."""
        if size == 1:
            assert upload.send(0, 110).status == 204
        for end in list(range(upload.offset() + size, len(upload.body), size))[:40]:
            response = upload.send(upload.offset(), end)
            assert response.status == 204, response
            assert place_of(response) == (end, len(upload.body), False)
            assert upload.look() == (end, len(upload.body), False)
        check_ready(upload, upload.send(upload.offset(), len(upload.body)))

    def test_one_that_is_all(self, upload):
        assert upload.look() == (0, None, False)
        check_ready(upload, upload.send(0, len(upload.body)))

    def test_not_where_the_others_end(self, upload):
        n = len(upload.body)
        check_problem(upload.send(10, 20), 409, "conflict", "Content-Range", "begins at byte 10")
        assert upload.send(0, 50).status == 204
        for first, end in ((0, 50), (0, n), (49, 60), (51, 60), (10, 20), (n - 1, n)):
            response = upload.send(first, end)
            problem = check_problem(response, 409, "conflict", "Content-Range", "the next one to come is 50")
            assert problem["offset"] == 50
            assert place_of(response) == (50, n, False)
        check_ready(upload, upload.send(50, n))
        check_problem(upload.send(0, n), 409, "conflict")

    def test_totals_that_lie(self, upload):
        n = len(upload.body)
        for total in (n - 1, n + 5000, 2**62, 18446744073709551615):
            response = upload.send(0, 50, total)
            if response.status == 204:  # it could be .npy with a shorter header, until that has come
                response = upload.send(50, 300, total)
            assert response.status in (413, 422), response
            assert upload.look() == (0, None, False)
        assert upload.send(0, 20).status == 204
        response = upload.send(20, 30, n + 1)
        assert check_problem(response, 409, "conflict", "Content-Range", "total")["offset"] == 20
        check_ready(upload, upload.send(20, n))

    @pytest.mark.parametrize("text", ["bytes 0-9/*", "bytes */100", "bytes 0-8/11520", "bytes 0-10/11520", "0-9/11520",
                                      "bytes 9-0/11520", "bytes 0-9/5", "items 0-9/11520", ""])  # fmt: skip
    def test_malformed(self, api, upload, text):
        response = api.put(upload.path, upload.body[:10], headers={"Content-Range": text})
        check_problem(response, 400, "invalid-request", "Content-Range")
        assert upload.look() == (0, None, False)

    def test_of_something_else(self, api):
        for path, kind in (("/v1/datasets", "application/json"), ("/v1/datasets", "application/octet-stream"),
                           ("/v1/jobs", "application/json"), ("/v1/models", "application/octet-stream")):  # fmt: skip
            response = api.request("POST", path, b"0123456789",
                                   {"Content-Type": kind, "Content-Range": "bytes 0-9/10"})  # fmt: skip
            check_problem(response, 400, "invalid-request", "Content-Range", "only samples")

    def test_whole_after_pieces(self, api, upload):
        """Without Content-Range the body is all, whatever came before."""
        assert upload.send(0, 20).status == 204
        assert api.put(upload.path, upload.body, upload.content_type).status == 200
        assert upload.ready() == upload.sha256

    def test_whole_keeps_nothing(self, api, daemon, upload):
        connection = socket.create_connection(("127.0.0.1", api.port), timeout=20)
        connection.sendall(f"PUT {upload.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(upload.body)}\r\n\r\n"
                           .encode() + upload.body[:100])  # fmt: skip
        connection.close()
        assert upload.look() == (0, None, False)
        assert not partial_files(daemon)


class TestContent:
    def test_sample_that_is_not_finite(self, api, daemon):
        data = noise()
        data[3, 2, 5] = np.nan
        body = data.tobytes()
        for ends in ([len(body)], [4000], [3000, len(body)], [2000, 2004, 3243, 3248], [3244, 3247, 3300]):
            dataset = api.create(description())
            upload = Pieces(api, dataset, body)
            responses = [upload.send(first, end) for first, end in zip([0, *ends], ends)]
            assert [r.status for r in responses[:-1]] == [204] * (len(ends) - 1)
            check_problem(responses[-1], 422, "invalid-samples", "samples", "epoch 3, channel 2 (E2), time 5")
            assert upload.look() == (0, None, False) and not partial_files(daemon)
            api.delete(f"/v1/datasets/{dataset['id']}")

    @pytest.mark.parametrize("header", [b"\x93NUMPY\x01\x00\x76\x00{'descr': '<i4', 'fortran_order': False, 'shape': (12, 6, 20)}",
                                        b"\x93NUMPY\x01\x00\x76\x00nonsense", b"nothing of the kind"])  # fmt: skip
    def test_wrong_header(self, api, daemon, header):
        dataset = api.create(description())
        body = header.ljust(127) + b"\n" + noise().tobytes()
        upload = Pieces(api, dataset, body)
        statuses = [upload.send(0, 5).status]
        response = upload.send(5, 200)
        assert statuses == [204]
        check_problem(response, 422, "invalid-samples")
        assert upload.look() == (0, None, False) and not partial_files(daemon)
        api.delete(f"/v1/datasets/{dataset['id']}")

    def test_header_that_never_ends(self, api, daemon):
        dataset = api.create(description())
        body = b"\x93NUMPY\x01\x00\xff\xff{" + b" " * 20000
        upload = Pieces(api, dataset, body[: 11520 + 4000])
        response = upload.send(0, 11520 + 4000)
        check_problem(response, 422, "invalid-samples")
        assert upload.look() == (0, None, False)
        api.delete(f"/v1/datasets/{dataset['id']}")

    def test_digest_of_all_pieces(self, upload):
        upload.send(0, 300)
        response = upload.send(300, len(upload.body), Repr_Digest=digest_of(upload.body))
        check_ready(upload, response)

    def test_digest_that_does_not_fit(self, daemon, upload):
        upload.send(0, 300, Repr_Digest=digest_of(b"x"))  # looked at with the last piece
        response = upload.send(300, len(upload.body), Repr_Digest=digest_of(b"x"))
        check_problem(response, 422, "digest-mismatch", "Repr-Digest", digest_of(upload.body))
        assert upload.look() == (0, None, False) and not partial_files(daemon)
        check_ready(upload, upload.send(0, len(upload.body), Repr_Digest=digest_of(upload.body)))

    def test_digest_of_a_piece(self, upload):
        assert upload.send(0, 100, Content_Digest=digest_of(upload.body[:100])).status == 204
        response = upload.send(100, 200, Content_Digest=digest_of(b"x"))
        check_problem(response, 422, "digest-mismatch", "Content-Digest", digest_of(upload.body[100:200]))
        assert upload.look() == (100, len(upload.body), False)
        check_ready(upload, upload.send(100, len(upload.body)))


class TestBrokenLines:
    @pytest.mark.parametrize("reset", [False, True])
    def test_what_came_is_kept(self, upload, reset):
        for count in (3, 77, 200):
            before = upload.offset()
            upload.break_off(before, count, reset=reset)
            # After a reset the kernel may throw away what was not read yet.
            eventually(lambda: upload.is_kept(before + count) or (reset and upload.is_free()), 10, "it is kept")
        check_ready(upload, upload.send_rest())

    def test_nothing_came(self, daemon, upload):
        upload.break_off(0, 0)
        # It may not even have begun when it is looked at for the first time.
        eventually(lambda: upload.is_free() and not partial_files(daemon), 10, "the upload has ended")
        assert upload.look() == (0, None, False)

    def test_checked_piece_is_kept_whole_or_not(self, upload):
        upload.send(0, 50)
        upload.break_off(50, 100, **{"Content-Digest": digest_of(upload.body[50:])})
        eventually(upload.is_free, 10, "the upload has ended")
        assert upload.offset() == 50
        check_ready(upload, upload.send_rest())

    def test_large_pieces(self, api):
        data = noise(**BIG)
        dataset = api.create(description(**BIG))
        upload = Pieces(api, dataset, data.tobytes())
        rng = random.Random(3)
        for _ in range(4):
            before = upload.offset()
            count = rng.randrange(1, 4_000_000)
            upload.break_off(before, count)
            eventually(lambda: upload.is_kept(before + count), 20, "all of it is kept")
        response = upload.send(upload.offset(), len(upload.body))
        assert response.status == 200, response
        assert upload.ready() == hashlib.sha256(upload.body).hexdigest()
        api.delete(f"/v1/datasets/{dataset['id']}")


class TestRestarts:
    def test_kept_pieces_survive(self, own_daemon):
        daemon = own_daemon()
        uploads = []
        for _, made, body, content_type, data in bodies():
            upload = Pieces(daemon.api, daemon.api.create(made), body, content_type)
            upload.sha256 = hashlib.sha256(data.tobytes()).hexdigest()
            uploads.append(upload)
        for end in (5, 131, 200):
            for upload in uploads:
                assert upload.send(upload.offset(), end).status == 204
            daemon.kill() if end != 131 else daemon.stop()
            daemon.start()
            for upload in uploads:
                upload.api = daemon.api
                assert upload.look() == (end, len(upload.body), False)
        for upload in uploads:
            check_ready(upload, upload.send(200, len(upload.body), Repr_Digest=digest_of(upload.body)))
        assert not partial_files(daemon)

    def test_stopped_in_the_middle(self, own_daemon):
        """What has come by the time of a SIGTERM is kept, too."""
        daemon = own_daemon("--drain-seconds", "1")
        upload = Pieces(daemon.api, daemon.api.create(description()), noise().tobytes())
        connection = http.client.HTTPConnection("127.0.0.1", daemon.port, timeout=20)
        connection.putrequest("PUT", upload.path)
        connection.putheader("Content-Range", upload.range_of(0, len(upload.body)))
        connection.putheader("Content-Length", len(upload.body))
        connection.endheaders()
        connection.send(upload.body[:5000])
        time.sleep(0.3 * PATIENCE)
        daemon.stop()
        connection.close()
        daemon.start()
        upload.api = daemon.api
        assert upload.look() == (5000, len(upload.body), False)
        assert upload.send(5000, len(upload.body)).status == 200

    @pytest.mark.slow
    def test_killed_in_the_middle(self, own_daemon):
        """Whatever was told before the kill is there after it, and the content is right in the end."""
        shape = {"n_epochs": 600, "n_channels": 64, "n_times": 1000}  # 307 MB: some are marked as kept
        daemon = own_daemon()
        proxy = CuttingProxy(daemon.port, [], delay=0.0007)
        body = np.random.default_rng(0).standard_normal((600, 64, 1000)).tobytes()
        upload = Pieces(daemon.api, daemon.api.create(description(**shape)), body)
        rng = random.Random(5)
        told, resumed = 0, []
        for i in range(6):
            through = Pieces(Api(proxy.own_port), {"id": upload.path.split("/")[3]}, body)
            sender = threading.Thread(target=swallow, args=(lambda: through.send(told, len(body)),))
            sender.start()
            deadline = time.monotonic() + rng.uniform(0.2, 2.5)
            # The last ones go on until something is told, however slow the machine is.
            while time.monotonic() < deadline or (i >= 3 and not told and sender.is_alive()):
                told = max(told, upload.offset())
            daemon.kill()
            sender.join(30)
            daemon.start()
            upload.api, proxy.port = daemon.api, daemon.port
            if upload.look()[2]:
                break
            assert upload.offset() >= told
            told = upload.offset()
            resumed.append(told)
        assert any(resumed), "nothing was kept"
        if not upload.look()[2]:
            response = upload.send(upload.offset(), len(body), Repr_Digest=digest_of(body))
            assert response.status == 200, response
        assert upload.ready() == hashlib.sha256(body).hexdigest()
        assert not partial_files(daemon)
        proxy.close()

    def test_all_of_it_before_the_commit(self, own_daemon):
        """A daemon that ended when all samples were durable, and the dataset did not have them yet."""
        daemon = own_daemon()
        for _, made, body, content_type, data in bodies():
            upload = Pieces(daemon.api, daemon.api.create(made), body, content_type)
            assert upload.send(0, len(body) - 8).status == 204
            daemon.kill()
            identity = upload.path.split("/")[3]
            with (daemon.data / "blobs" / f"partial-{identity}").open("ab") as partial:
                partial.write(body[-8:])
            with edited_store(daemon.data) as store:
                store.execute("UPDATE partials SET sample_bytes = sample_bytes + 8 WHERE dataset = ?", [identity])
            daemon.start()
            upload.api = daemon.api
            offset, length, complete = upload.look()
            assert len(body) - 8 <= offset < len(body) == length and not complete
            assert upload.send(offset, len(body)).status == 200
            assert upload.ready() == hashlib.sha256(data.tobytes()).hexdigest()

    def test_strays_are_swept(self, own_daemon):
        """A partial file without a record goes at the start; a record without its file is a new start."""
        daemon = own_daemon()
        first, second = (Pieces(daemon.api, daemon.api.create(description()), noise().tobytes()) for _ in range(2))
        for upload in (first, second):
            assert upload.send(0, 1000).status == 204
        daemon.kill()
        blobs = daemon.data / "blobs"
        (blobs / f"partial-{first.path.split('/')[3]}").unlink()
        (blobs / "partial-ds_0123456789abcdefghijkl").write_bytes(b"stray")
        daemon.start()
        first.api = second.api = daemon.api
        assert partial_files(daemon) == [f"partial-{second.path.split('/')[3]}"]
        assert first.look() == (0, None, False) and second.offset() == 1000
        for upload in (first, second):
            assert upload.send(upload.offset(), len(upload.body)).status == 200
            assert upload.ready() == hashlib.sha256(upload.body).hexdigest()


def swallow(call):
    try:
        call()
    except (OSError, http.client.HTTPException, AssertionError):
        pass


class TestEnds:
    def test_expiry(self, own_daemon):
        daemon = own_daemon("--unfinished-upload-seconds", "2")
        upload = Pieces(daemon.api, daemon.api.create(description()), noise().tobytes())
        begun = time.monotonic()
        assert upload.send(0, 1000).status == 204
        eventually(lambda: upload.offset() == 0, 10, "the upload is removed")
        assert time.monotonic() - begun > 1.5
        eventually(upload.is_free, 5, "its file is removed, too")
        assert not partial_files(daemon)
        assert upload.send(0, len(upload.body)).status == 200

    def test_deleted_dataset(self, api, daemon):
        dataset = api.create(description())
        upload = Pieces(api, dataset, noise().tobytes())
        assert upload.send(0, 1000).status == 204 and partial_files(daemon)
        assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        assert not partial_files(daemon)
        assert api.request("HEAD", upload.path).status == 404
        check_problem(upload.send(1000, 2000), 404, "not-found")

    def test_deleted_meanwhile(self, api, daemon):
        dataset = api.create(description())
        upload = Pieces(api, dataset, noise().tobytes())
        with held(upload, 0, 3000):
            assert api.delete(f"/v1/datasets/{dataset['id']}").status == 204
        eventually(lambda: not partial_files(daemon), 10, "its file is removed")

    def test_head_of_others(self, api):
        assert api.request("HEAD", "/v1/datasets/ds_0123456789abcdefghijkl/samples").status == 404
        dataset = api.upload(description(), noise())
        response = api.request("HEAD", f"/v1/datasets/{dataset['id']}/samples")
        assert place_of(response) == (dataset["bytes"], dataset["bytes"], True)
        response = api.get(f"/v1/datasets/{dataset['id']}/samples")
        check_problem(response, 405, "method-not-allowed")
        assert "HEAD" in response.headers["Allow"] and "PUT" in response.headers["Allow"]


class held:
    """An upload that stays in the middle while the body of the with statement runs."""

    def __init__(self, upload, first, count, pieces=True):
        self.upload, self.first, self.count, self.pieces = upload, first, count, pieces

    def begin(self):
        upload = self.upload
        self.connection = http.client.HTTPConnection("127.0.0.1", upload.api.port, timeout=20)
        self.connection.putrequest("PUT", upload.path)
        self.connection.putheader("Content-Length", len(upload.body) - self.first)
        if self.pieces:
            self.connection.putheader("Content-Range", upload.range_of(self.first, len(upload.body)))
        self.connection.endheaders()
        self.connection.send(upload.body[self.first : self.first + self.count])

    def goes_on(self):
        """Asking is an upload, too, which may have been in the way of the one that is to stay."""
        if not self.upload.is_free():
            return True
        if select.select([self.connection.sock], [], [], 0)[0]:
            self.connection.close()
            self.begin()
        return False

    def __enter__(self):
        self.begin()
        eventually(self.goes_on, 10, "the upload has begun")

    def __exit__(self, *_):
        self.connection.close()


class TestAtOnce:
    @pytest.mark.parametrize("pieces", [False, True])
    def test_two_to_one_dataset(self, api, pieces):
        dataset = api.create(description())
        upload = Pieces(api, dataset, noise().tobytes())
        with held(upload, 0, 3000, pieces):
            begun = time.monotonic()
            check_problem(upload.send(0, 1000), 409, "conflict", None, "another upload")
            check_problem(api.put(upload.path, upload.body), 409, "conflict", None, "another upload")
            assert time.monotonic() - begun < 5 * PATIENCE
        eventually(upload.is_free, 10, "the upload has ended")
        assert upload.offset() == (3000 if pieces else 0)
        assert upload.send(upload.offset(), len(upload.body)).status == 200

    def test_too_many(self, own_daemon):
        daemon = own_daemon("--max-uploads", "2")
        uploads = [Pieces(daemon.api, daemon.api.create(description()), noise(seed=i).tobytes()) for i in range(3)]
        with held(uploads[0], 0, 1000), held(uploads[1], 0, 1000, pieces=False):
            for response in (uploads[2].send(0, 1000), daemon.api.put(uploads[2].path, uploads[2].body)):
                check_problem(response, 503, "unavailable", None, "2 uploads")
                assert int(response.headers["Retry-After"]) >= 1
        eventually(lambda: uploads[2].send(uploads[2].offset(), len(uploads[2].body)).status == 200, 10, "room again")

    def test_same_samples_to_many_datasets(self, api, daemon):
        """Equal content is one blob, though all come at once; it goes with the last that has it."""
        data = noise(**BIG, seed=9)
        body = data.tobytes()
        uploads = [Pieces(api, api.create(description(**BIG)), body) for _ in range(6)]
        statuses = []

        def send(upload, whole):
            if not whole:
                assert upload.send(0, 5_000_001).status == 204
            response = api.put(upload.path, body) if whole else upload.send(5_000_001, len(body))
            statuses.append(response.status)

        threads = [threading.Thread(target=send, args=(u, i % 2 == 0)) for i, u in enumerate(uploads)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert statuses == [200] * 6
        digest = hashlib.sha256(body).hexdigest()
        assert {upload.ready() for upload in uploads} == {digest}
        blob = daemon.data / "blobs" / digest
        assert blob.stat().st_size == len(body) and not partial_files(daemon)
        for upload in uploads:
            assert blob.read_bytes() == body
            assert api.delete(upload.path.removesuffix("/samples")).status == 204
        assert not blob.exists()
