"""GET /v1/jobs/{id}/events, /v1/events: order, ids, replay, heartbeats, and how streams end."""

import http.client
import json
import socket
import threading
import time

import pytest
from api import FINAL, check_problem
from daemon import PATIENCE, Daemon, eventually
from samples import description, noise
from test_identity import As, add, make_dataset, make_fit

# With the reference backend these take from seconds to minutes.
MEDIUM = {"n_epochs": 80, "n_channels": 32, "n_times": 200}
LONG = {"n_epochs": 400, "n_channels": 96, "n_times": 400}
GRID = {"n_interpolate": [1, 4, 8], "cv": 10, "thresh_method": "exact"}
SLOW = ("--backend", "reference", "--threads", "1")


class Stream:
    """A stream of events; (id, kind, data) each, None for a heartbeat."""

    def __init__(self, port, job=None, last=None, headers=None):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60 * PATIENCE)
        headers = dict(headers or {}) | ({} if last is None else {"Last-Event-ID": str(last)})
        path = "/v1/events" if job is None else f"/v1/jobs/{job}/events"
        self.connection.request("GET", path, headers=headers)
        self.response = self.connection.getresponse()
        self.status = self.response.status

    def __iter__(self):
        fields = {}
        self.comments = []
        while line := self.response.readline():
            line = line.decode().rstrip("\n")
            if line == ":":
                yield None
            elif line.startswith(": "):
                self.comments.append(line[2:])
            elif line:
                name, value = line.split(": ", 1)
                assert name not in fields, line
                fields[name] = value
            elif "data" in fields:
                yield int(fields["id"]), fields["event"], json.loads(fields["data"])
                fields = {}
            else:
                fields = {}
        assert not fields, "the stream ended within an event"

    def events(self):
        return (event for event in self if event is not None)

    def close(self):
        self.response.close()
        self.connection.close()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    daemon = Daemon(tmp_path_factory.mktemp("rejectd"), SLOW).start()
    yield daemon
    daemon.stop()


@pytest.fixture(scope="module")
def medium(daemon):
    return daemon.api.upload(description(**MEDIUM), noise(**MEDIUM))


@pytest.fixture(scope="module")
def small(daemon):
    return daemon.api.upload(description(), noise())


@pytest.fixture(scope="module")
def large(daemon):
    return daemon.api.upload(description(**LONG), noise(**LONG))


def start_long(api, large):
    return api.submit({"type": "fit", "dataset": large["id"], "parameters": GRID})["id"]


@pytest.fixture
def long_job(api, large):
    job = start_long(api, large)
    yield job
    if api.job(job)["state"] not in FINAL:
        api.delete(f"/v1/jobs/{job}")
    api.finish(job)


def test_from_the_queue_to_the_end(api, medium, long_job):
    """A job that waits for another one is seen queued, running, in progress and at its end."""
    second = start_long(api, medium)
    stream = Stream(api.port, second)
    assert stream.status == 200
    assert stream.response.headers["Content-Type"] == "text/event-stream"
    assert stream.response.headers["Cache-Control"] == "no-cache"
    assert stream.response.headers["X-Accel-Buffering"] == "no"
    events = stream.events()
    seen = [next(events)]
    assert seen[0][1] == "job" and seen[0][2]["id"] == second
    api.delete(f"/v1/jobs/{long_job}")
    seen += events
    ids = [event[0] for event in seen]
    assert ids == sorted(ids) and len(set(ids)) == len(ids)
    assert [kind for _, kind, _ in seen].index("end") == len(seen) - 1
    states = [data["state"] for _, kind, data in seen if kind in ("job", "end")]
    assert states in (["queued", "running", "succeeded"], ["running", "succeeded"]), states
    assert seen[-1][2] == api.job(second)
    progress = [data for _, kind, data in seen if kind == "progress"]
    fractions = [data["fraction"] for data in progress]
    assert len(fractions) >= 3 and fractions == sorted(fractions)
    assert all(set(data) == {"stage", "fraction", "seconds_left"} for data in progress)
    known = [data["seconds_left"] for data in progress if data["seconds_left"] is not None]
    assert all(seconds >= 0 for seconds in known)


