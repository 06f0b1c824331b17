"""Headers that the edge itself writes: where a request came from, its id, and what routes change (R12)."""
import json
import re

import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.settings import configuration, route
from harness.stubs import Order, Pair
from harness.waiting import eventually


def listener(**more):
    return [{"name": "main", "address": "127.0.0.1:0", **more}]


def seen(client, *metadata, method=None):
    """What the backend got of a call with this metadata, as texts."""
    report = (method or client.probe.Unary)(Order(), metadata=metadata, timeout=10)
    return {key: [value.decode() for value in values] for key, values in seen_metadata(report).items()}


@pytest.fixture
def edge(moongate, backend, client):
    """Starts a proxy with these settings of its listener and its route, and gives a client of it."""
    def start(of_listener=None, of_route=None, **more):
        proxy = moongate(configuration(
            backend.address, listeners=listener(**(of_listener or {})), routes=[route(**(of_route or {}))], **more))
        return proxy, client(proxy.address, authority="test.example")

    return start


def test_R12_by_default_upstreams_learn_address_and_protocol(edge):
    _, client = edge()
    fields = seen(client)
    assert fields["x-forwarded-for"] == ["127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert "x-request-id" not in fields and "forwarded" not in fields and "x-forwarded-host" not in fields


def test_R12_over_tls_the_protocol_is_https(moongate, backend, client, certificate):
    own = certificate("edge", ["test.example"])
    tls = {"certificates": [own.setting()]}
    proxy = moongate(configuration(backend.address, listeners=listener(tls=tls)))
    secure = client(proxy.address, authority="test.example", root=own.pem)
    assert seen(secure)["x-forwarded-proto"] == ["https"]


def test_R12_what_untrusted_clients_say_about_themselves_does_not_pass(edge):
    _, client = edge()
    fields = seen(
        client, ("x-forwarded-for", "1.1.1.1"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "evil"),
        ("forwarded", "for=1.1.1.1"))
    assert fields["x-forwarded-for"] == ["1.1.1.1, 127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["http"]
    assert "forwarded" not in fields and "x-forwarded-host" not in fields


def test_R12_trusted_proxies_name_the_client(moongate, backend, client, tmp_path):
    log = tmp_path / "access.log"
    script = """
        function on_request(handle)
          local info = handle:streamInfo()
          handle:headers():add("x-remote", info:downstreamRemoteAddress())
          handle:headers():add("x-direct", info:downstreamDirectRemoteAddress())
          handle:headers():add("x-host", handle:remoteAddress())
          handle:headers():add("x-inside", tostring(require("moon").cidr("192.0.2.0/24"):contains(
            info:downstreamRemoteAddress())))
        end
    """
    proxy = moongate(configuration(
        backend.address,
        listeners=listener(
            forwarded={"trusted": ["127.0.0.0/8"], "trusted_hops": 1, "x_forwarded_host": "set", "forwarded": "set"}, request_id="keep",
            policies=[{"name": "look", "lua": script}]),
        access_log={"path": str(log)}))
    fields = seen(
        client(proxy.address, authority="test.example"), ("x-forwarded-for", "1.1.1.1, 192.0.2.7"),
        ("x-forwarded-proto", "https"), ("forwarded", "for=192.0.2.7"), ("x-request-id", "mine"))
    assert fields["x-remote"] == ["192.0.2.7:0"] and fields["x-host"] == ["192.0.2.7"]
    assert fields["x-inside"] == ["true"]
    assert fields["x-direct"][0].startswith("127.0.0.1:")
    assert fields["x-forwarded-for"] == ["1.1.1.1, 192.0.2.7, 127.0.0.1"]
    assert fields["x-forwarded-proto"] == ["https"] and fields["x-forwarded-host"] == ["test.example"]
    assert fields["forwarded"] == ['for=192.0.2.7, for=127.0.0.1;proto=http;host="test.example"']
    assert fields["x-request-id"] == ["mine"]
    line = json.loads(eventually(lambda: log.read_text().strip(), 5, what="the access log"))
    assert line["remote"] == "192.0.2.7:0" and line["peer"].startswith("127.0.0.1:")
    assert line["request_id"] == "mine"


def test_the_id_that_the_upstream_gets_is_the_one_in_the_access_log(edge, tmp_path):
    log = tmp_path / "access.log"
    _, client = edge({"request_id": "replace"}, access_log={"path": str(log)})
    ids = [seen(client, ("x-request-id", "mine"))["x-request-id"][0] for _ in range(3)]
    assert len(set(ids)) == 3 and all(re.fullmatch("[0-9a-f]{16}", id) for id in ids)
    lines = eventually(lambda: log.read_text().splitlines()[2:] and log.read_text().splitlines(), 5, what="three lines")
    assert [json.loads(line)["request_id"] for line in lines] == ids


def test_R4_connection_headers_are_refused_and_te_passes(between):
    _, client, server = between
    for name in ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]:
        stream = client.open(request(extra=[(name, "x")]), end_stream=True)
        assert client.end(stream).type == "RstStream"
    stream = client.open(end_stream=True)
    connection, head = server.next_request()
    assert head.get("te") == "trailers"
    connection.respond(head.stream)
    assert client.end(stream).ends_stream


def test_routes_change_headers_behind_the_policies(edge):
    script = 'function on_request(handle) handle:headers():add("x-debug", "1") handle:headers():add("x-n", "1") end'
    _, client = edge(of_route={
        "policies": [{"name": "add", "lua": script}],
        "request_headers": {
            "remove": ["X-Debug"], "set": {"x-n": "2", "x-client": "%{client_address}", "x-route": "%{route}@%{upstream}"},
            "add": {"x-all": "%{header:x-mine}"}}})
    fields = seen(client, ("x-mine", "a"), ("x-all", "b"))
    assert "x-debug" not in fields
    assert fields["x-n"] == ["2"] and fields["x-client"] == ["127.0.0.1"] and fields["x-route"] == ["all@main"]
    assert fields["x-all"] == ["b", "a"]


def test_routes_change_heads_and_trailers_of_responses(edge):
    _, client = edge({"request_id": "replace"}, {
        "response_headers": {"remove": ["x-initial"], "set": {"x-id": "%{request_id}"}},
        "response_trailers": {"remove": ["x-trailing"], "add": {"x-end": "yes"}}})
    order = Order(
        initial_metadata=[Pair(key="x-initial", value=b"1")], trailing_metadata=[Pair(key="x-trailing", value=b"2")])
    report, call = client.probe.Unary.with_call(order, timeout=10)
    initial, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
    assert "x-initial" not in initial and "x-trailing" not in trailing
    assert initial["x-id"].encode() == seen_metadata(report)["x-request-id"][0] and trailing["x-end"] == "yes"


def test_S1_a_response_that_is_one_head_gets_both_and_stays_one(moongate, upstream, connect):
    server = upstream(lambda connection, head: connection.send(*connection.headers_frames(
        head.stream, [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "5")], end_stream=True)))
    edits = {"response_headers": {"set": {"x-head": "1"}}, "response_trailers": {"set": {"x-end": "1"}}}
    frames = connect(moongate(configuration(server.address, routes=[route(**edits)])).address).call()
    assert [frame.type for frame in frames] == ["Headers"]
    assert frames[0].get("x-head") == "1" and frames[0].get("x-end") == "1" and frames[0].get("grpc-status") == "5"


