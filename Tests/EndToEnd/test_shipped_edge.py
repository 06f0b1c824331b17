"""The shipped policies about ids, deadlines, methods and browsers, with real calls."""
import grpc
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order


@pytest.fixture
def edge(moongate, backend, client):
    def start(*policies):
        proxy = moongate(configuration(backend.address, routes=[route(policies=list(policies))]))
        return proxy, client(proxy.address)

    return start


@pytest.fixture
def plain(moongate, upstream, connect):
    """A proxy before an upstream that shows each request's head; gives a function that asks without gRPC."""
    def start(*policies):
        proxy = moongate(configuration(upstream(answer_ok).address, routes=[route(policies=list(policies))]))
        client = connect(proxy.address)
        return lambda **fields: client.call(request(**{"content_type": "text/plain", **fields}))[0]

    return start


def test_request_id(edge):
    _, caller = edge({"request-id": {"trusted": ["127.0.0.0/8"]}})
    report, call = caller.probe.Unary.with_call(Order(), timeout=5)
    made = seen_metadata(report)["x-request-id"][0].decode()
    assert len(made) == 36 and ("x-request-id", made) in call.initial_metadata()
    report, call = caller.probe.Unary.with_call(Order(), metadata=[("x-request-id", "mine-1")], timeout=5)
    assert seen_metadata(report)["x-request-id"] == [b"mine-1"]
    assert ("x-request-id", "mine-1") in call.initial_metadata()


def test_request_id_of_strangers_is_replaced(edge):
    _, caller = edge("request-id")
    report, _ = caller.probe.Unary.with_call(Order(), metadata=[("x-request-id", "mine-1")], timeout=5)
    assert seen_metadata(report)["x-request-id"] != [b"mine-1"]


SECONDS = {"H": 3600, "M": 60, "S": 1, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def test_deadline_caps_what_the_caller_asks_for(plain):
    ask = plain({"deadline": {"max": "2s", "default": "500ms"}})
    grpc_call = {"content_type": "application/grpc"}
    for extra, limit in ([("grpc-timeout", "1H")], 2), ([("grpc-timeout", "100m")], 0.1), ([], 0.5):
        seen = ask(extra=extra, **grpc_call).get("x-seen-grpc-timeout")
        assert 0 < int(seen[:-1]) * SECONDS[seen[-1]] <= limit, (extra, seen)
    assert ask().get("x-seen-grpc-timeout") is None


def test_deadline_ends_calls(edge):
    _, caller = edge({"deadline": {"max": "300ms"}})
    error = caller.refused(Order(delay_ms=5000), timeout=60)
    assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_method_allow(edge):
    _, caller = edge({"method-allow": {"deny": ["helloworld.*/*"], "answer": "unimplemented"}})
    assert caller.unary()
    with pytest.raises(grpc.RpcError) as caught:
        caller.hello()
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_cors(plain):
    ask = plain({"cors": {"origins": ["https://app.example"], "credentials": True}})
    preflight = {"method": "OPTIONS", "extra": [
        ("origin", "https://app.example"), ("access-control-request-method", "POST")]}
    head = ask(**preflight)
    assert head.get(":status") == "200" and head.get("x-seen-method") is None
    assert head.get("access-control-allow-origin") == "https://app.example"
    assert head.get("access-control-allow-credentials") == "true"
    head = ask(extra=[("origin", "https://app.example")])
    assert "grpc-status" in head.get("access-control-expose-headers")
    assert ask(extra=[("origin", "https://evil.example")]).get("access-control-allow-origin") is None


def test_cors_lets_pages_read_refusals(plain):
    ask = plain({"cors": {"origins": ["https://app.example"]}}, {"method-allow": {"allow": []}})
    head = ask(extra=[("origin", "https://app.example")])
    assert head.get(":status") == "403"
    assert head.get("access-control-allow-origin") == "https://app.example"


def test_security_headers(plain):
    ask = plain({"security-headers": {"content_security_policy": "default-src 'self'", "remove": ["x-seen-method"]}})
    head = ask()
    assert head.get("x-content-type-options") == "nosniff" and head.get("x-frame-options") == "DENY"
    assert head.get("content-security-policy") == "default-src 'self'"
    assert head.get("strict-transport-security") is None and head.get("x-seen-method") is None


def test_body_limit_of_calls(edge):
    _, caller = edge({"body-limit": {"request": "4KiB", "request_message": "1KiB", "response_message": "2KiB"}})
    assert caller.unary(Order(payload=bytes(900), answer_bytes=900)).received_bytes == 900
    for order, text in ((Order(payload=bytes(1100)), "message of the request"),
                        (Order(answer_bytes=2100), "message of the response")):
        error = caller.refused(order)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and text in error.details()
    orders = [Order(payload=bytes(900)) for _ in range(5)]
    with pytest.raises(grpc.RpcError) as caught:
        caller.probe.ClientStream(iter(orders), timeout=10)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than 4096 bytes" in caught.value.details()
    assert caller.probe.ClientStream(iter(orders[:4]), timeout=10).received_orders == 4


def test_body_limit_of_other_requests(moongate, upstream, connect):
    server = upstream()
    policies = [{"body-limit": {"request": 1000, "response": 1000}}]
    client = connect(moongate(configuration(server.address, routes=[route(policies=policies)])).address)

    def ask(*extra, method="POST"):
        return client.open(request(content_type="text/plain", method=method, extra=list(extra)))

    def status(stream):
        return client.answer(stream)[0].get(":status")

    assert status(ask(("content-length", "1001"))) == "413"
    assert not server.connections
    stream = ask()
    client.send_data(stream, b"x" * 1000)
    server.next_request()
    client.send_data(stream, b"x")
    assert status(stream) == "413"
    # A length that is a lie is no way around.
    stream = ask(("content-length", "5"))
    connection, head = server.next_request()
    client.send_data(stream, b"x" * 1001)
    assert client.end(stream).type == "RstStream" and len(connection.body(head.stream)) <= 1000
    for headers, body, wanted in (
            ([("content-length", "1001")], b"x" * 1001, "500"), ([], b"x" * 1001, None), ([], b"x" * 1000, "200")):
        stream = client.open(request(content_type="text/plain"), end_stream=True)
        connection, head = server.next_request()
        connection.send_headers(head.stream, [(":status", "200"), *headers])
        connection.send_data(head.stream, body, end_stream=True)
        if wanted:
            assert status(stream) == wanted
        else:
            assert client.end(stream).type == "RstStream"
