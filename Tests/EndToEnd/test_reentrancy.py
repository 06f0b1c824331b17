"""Streams that end, are reset or begin while others in the same row are being told something. Each of these ended the process."""
import random
import socket
import time

import pytest

from harness.frame_client import request
from harness.frames import message
from harness.settings import configuration, route
from harness.slow_server import HEADERS, SlowServer, frame
from harness.waiting import eventually

PLAIN = route(name="plain", match={"headers": [{"name": "x-plain", "present": True}]})


@pytest.fixture
def slow_server():
    server = SlowServer()
    yield server
    server.close()


@pytest.fixture
def unanswering():
    """An address where connections are neither accepted nor refused: the queue of its socket is full."""
    with socket.socket() as hole:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        fill = []
        for _ in range(8):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(hole.getsockname())
            fill.append(one)
        yield "127.0.0.1:%d" % hole.getsockname()[1]
        for one in fill:
            one.close()


def test_attempts_that_wait_for_a_connection_which_fails(moongate, connect, unanswering):
    hedge = {"methods": ["*/*"], "max_attempts": 2, "delay": "50ms", "non_fatal": ["internal"]}
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [unanswering], "connect_timeout": "300ms"}}, routes=[route(hedge=hedge)]))
    for _ in range(5):
        client = connect(proxy.address)
        streams = [client.open(request(), end_stream=True) for _ in range(30)]
        for stream in streams:
            assert client.end(stream, 10).get("grpc-status") == "14"
        time.sleep(0.3)                                    # the endpoint is tried again
    assert proxy.running()


def test_calls_of_policies_that_wait_with_requests_for_a_connection_which_fails(moongate, connect, unanswering):
    """The call goes to the upstream of the route itself, where requests wait, too."""
    ask = """
local moon = require "moon"
function on_request(handle)
  handle:headers():add("x-asked", tostring(moon.http.request{upstream = "main", path = "/", timeout = 2}))
end"""
    hedge = {"methods": ["*/*"], "max_attempts": 3, "delay": "20ms", "non_fatal": ["internal"]}
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [unanswering], "connect_timeout": "300ms"}},
        routes=[route(hedge=hedge, policies=["policies/ask.lua"])]), policies={"ask.lua": ask})
    for _ in range(3):
        client = connect(proxy.address)
        streams = [client.open(request(), end_stream=True) for _ in range(20)]
        for stream in streams:
            assert client.end(stream, 10).get("grpc-status") == "14"
    assert proxy.running()


def filled(client, server, streams, body=300_000):
    """Sends bodies on the streams until the proxy's socket to the server, which does not read, has no room for them."""
    server.reads.clear()
    client.pour({stream: b"z" * body for stream in streams}, quiet=0.1)


def settle(proxy, server, client):
    """Lets everything go on, and a call pass."""
    server.reads.set()
    eventually(lambda: client.allowance(client.next_stream) > 0)
    assert proxy.running()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_streams_to_a_server_that_takes_nothing_and_its_mirror(moongate, connect, slow_server, seed):
    dice = random.Random(seed)
    proxy = moongate(configuration(slow_server.address, routes=[
        PLAIN, route(mirror=[{"upstream": "main", "buffer": "64MiB"}])]))
    client = connect(proxy.address)
    for _ in range(8):
        streams, kept = [], []
        for _ in range(dice.randint(3, 8)):
            plain = dice.random() < 0.3
            (kept if plain else streams).append(client.open(request(extra=[("x-plain", "1")] if plain else [])))
        filled(client, slow_server, streams + kept)
        dice.shuffle(streams)
        for stream in streams:
            client.reset(stream)
            time.sleep(dice.choice((0, 0, 0.003)))
        settle(proxy, slow_server, client)
        for stream in kept:
            client.reset(stream)
    eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 0, 10)
    assert proxy.running()


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_hedged_calls_and_answers_that_are_none_from_a_server_that_takes_nothing(moongate, connect, slow_server, seed):
    dice = random.Random(seed)
    hedge = {"methods": ["*/*"], "max_attempts": 3, "delay": "10ms", "buffer": "1MiB"}
    proxy = moongate(configuration(slow_server.address, routes=[PLAIN, route(hedge=hedge)]))
    client = connect(proxy.address)
    for _ in range(4):
        eventually(lambda: proxy.metric("moongate_upstream_streams", upstream="main") == 0, 10)
        kept = [client.open(request(extra=[("x-plain", "1")])) for _ in range(2)]
        filled(client, slow_server, kept)
        opened = int(proxy.metric("moongate_upstream_requests_total", upstream="main"))
        calls = []
        for _ in range(30):
            stream = client.open(request())
            client.send_data(stream, message(b"q" * 40_000), end_stream=True)
            calls.append(stream)
        # All are hedged by now, and wait for the kernel.
        eventually(lambda: proxy.metric("moongate_upstream_requests_total", upstream="main") >= opened + 60, 10)
        numbers = [2 * number + 1 for number in range(opened, opened + 30)]
        dice.shuffle(numbers)
        # A literal field without a name in the table: a head without a status.
        head = b"\x00\x0bx-no-status\x011"
        slow_server.send(b"".join(frame(HEADERS, 4, number, head) for number in numbers))
        time.sleep(0.05)
        settle(proxy, slow_server, client)
        for stream in kept + calls:
            client.reset(stream)
    assert proxy.running()