def test_R13_routes_change_interim_heads_as_they_change_the_final_one(moongate, upstream, connect):
    server = upstream()
    edits = {"response_headers": {"remove": ["x-internal"], "set": {"x-head": "1"}}}
    proxy = moongate(configuration(server.address, routes=[route(**edits)]))
    client = connect(proxy.address)
    stream = client.open(request(), end_stream=True)
    connection, head = server.next_request()
    fields = [("x-internal", "10.0.0.1"), ("x-head", "0"), ("x-other", "2")]
    connection.send_headers(head.stream, [(":status", "103"), *fields])
    connection.respond(head.stream, headers=fields)
    heads = [frame for frame in client.answer(stream) if frame.get(":status")]
    assert [frame.get(":status") for frame in heads] == ["103", "200"]
    for frame in heads:
        assert (frame.get("x-internal"), frame.all("x-head"), frame.get("x-other")) == (None, ["1"], "2")


def test_answers_of_the_edge_and_of_policies_get_the_routes_headers(moongate, upstream, connect):
    deny = {"name": "deny", "lua": 'function on_request(handle) handle:respond({[":status"] = "403"}, "no") end'}
    edits = {"response_headers": {"set": {"x-head": "%{route}"}}}
    proxy = moongate(configuration(
        "127.0.0.1:1",
        routes=[route(name="denied", match={"path": "/denied"}, policies=[deny], **edits), route(name="down", **edits)]))
    client = connect(proxy.address)
    assert client.call(request(path="/denied"))[0].get("x-head") == "denied"
    answer = client.call()[0]
    assert answer.get("x-head") == "down" and answer.get("grpc-status") == "14"