def test_time_left_is_shown(api, long_job):
    def known():
        job = api.job(long_job)
        assert job["state"] in ("queued", "running"), "it ended before its time left was known"
        return job["progress"]["seconds_left"]

    assert api.job(long_job)["progress"].keys() == {"stage", "fraction", "seconds_left"}
    assert eventually(known, 30, "the time left is known") > 0


def test_ended_job(api, small):
    job, _ = api.fit(small, cv=3)
    events = list(Stream(api.port, job["id"]).events())
    assert [(kind, data) for _, kind, data in events] == [("end", api.job(job["id"]))]


def test_replay(api, long_job):
    """Who comes back with the last id gets the rest, exactly as one who stayed."""
    stayed = Stream(api.port, long_job)
    first = Stream(api.port, long_job)
    seen = []
    for event in first.events():
        seen.append(event)
        if len(seen) == 3:
            break
    first.close()
    time.sleep(0.5)
    assert seen[-1][1] == "progress"
    again = Stream(api.port, long_job, seen[-1][0]).events()
    missed = [next(again) for _ in range(3)]
    reference = []
    for event in stayed.events():
        reference.append(event)
        if event[0] >= missed[-1][0]:
            break
    assert [event for event in reference if event[0] > seen[-1][0]] == missed
    stayed.close()
    api.delete(f"/v1/jobs/{long_job}")
    rest = list(again)
    assert rest[-1][1:] == ("end", api.job(long_job))
    # After the end, too.
    assert list(Stream(api.port, long_job, rest[-2][0] if len(rest) > 1 else missed[-1][0]).events()) == rest[-1:]
    over = Stream(api.port, long_job, rest[-1][0])
    assert over.status == 204 and list(over.events()) == []


def test_who_came_after_the_end_is_told_that_it_was(api, small):
    """A look that is quicker than the end's own event is followed by that, and then by nothing."""
    job, _ = api.fit(small, cv=3)
    stream = Stream(api.port, job["id"])
    for _ in range(2):
        [(last, kind, _)] = list(stream.events())
        assert kind == "end"
        stream = Stream(api.port, job["id"], last)
        if stream.status == 204:
            break
    assert stream.status == 204 and list(stream.events()) == []


def test_unknown_ids_get_the_job(api, long_job):
    for last in (1, 10**18):
        stream = Stream(api.port, long_job, last)
        identity, kind, data = next(stream.events())
        assert kind == "job" and data["id"] == long_job and identity > 1.6e15
        stream.close()


@pytest.mark.parametrize("last", ["x", "-1", "1" * 20, "1 2"])
def test_bad_last_event_id(api, long_job, last):
    response = api.get(f"/v1/jobs/{long_job}/events", headers={"Last-Event-ID": last})
    check_problem(response, 422, "invalid-value", "Last-Event-ID")


def test_what_is_no_job(api, small):
    check_problem(api.get("/v1/jobs/jb_0000000000000000000000/events"), 404, "not-found")
    check_problem(api.get(f"/v1/jobs/{small['id']}/events"), 404, "not-found")


