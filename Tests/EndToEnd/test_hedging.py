"""Attempts beside the first one (gRFC A6, hedging)."""
import time

import pytest
from hyperframe.frame import RstStreamFrame

from harness.frame_client import request
from harness.frame_upstream import RESPONSE
from harness.frames import CANCEL, message
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

PATH = "/moongate.test.Probe/Unary"


@pytest.fixture
def hedged(moongate, upstream, connect):
    """Client and scripted upstream with a proxy between them that hedges every method."""
    def start(**more):
        server = upstream()
        hedge = {"methods": ["*/*"], "delay": "100ms", **more}
        start.proxy = moongate(configuration(server.address, routes=[route(hedge=hedge)]))
        return connect(start.proxy.address), server
    return start


def call(client, body=message(b"request"), path=PATH):
    stream = client.open(request(path))
    client.send_data(stream, body, end_stream=True)
    return stream


def refuse(connection, head, status=14):
    connection.send_headers(head.stream, [*RESPONSE, ("grpc-status", str(status))], end_stream=True)


def test_second_attempt_begins_after_the_delay_and_its_answer_counts(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    began = time.monotonic()
    other, second = server.next_request()
    assert time.monotonic() - began > 0.05
    assert second.get("grpc-previous-rpc-attempts") == "1" and first.get("grpc-previous-rpc-attempts") is None
    other.wait_end(second.stream)
    assert other.body(second.stream) == message(b"request")
    other.respond(second.stream, message(b"second"), trailers=[("x-from", "second")])
    last = client.end(stream)
    assert last.get("grpc-status") == "0" and last.get("x-from") == "second"
    assert client.body(stream) == message(b"second")
    assert connection.expect("RstStream", first.stream).code == CANCEL
    assert hedged.proxy.metric("moongate_retries_total", route="all") == 1


def test_first_attempt_that_answers_cancels_the_second(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    connection.respond(first.stream, message(b"first"))
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"first")
    assert other.expect("RstStream", second.stream).code == CANCEL


def test_quick_answer_needs_no_second_attempt(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    connection.respond(first.stream)
    assert client.end(stream).get("grpc-status") == "0"
    time.sleep(0.3)
    assert len(server.heads()) == 1


def test_failure_that_is_not_fatal_brings_the_next_attempt_at_once(hedged):
    client, server = hedged(delay="10s", max_attempts=3)
    stream = call(client)
    began = time.monotonic()
    for _ in range(2):
        connection, head = server.next_request()
        refuse(connection, head)
    connection, head = server.next_request()
    connection.respond(head.stream, message(b"third"))
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"third")
    assert time.monotonic() - began < 5


def test_failure_in_trailers_is_no_answer_while_another_attempt_runs(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    for where, head in ((connection, first), (other, second)):
        where.send_headers(head.stream, RESPONSE)
    other.send_headers(second.stream, [("grpc-status", "14")], end_stream=True)
    time.sleep(0.1)
    connection.send_data(first.stream, message(b"first"))
    connection.send_headers(first.stream, [("grpc-status", "0")], end_stream=True)
    assert client.end(stream).get("grpc-status") == "0"
    assert client.body(stream) == message(b"first")


def test_fatal_status_ends_the_call(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    refuse(other, second, 5)
    assert client.end(stream).get("grpc-status") == "5"
    assert connection.expect("RstStream", first.stream).code == CANCEL


def test_last_failure_is_the_answer(hedged):
    client, server = hedged(max_attempts=2)
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    refuse(connection, first)
    time.sleep(0.05)
    other.send_headers(second.stream, [*RESPONSE, ("grpc-status", "14"), ("grpc-message", "last")], end_stream=True)
    assert client.end(stream).get("grpc-message") == "last"


def test_attempts_whose_connections_are_lost_end_the_call(hedged):
    client, server = hedged(max_attempts=2)
    stream = call(client)
    connection, _ = server.next_request()
    other, _ = server.next_request()
    connection.abort()
    other.abort() if other is not connection else None
    assert client.end(stream).get("grpc-status") == "14"


def test_client_that_leaves_cancels_all_attempts(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    client.reset(stream)
    assert connection.expect("RstStream", first.stream).code == CANCEL
    assert other.expect("RstStream", second.stream).code == CANCEL


def test_only_methods_that_are_marked_safe_are_hedged(hedged):
    client, server = hedged(methods=["moongate.test.Probe/Un*"], delay="20ms")
    stream = call(client, path="/moongate.test.Probe/ClientStream")
    connection, head = server.next_request()
    time.sleep(0.3)
    assert len(server.heads()) == 1
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"
    stream = call(client, path="/moongate.test.Probe/UnaryTwo")
    server.next_request()
    server.next_request()
    client.reset(stream)


def test_hedged_stream_goes_on_with_the_attempt_that_answered(hedged):
    client, server = hedged()
    stream = call(client)
    connection, first = server.next_request()
    other, second = server.next_request()
    other.send_headers(second.stream, RESPONSE)
    for number in range(50):
        other.send_allowed(second.stream, message(bytes([number]) * 20_000))
    other.send_headers(second.stream, [("grpc-status", "0")], end_stream=True)
    assert client.end(stream, timeout=10).get("grpc-status") == "0"
    assert client.body(stream) == b"".join(message(bytes([number]) * 20_000) for number in range(50))


def test_grpcio_calls_are_quick_beside_a_slow_backend(moongate, backends, upstream, client):
    [good] = backends("good")
    silent = upstream()                                    # takes requests and never answers
    proxy = moongate(configuration(
        upstreams={"main": [good.address, silent.address]},
        routes=[route(hedge={"methods": ["moongate.test.Probe/*"], "delay": "50ms"})]))
    caller = client(proxy.address)
    for _ in range(20):
        assert caller.unary(Order(payload=b"x" * 3000), timeout=10).backend == "good"
    assert silent.heads()


def test_hash_on_holds_for_further_attempts_too(moongate, upstream, connect):
    """The same user's calls go to the same endpoints in the same order."""
    order = {}
    servers = [upstream(lambda connection, head, number=number: order.setdefault(
        (head.get("x-user"), head.get("x-try")), []).append(number)) for number in range(4)]
    proxy = moongate(configuration(
        upstreams={"main": {"endpoints": [server.address for server in servers], "balance": "ring_hash",
                            "hash_on": [{"header": "x-user"}]}},
        routes=[route(hedge={"methods": ["*/*"], "delay": "20ms"})]))
    client = connect(proxy.address)
    for user in range(8):
        for attempt in range(3):
            key = (f"user-{user}", str(attempt))
            stream = client.open([*request(PATH), ("x-user", key[0]), ("x-try", key[1])])
            client.send_data(stream, message(b"request"), end_stream=True)
            eventually(lambda: len(order.get(key, [])) == 2, 10, what="two attempts")
            client.send(RstStreamFrame(stream, error_code=CANCEL))
    for user in range(8):
        first, *others = (order[f"user-{user}", str(attempt)] for attempt in range(3))
        assert first[0] != first[1] and all(other == first for other in others), order