@pytest.mark.parametrize(("matches", "rewrite", "path", "result"), [
    ([{"path_prefix": "/v1"}], {"path_prefix": "/v2"}, "/v1/a?b=/v1", "/v2/a?b=/v1"),
    ([{"service": "pkg.v1.Svc"}], {"path_prefix": "/pkg.v2.Svc"}, "/pkg.v1.Svc/Get", "/pkg.v2.Svc/Get"),
    ([{}], {"path": "/pkg.Svc/New"}, "/pkg.Svc/Old", "/pkg.Svc/New"),
    ([{}], {"path_regex": {"pattern": "^/v([0-9]+)/", "substitution": "/api-\\1/"}}, "/v7/x", "/api-7/x"),
])
def test_routes_rewrite_paths_and_the_log_has_what_the_client_sent(
        moongate, upstream, connect, tmp_path, matches, rewrite, path, result):
    log = tmp_path / "access.log"
    server = upstream(lambda connection, head: connection.respond(head.stream))
    proxy = moongate(configuration(
        server.address, routes=[route(matches=matches, rewrite={**rewrite, "authority": "api.internal:81"})],
        access_log={"path": str(log)}))
    connect(proxy.address).call(request(path=path))
    head = server.heads()[0]
    assert head.get(":path") == result and head.get(":authority") == "api.internal:81"
    line = json.loads(eventually(lambda: log.read_text().strip(), 5, what="the access log"))
    assert line["path"] == path and line["authority"] == "test.example"


def test_upstreams_hear_their_own_name(moongate, upstream, connect):
    server = upstream(lambda connection, head: connection.respond(head.stream))
    address = f"localhost:{server.port}"
    proxy = moongate(configuration(address, routes=[route(rewrite={"authority_of_endpoint": True})]))
    connect(proxy.address).call()
    assert server.heads()[0].get(":authority") == "localhost"


def test_a_rewrite_that_makes_no_path_is_an_error_and_nothing_is_sent(moongate, upstream, connect):
    server = upstream()
    rewrite = {"path_regex": {"pattern": "^/", "substitution": ""}}
    answer = connect(moongate(configuration(server.address, routes=[route(rewrite=rewrite)])).address).call()[0]
    assert answer.get("grpc-status") == "13" and "rewrite" in answer.get("grpc-message")
    assert server.connections == []


def test_a_bad_pattern_keeps_the_old_configuration(edge, backend):
    proxy, client = edge()
    proxy.configure(configuration(
        backend.address, routes=[route(rewrite={"path_regex": {"pattern": "(", "substitution": "/"}})]))
    assert "path_regex" in proxy.refused_reload()
    assert seen(client)["x-forwarded-for"] == ["127.0.0.1"]


def test_RFC7541_credentials_never_enter_the_table_that_clients_share(moongate, upstream, connect):
    server = upstream(lambda connection, head: connection.respond(head.stream))
    proxy = moongate(configuration(
        server.address, listeners=listener(never_index=["x-session"])))
    client = connect(proxy.address)
    names = ["authorization", "proxy-authorization", "cookie", "password", "x-password", "x-api-key", "x-session"]
    for name, is_secret in [*((name, True) for name in names), ("x-plain", False)]:
        marks = []
        for _ in range(4):
            client.call(request(extra=[(name, "v" * 40)]))
            marks.append(name in server.heads()[-1].never_indexed)
        assert marks == [is_secret] * 4, name

