"""Headers and bodies of calls that hooks wait for lie in the account of the client's connection."""
import collections
import contextlib
import socket
import threading
import time

import pytest

from hyperframe.frame import DataFrame, HeadersFrame, PingFrame, RstStreamFrame, SettingsFrame, WindowUpdateFrame

from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.frames import CANCEL, PREFACE
from harness.settings import configuration, route
from harness.waiting import eventually

KIB = 1 << 10
MIB = 1 << 20
LISTENER = {"name": "main", "address": "127.0.0.1:0"}
# Octets that a Huffman code would make longer: nobody spends the test's time on coding them.
COOKIE = ("cookie", "!" * 58_000)
NORMAL = ("authorization", "Bearer t")


class Auth:
    """An auth service that answers small questions at once, and holds those with large heads or bodies until `release`.

    It looks at frames and at nothing in them: it must not be what takes the time.
    """

    def __init__(self):
        self.held = []
        self.sizes = collections.Counter()      # of bodies, by connection and stream
        self.ended = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        reader = sock.makefile("rb", buffering=1 << 18)
        reader.read(len(PREFACE))
        sock.sendall(
            SettingsFrame(0, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24}).serialize()
            + WindowUpdateFrame(0, 1 << 30).serialize())
        with contextlib.suppress(OSError):
            while len(head := reader.read(9)) == 9:
                size, kind, flags = int.from_bytes(head[:3], "big"), head[3], head[4]
                stream = int.from_bytes(head[5:], "big")
                payload = reader.read(size)
                if kind == HeadersFrame.type:
                    self._took(sock, stream, is_small=flags & 5 == 5)
                elif kind == DataFrame.type:
                    self.sizes[sock, stream] += size
                    if flags & 1:
                        self.ended.add((sock, stream))
                elif kind == SettingsFrame.type and not flags & 1:
                    sock.sendall(SettingsFrame(0, flags=["ACK"]).serialize())
                elif kind == PingFrame.type and not flags & 1:
                    sock.sendall(PingFrame(0, payload, flags=["ACK"]).serialize())

    def _took(self, sock, stream, is_small):
        if is_small:
            self.answer(sock, stream)
        else:
            self.held.append((sock, stream))

    @staticmethod
    def answer(sock, stream):
        # The field of the static table that says :status: 204.
        sock.sendall(HeadersFrame(stream, b"\x89", flags=["END_STREAM", "END_HEADERS"]).serialize())

    def release(self, count=None):
        released, self.held = self.held[:count], self.held[count:] if count else []
        for sock, stream in released:
            self.answer(sock, stream)

    def close(self):
        self.listener.close()


class QuickServer(Auth):
    """A gRPC server that answers every request by its head, however large that is."""

    def _took(self, sock, stream, is_small):
        # :status 200, and content-type and grpc-status as literals.
        block = b"\x88\x0f\x10\x10application/grpc\x00\x0bgrpc-status\x010"
        sock.sendall(HeadersFrame(stream, block, flags=["END_STREAM", "END_HEADERS"]).serialize())


class Witness:
    """Another client, which calls all the time."""

    def __init__(self, client):
        self.client = client
        self.times, self.failures = [], []
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.is_set():
            began = time.monotonic()
            frames = self.client.call(request(extra=[NORMAL]), body=b"")
            self.times.append(time.monotonic() - began)
            end = frames[-1]
            if end.type != "Headers" or end.get("grpc-status") != "0":
                self.failures.append(end)
            time.sleep(0.005)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join(10)

    def p99(self, since=0):
        times = sorted(self.times[since:])
        return times[int(len(times) * 0.99)]


@pytest.fixture
def asked(moongate, upstream, connect):
    """Starts a proxy whose route has one policy, with an `Auth` beside it."""
    services = []

    def start(use, workers=1, limit=None, policies=None, quick=False, **more):
        auth = Auth()
        services.append(auth)
        server = QuickServer() if quick else upstream(answer_ok)
        if quick:
            services.append(server)
        listener = LISTENER | ({"limits": {"request_buffer": limit}} if limit else {})
        proxy = moongate(
            configuration(server.address, upstreams={"auth": [auth.address]}, workers=workers,
                          listeners=[listener], routes=[route(policies=[use])], **more), policies=policies or {})
        proxy.server = server
        return proxy, auth, lambda: connect(proxy.address)

    yield start
    for service in services:
        service.close()


EXTERNAL_AUTH = {"external-auth": {"upstream": "auth", "timeout": "60s"}}