def test_clients_that_leave(daemon, api, large, long_job):
    """They cost nobody anything: the job goes on, and others are told."""
    second = start_long(api, large)
    for _ in range(50):
        connection = socket.create_connection(("127.0.0.1", api.port))
        connection.sendall(f"GET /v1/jobs/{second}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        connection.close()
    stream = Stream(api.port, second)
    api.delete(f"/v1/jobs/{second}")
    assert list(stream.events())[-1][2]["state"] in ("cancelled", "succeeded")
    assert api.job(long_job)["state"] in ("running", "queued", "succeeded")


def test_two_hundred_listeners(api, large, long_job):
    second = start_long(api, large)
    streams = [Stream(api.port, second) for _ in range(200)]
    assert all(stream.status == 200 for stream in streams)
    begun = time.monotonic()
    assert api.get("/healthz").status == 200
    assert time.monotonic() - begun < 5 * PATIENCE
    ends = []
    threads = [threading.Thread(target=lambda s=s: ends.append(list(s.events())[-1])) for s in streams]
    for thread in threads:
        thread.start()
    api.delete(f"/v1/jobs/{second}")
    for thread in threads:
        thread.join(60 * PATIENCE)
    assert len(ends) == 200
    assert {kind for _, kind, _ in ends} == {"end"} and len({identity for identity, _, _ in ends}) == 1


def test_heartbeat_limit_and_drain(own_daemon):
    """With nothing to tell there are heartbeats; one listener too many is told so; the daemon's end
    ends the streams, and the ids go on after it."""
    daemon = own_daemon(*SLOW, "--event-heartbeat", "1", "--max-listeners", "2", "--idle-timeout", "2")
    data = daemon.api.upload(description(**LONG), noise(**LONG))
    start_long(daemon.api, data)
    waiting = start_long(daemon.api, data)
    stream = Stream(daemon.api.port, waiting)
    other = Stream(daemon.api.port, waiting)
    refused = daemon.api.get(f"/v1/jobs/{waiting}/events")
    check_problem(refused, 503, "unavailable", None, "listen")
    assert refused.headers["Retry-After"]
    both = iter(stream)
    first = next(both)
    if first[2]["state"] == "queued":
        assert next(both) is None
    other.close()
    eventually(lambda: allowed(daemon, waiting), 20, "who has left is not counted")
    daemon.stop()
    rest = [event for event in both if event is not None]
    last = rest[-1] if rest else first
    assert last[1] != "end" and stream.comments == ["the service is stopping"]
    daemon.start()
    again = Stream(daemon.api.port, waiting, last[0])
    identity, kind, job = next(again.events())
    assert kind == "job" and job["id"] == waiting and identity > last[0]
    again.close()


def allowed(daemon, job):
    stream = Stream(daemon.api.port, job)
    stream.close()
    return stream.status == 200


def test_only_who_sees_the_job_listens(own_daemon):
    daemon = own_daemon()
    anna, bert = (As(daemon.api, add(daemon, name)) for name in ("anna", "bert"))
    job = make_fit(anna, make_dataset(anna)["id"])
    events = list(Stream(daemon.api.port, job["id"], headers=anna.headers).events())
    assert events[-1][1] == "end"
    path = f"/v1/jobs/{job['id']}/events"
    check_problem(daemon.api.get(path, headers=bert.headers), 404, "not-found")
    check_problem(daemon.api.get(path), 401, "unauthenticated")


def until(events, condition):
    """The events as far as the first that fulfils it."""
    seen = []
    for event in events:
        seen.append(event)
        if condition(event):
            return seen
    raise AssertionError(f"the stream ended: {seen}")


def is_state(job, state):
    return lambda event: event[1] == "job" and (event[2]["id"], event[2]["state"]) == (job, state)


def test_queue(own_daemon):
    """What happens to all jobs: in order, with places, progress and totals; replay; the end."""
    daemon = own_daemon(*SLOW)
    api = daemon.api
    large, small = api.upload(description(**LONG), noise(**LONG)), api.upload(description(), noise())
    stream = Stream(api.port)
    assert stream.status == 200 and stream.response.headers["Content-Type"] == "text/event-stream"
    events = stream.events()
    assert next(events)[1:] == ("queue", {"queued": 0, "running": 0, "jobs": []})
    first = start_long(api, large)
    seen = until(events, is_state(first, "running"))
    assert "parameters" not in seen[-1][2]
    seen += until(events, lambda e: e[1] == "progress" and e[2]["id"] == first)
    second, third, fourth = (api.fit_later(small) for _ in range(3))
    seen += until(events, is_state(fourth, "queued"))
    assert seen[-1][2]["position"] == 2
    seen += until(events, lambda e: e[1] == "queue" and e[2] == {"queued": 3, "running": 1})
    late = Stream(api.port)
    _, kind, data = next(late.events())
    assert kind == "queue" and [job["id"] for job in data["jobs"]] == [first, second, third, fourth]
    assert [job["position"] for job in data["jobs"]] == [None, 0, 1, 2]
    late.close()
    of_fourth = Stream(api.port, fourth).events()
    assert next(of_fourth)[2]["position"] == 2
    middle = seen[-1][0]
    api.delete(f"/v1/jobs/{second}")
    after = until(events, lambda e: e[1] == "position" and e[2] == {"id": fourth, "position": 1})
    assert any(is_state(second, "cancelled")(event) for event in after)
    assert any(e[1] == "position" and e[2] == {"id": third, "position": 0} for e in after)
    assert until(of_fourth, lambda e: e[1] == "position")[-1][2] == {"id": fourth, "position": 1}
    api.delete(f"/v1/jobs/{first}")
    after += until(events, is_state(fourth, "succeeded"))
    seen += after
    ids = [event[0] for event in seen]
    assert ids == sorted(set(ids))
    for job, states in ((first, ["queued", "running", "cancelled"]), (second, ["queued", "cancelled"]),
                        (third, ["queued", "running", "succeeded"]), (fourth, ["queued", "running", "succeeded"])):  # fmt: skip
        told = [data["state"] for _, kind, data in seen if kind == "job" and data["id"] == job]
        assert told == states, (job, told)
    # Who comes back gets exactly what it missed; with an id that isn't known any more, the queue.
    again = Stream(api.port, None, middle)
    assert until(again.events(), lambda e: e[0] == after[-1][0]) == after
    again.close()
    assert next(Stream(api.port, None, 7).events())[2]["jobs"] == []
    check_problem(api.get("/v1/events", headers={"Last-Event-ID": "x"}), 422, "invalid-value", "Last-Event-ID")
    check_problem(api.post("/v1/events", {}), 405, "method-not-allowed")
    daemon.stop()
    assert all(kind != "job" for _, kind, _ in events)
    assert stream.comments == ["the service is stopping"]


def test_queue_tells_nobody_of_what_is_not_theirs(own_daemon):
    daemon = own_daemon()
    anna, bert, carla = (As(daemon.api, add(daemon, *user))
                         for user in (("anna",), ("bert",), ("carla", "--role", "admin")))  # fmt: skip
    check_problem(daemon.api.get("/v1/events"), 401, "unauthenticated")
    streams = {who: Stream(daemon.api.port, headers=who.headers).events() for who in (anna, bert, carla)}
    for events in streams.values():
        assert next(events)[2]["jobs"] == []
    dataset = make_dataset(anna)["id"]
    private, shown = make_fit(anna, dataset)["id"], make_fit(anna, dataset, "?visibility=lab")["id"]
    for who, expected in ((anna, {private, shown}), (carla, {private, shown}), (bert, {shown})):
        seen = until(streams[who], is_state(shown, "succeeded"))
        assert {data["id"] for _, kind, data in seen if kind != "queue"} == expected, who
        text = json.dumps(seen)
        assert (private in text) == (private in expected)


def test_who_may_not_listen_any_more(own_daemon):
    """A revoked token, and a job that is hidden: the stream ends, those of others go on."""
    daemon = own_daemon(*SLOW, "--event-heartbeat", "1")
    token = add(daemon, "dora")
    anna, bert, dora = As(daemon.api, add(daemon, "anna")), As(daemon.api, add(daemon, "bert")), As(daemon.api, token)
    dataset = make_dataset(anna, **LONG)["id"]
    job = anna("POST", "/v1/jobs?visibility=lab", {"type": "fit", "dataset": dataset, "parameters": GRID}).json()["id"]
    streams = [Stream(daemon.api.port, which, headers=who.headers)
               for who, which in ((anna, job), (anna, None), (bert, job), (bert, None), (dora, None))]  # fmt: skip
    for stream in streams:
        assert next(stream.events())[1] in ("job", "queue")
    of_anna, queue_of_anna, of_bert, queue_of_bert, of_dora = streams
    assert daemon.token_command("revoke", token.split("_")[1]).returncode == 0
    assert anna("PATCH", f"/v1/jobs/{job}", {"visibility": "private"}).status == 200
    for stream in (of_bert, of_dora):
        assert all(event is None or event[1] != "end" for event in stream)
    assert daemon.api.get(f"/v1/jobs/{job}/events", headers=bert.headers).status == 404
    assert anna("DELETE", f"/v1/jobs/{job}").status == 202
    assert until(of_anna.events(), lambda e: e[1] == "end")
    assert until(queue_of_anna.events(), is_state(job, "cancelled"))
    later = make_fit(bert, make_dataset(bert)["id"])["id"]
    told = until(queue_of_bert.events(), is_state(later, "succeeded"))
    # What happened while it was shown may be told still; that it ended may not.
    of_job = [data for _, kind, data in told if kind != "queue" and data["id"] == job]
    assert all(data.get("visibility", "lab") == "lab" and data.get("state") != "cancelled" for data in of_job), told
