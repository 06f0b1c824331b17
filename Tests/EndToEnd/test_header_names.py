"""Request headers whose names have underscores, which many servers take for hyphens."""
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order

# Spellings of what the edge itself writes, reads or keeps out.
KNOWN = ["x_forwarded_for", "x-forwarded_for", "x_forwarded-for", "x_forwarded_proto", "x_forwarded_host", "x_request_id",
         "x_forwarded_client_cert", "x_real_ip", "true_client_ip", "x_envoy_retry_on", "x-envoy-retry_on", "x_api_key",
         "x_password", "proxy_authorization", "content_length", "transfer_encoding", "grpc_timeout"]


@pytest.fixture
def edge(moongate, upstream, connect):
    """Starts a proxy before an upstream that shows each request's head; gives it with a client."""
    def start(mode=None, of_route=None):
        server = upstream(answer_ok)
        of_listener = {} if mode is None else {"headers_with_underscores": mode}
        proxy = moongate(configuration(
            server.address, listeners=[{"name": "main", "address": "127.0.0.1:0", **of_listener}],
            routes=[route(**(of_route or {}))]))
        proxy.server = server
        return proxy, connect(proxy.address)

    return start


def seen(client, *fields):
    """What the upstream got, by name."""
    head = client.call(request(extra=list(fields)))[0]
    return {name.removeprefix("x-seen-"): value for name, value in head.headers if name.startswith("x-seen-")}


def counted(proxy):
    return proxy.metric("moongate_downstream_underscore_fields_total", listener="main")


@pytest.mark.parametrize("mode", [None, "drop"])
def test_headers_with_underscores_are_dropped_unless_the_listener_says_otherwise(edge, mode):
    proxy, client = edge(mode)
    for _ in range(3):                                  # from the second on they may come out of the compression table
        got = seen(client, ("x_user", "mallory"), ("_", "1"), ("x-user", "kept"), *[(name, "1") for name in KNOWN])
        assert got["x-user"] == "kept" and not [name for name in got if "_" in name]
    assert counted(proxy) == 3 * (2 + len(KNOWN))


def test_metadata_of_grpc_with_underscores_passes_where_it_is_allowed(moongate, backend, client):
    for mode, expected in (("drop", None), ("allow", [b"1"])):
        proxy = moongate(configuration(
            backend.address,
            listeners=[{"name": "main", "address": "127.0.0.1:0", "headers_with_underscores": mode}]))
        report = client(proxy.address).probe.Unary(Order(), metadata=[("trace_id", "1")], timeout=10)
        assert seen_metadata(report).get("trace_id") == expected


def test_allow_never_passes_other_spellings_of_what_the_edge_knows(edge):
    proxy, client = edge("allow")
    got = seen(client, ("x_user", "1"), *[(name, "forged") for name in KNOWN])
    assert got["x_user"] == "1" and [name for name in got if "_" in name] == ["x_user"]
    assert "forged" not in got.values()
    assert counted(proxy) == len(KNOWN)


def test_what_a_policy_writes_or_removes_goes_in_every_spelling(edge):
    headers = {"headers": {"request": {"set": {"x-user": "alice"}, "remove": ["x-debug"], "add": {"x-role": "reader"}}}}
    _, client = edge("allow", {"policies": [headers]})
    got = seen(client, ("x_user", "mallory"), ("x_debug", "1"), ("x_role", "admin"), ("x_other", "1"))
    assert {name: value for name, value in got.items() if name.startswith(("x_", "x-user", "x-debug", "x-role"))} == {
        "x-user": "alice", "x-role": "reader", "x_other": "1"}


def test_what_a_route_writes_or_removes_goes_in_every_spelling(edge):
    _, client = edge("allow", {"request_headers": {
        "set": {"x-user": "alice"}, "remove": ["x-debug"], "add": {"x-role": "reader"}}})
    got = seen(client, ("x_user", "mallory"), ("x_debug", "1"), ("x_role", "admin"), ("x_other", "1"))
    assert {name: value for name, value in got.items() if name.startswith(("x_", "x-user", "x-debug", "x-role"))} == {
        "x-user": "alice", "x-role": "reader", "x_other": "1"}


def test_refuse_answers_as_malformed_requests_are_answered(edge):
    proxy, client = edge("refuse")
    head = client.call(request(extra=[("x_user", "1")]))[0]
    assert head.get("grpc-status") == "13" and "x_user" in head.get("grpc-message")
    head = client.call(request(content_type="text/plain", extra=[("x_user", "1")]))[0]
    assert head.get(":status") == "400"
    assert seen(client, ("x-user", "1"))["x-user"] == "1"
    assert len(proxy.server.heads()) == 1 and counted(proxy) == 2


@pytest.mark.parametrize(("mode", "names"), [
    ("drop", ["x-sum"]), ("allow", ["x_sum", "x-sum"]), ("refuse", None)])
def test_trailers_follow_the_same_rule(edge, mode, names):
    proxy, client = edge(mode)
    stream = client.open(request())
    client.send_headers(stream, [("x_sum", "1"), ("x_forwarded_for", "1"), ("x-sum", "1")], end_stream=True)
    head = client.answer(stream)[0]
    if names is None:
        assert head.get("grpc-status") == "13"
        return
    [connection] = proxy.server.connections
    trailers = next(frame for frame in connection.frames if frame.type == "Headers" and not frame.get(":method"))
    assert [name for name, _ in trailers.headers] == names


def test_responses_keep_their_names(moongate, upstream, connect):
    server = upstream(lambda connection, head: connection.respond(head.stream, headers=[("x_served_by", "a")]))
    edits = {"response_headers": {"remove": ["x-served-by"]}}
    head = connect(moongate(configuration(server.address, routes=[route(**edits)])).address).call()[0]
    assert head.get("x_served_by") == "a"