@pytest.mark.parametrize("workers", [1, 2])
def test_questions_with_large_cookies_cost_nobody_else_a_call(asked, workers):
    _, auth, client = asked(EXTERNAL_AUTH, workers, quick=True)
    with Witness(client()) as witness:
        eventually(lambda: len(witness.times) > 100, what="calls before")
        before = witness.p99()
        clients = [client() for _ in range(8 * workers)]
        streams = [
            (each, each.open(request(extra=[COOKIE]), end_stream=True, huffman=False))
            for _ in range(60) for each in clients]
        eventually(lambda: len(auth.held) == len(streams), 30, what="questions that wait")
        # From here on the test's own client, in this process, no longer takes the time.
        began = len(witness.times)
        time.sleep(2)
        while_waiting = witness.p99(began)
        # They go on, and those whose clients leave do not.
        auth.release(8)
        eventually(
            lambda: sum(frame.get("grpc-status") == "0" for each in clients for frame in list(each.frames)) == 8,
            30, what="answers to those that go on")
        for each in clients:
            each.close()
        time.sleep(0.5)
        assert not witness.failures
    print(f"p99 of others: {before * 1000:.1f} ms before, {while_waiting * 1000:.1f} ms while {len(streams)} wait")
    # Generous: machines that run tests have other things to do.
    assert while_waiting < max(0.25, 4 * before)


BODIES = {
    "buffer": """
        local moon = require "moon"
        function on_request(h)
          local answer, problem = moon.http.post("auth", "/check", %s, {timeout = 60})
          if not answer then h:respond({[":status"] = 403}, problem) end
        end""" % "h:body()",
    "text": """
        local moon = require "moon"
        function on_request(h)
          local body = h:body()
          local answer, problem = moon.http.post("auth", "/check", body:getBytes(0, body:length()), {timeout = 60})
          if not answer then h:respond({[":status"] = 403}, problem) end
        end""",
}


@pytest.mark.parametrize("kind", ["buffer", "text", "external-auth"])
def test_uploads_that_a_call_carries_cost_nobody_else_a_call(asked, kind):
    use = {"external-auth": {**EXTERNAL_AUTH["external-auth"], "request_body": True}}
    policies = {}
    if kind != "external-auth":
        use, policies = {"policy": "policies/asks.lua"}, {"asks.lua": BODIES[kind].replace(
            "function on_request(h)", "function on_request(h) if h:headers():get('authorization') then return end")}
    _, auth, client = asked(use, policies=policies)
    with Witness(client()) as witness:
        clients = [client() for _ in range(20)]
        streams = [(each, each.open()) for each in clients]
        for each, stream in streams:
            each.send_allowed(stream, b"u" * 900_000, end_stream=True)
        eventually(lambda: len(auth.held) == 20, 30, what="questions that wait")
        time.sleep(0.5)
        eventually(lambda: len(auth.ended) == 20, 20, what="bodies that have come")
        assert all(size == 900_000 for size in auth.sizes.values())
        auth.release()
        ends = [each.end(stream, 30) for each, stream in streams]
    assert not witness.failures
    assert all(end.type == "Headers" and end.get("grpc-status") == "0" for end in ends)


# MARK: The account


CARRIES = """
    local moon = require "moon"
    function on_request(h)
      local answer, problem = moon.http.post("auth", "/check", string.rep("x", 100000), {timeout = %s})
      if not answer then h:respond({[":status"] = "403"}, problem) end
    end"""


@pytest.fixture
def carrying(asked):
    """A proxy whose connections may have calls carry two bodies of the policy's."""
    def start(timeout="60"):
        return asked({"policy": "policies/asks.lua"}, limit="256KiB", policies={"asks.lua": CARRIES % timeout})

    return start


def refused(client):
    end = client.end(client.open(end_stream=True))
    assert end.get("grpc-status") == "8" and "request_buffer" in end.get("grpc-message")


def waiting(client, auth):
    """A request whose question waits."""
    before = len(auth.held)
    stream = client.open(end_stream=True)
    eventually(lambda: len(auth.held) == before + 1, what="the question")
    return stream


def test_a_connection_whose_calls_carry_too_much_loses_its_own_requests(carrying):
    proxy, auth, connect = carrying()
    client, other = connect(), connect()
    streams = [waiting(client, auth) for _ in range(2)]
    refused(client)
    refused(client)
    assert proxy.metric("moongate_downstream_abuse_total", kind="collected_request", listener="main") == 2
    theirs = waiting(other, auth)
    # Answered calls make room.
    auth.release(1)
    assert client.end(streams[0]).get("grpc-status") == "0"
    streams.append(waiting(client, auth))
    refused(client)
    auth.release()
    for owner, stream in [(client, streams[1]), (client, streams[2]), (other, theirs)]:
        assert owner.end(stream).get("grpc-status") == "0"


def test_requests_that_are_given_up_make_room(carrying):
    _, auth, connect = carrying()
    client = connect()
    for _ in range(5):
        streams = [waiting(client, auth) for _ in range(2)]
        refused(client)
        for stream in streams:
            client.send(RstStreamFrame(stream, error_code=CANCEL))


def test_calls_that_take_too_long_make_room(carrying):
    _, auth, connect = carrying("0.2")
    client = connect()
    for _ in range(2):
        streams = [waiting(client, auth) for _ in range(2)]
        for stream in streams:
            assert client.end(stream).get("grpc-status") == "7"


def test_one_call_may_be_larger_than_the_account(asked):
    text = (CARRIES % "60").replace("100000", "400000")
    _, auth, connect = asked({"policy": "policies/asks.lua"}, limit="256KiB", policies={"asks.lua": text})
    client = connect()
    stream = waiting(client, auth)
    refused(client)
    auth.release()
    assert client.end(stream).get("grpc-status") == "0"


# MARK: What goes along


FORWARDS = """
    local moon = require "moon"
    function on_request(h)
      local forward = {"x-list", "Cookie", "x-none", "x-own"}
      if h:headers():get(":path") == "/http" then
        moon.http.request{upstream = "auth", path = "/http", forward = forward, headers = {["x-own"] = "mine"}}
      elseif h:headers():get(":path") == "/grpc" then
        moon.grpc.call("auth", "/grpc", h:body(), {forward = forward, metadata = {["x-own"] = "mine"}})
      else
        h:httpCall("auth", {[":method"] = "POST", [":path"] = "/call", [":authority"] = "a", ["x-own"] = "mine"},
                   h:body(), {timeout_ms = 5000, forward = forward})
      end
    end"""


@pytest.mark.parametrize("path", ["/http", "/grpc", "/call"])
def test_headers_and_buffers_go_along_as_they_are(moongate, upstream, connect, path):
    server = upstream(answer_ok)
    auth = upstream(lambda connection, head: (connection.wait_end(head.stream), connection.respond(head.stream)))
    proxy = moongate(
        configuration(server.address, upstreams={"auth": [auth.address]},
                      routes=[route(policies=[{"policy": "policies/f.lua"}])]), policies={"f.lua": FORWARDS})
    client = connect(proxy.address)
    sent = [("x-list", "a"), ("x-own", "theirs"), ("x-list", "b"), ("cookie", "k=v"), ("x-other", "o")]
    end = client.call(request(path, extra=sent), body=b"\0\0\0\0\2ab")[-1]
    assert end.get("grpc-status") == "0"
    asked = auth.heads()[0]
    assert asked.all("x-list") == ["a", "b"] and asked.all("x-own") == ["mine"] and asked.all("cookie") == ["k=v"]
    assert asked.get("x-none") is None and asked.get("x-other") is None
    body = auth.connection().body(asked.stream)
    assert body == {"/http": b"", "/call": b"\0\0\0\0\2ab", "/grpc": b"\0\0\0\0\7\0\0\0\0\2ab"}[path]


@pytest.mark.parametrize("action, message", [
    ("moon.http.request{upstream = 'auth', path = '/', forward = 'cookie'}", "forward must be a list"),
    ("moon.http.request{upstream = 'auth', path = '/', forward = {':path'}}", "forward names what is no header"),
    ("moon.http.get('auth', '/', {forward = {'te'}})", "forward names what is no header"),
    ("moon.grpc.call('auth', '/', '', {forward = {'Host'}})", "forward names what is no header"),
    ("moon.http.post('auth', '/', h:headers())", "string expected, got userdata"),
    ("moon.http.request{upstream = 'auth', path = '/', body = 5}", "body must be a text or a buffer"),
    ("moon.http.request{upstream = 'auth', path = '/', body = h:headers()}", "a table with fields is needed"),
    ("local kept for b in h:bodyChunks() do if kept then moon.http.post('auth', '/', kept) end kept = kept or b end",
     "object used outside of proper scope"),
])
def test_mistakes_are_told_before_anything_is_sent(moongate, upstream, connect, action, message):
    server, auth = upstream(answer_ok), upstream(answer_ok)
    text = f'local moon = require "moon" function on_request(h) {action} end'
    proxy = moongate(
        configuration(server.address, upstreams={"auth": [auth.address]},
                      routes=[route(policies=[{"policy": "policies/f.lua"}])]), policies={"f.lua": text})
    client = connect(proxy.address)
    stream = client.open()
    client.send_data(stream, b"one")
    time.sleep(0.05)
    client.send_data(stream, b"two", end_stream=True)
    client.end(stream)
    line = eventually(lambda: next((each for each in proxy.log_entries() if each.get("hook")), None), what="the error")
    assert message in line["message"]
    assert not auth.heads() if "kept" not in action else True
