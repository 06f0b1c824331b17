"""Whose address a request counts for: that of the connection, or the one that a trusted proxy in front names."""
import json

import grpc
import pytest

from harness.client import seen_metadata
from harness.frame_client import FrameClient, request
from harness.frame_upstream import answer_ok
from harness.proxy import run_command
from harness.settings import configuration, route, text
from harness.stubs import Order
from harness.waiting import eventually

# Every client of a test connects from here.
LOOPBACK = {"trusted": ["127.0.0.0/8"], "trusted_hops": 1}
ELSEWHERE = {"trusted": ["10.0.0.0/8"], "trusted_hops": 1}
EVERYBODY = {"trusted": ["0.0.0.0/0", "::/0"], "trusted_hops": 1}

CLAIMS = ["x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "cf-connecting-ip", "cf-connecting-ipv6",
          "fastly-client-ip", "x-envoy-external-address", "x-envoy-retry-on", "x-envoy-anything"]


def listener(forwarded=None, **more):
    return [{"name": "main", "address": "127.0.0.1:0", **({"forwarded": forwarded} if forwarded else {}), **more}]


@pytest.fixture
def edge(moongate, upstream, connect):
    """Starts a proxy before an upstream that shows each request's head; gives it with a client."""
    def start(forwarded=None, of_route=None, of_listener=None, **more):
        server = upstream(answer_ok)
        proxy = moongate(configuration(
            server.address, listeners=listener(forwarded, **(of_listener or {})),
            routes=[route(**(of_route or {}))], **more))
        proxy.server = server
        return proxy, connect(proxy.address)

    return start


def answer(client, *fields, **options):
    """The head of the answer to a request with these fields."""
    return client.call(request(extra=list(fields), **options))[0]


def named(*addresses):
    return "x-forwarded-for", ", ".join(addresses)


@pytest.mark.parametrize(("forwarded", "claim", "status"), [
    (None, "10.1.2.3", "7"), (ELSEWHERE, "10.1.2.3", "7"), (LOOPBACK, "10.1.2.3", None), (EVERYBODY, "10.1.2.3", None),
    (LOOPBACK, "192.0.2.1", "7"), (LOOPBACK, "10.1.2.3, 192.0.2.1", "7"), (LOOPBACK, "10.1.2.3, unknown", "7"),
    (LOOPBACK, "10.1.2.3,", "7"), (LOOPBACK, "::ffff:10.1.2.3", None), (LOOPBACK, "[::ffff:10.1.2.3]:80", None),
    ({**LOOPBACK, "trusted_hops": 2}, "10.1.2.3", "7"), ({**LOOPBACK, "trusted_hops": 2}, "10.1.2.3, 192.0.2.1", None),
    ({"trusted": ["127.0.0.0/8", "192.0.2.0/24"]}, "10.1.2.3, 192.0.2.1", None),
    ({"trusted": ["127.0.0.0/8"]}, "10.1.2.3, 192.0.2.1", "7"),
])
def test_a_peer_that_is_not_trusted_passes_no_ip_access_by_naming_an_address(edge, forwarded, claim, status):
    _, client = edge(forwarded, {"policies": [{"ip-access": {"allow": ["10.0.0.0/8"]}}]})
    head = answer(client, ("x-forwarded-for", claim))
    assert head.get("grpc-status") == status
    assert (head.get("x-seen-path") is None) == (status is not None)


def test_an_address_in_several_fields_is_counted_from_the_last(edge):
    _, client = edge(LOOPBACK, {"policies": [{"ip-access": {"allow": ["10.0.0.0/8"]}}]})
    assert answer(client, named("192.0.2.1"), named("10.1.2.3")).get("grpc-status") is None
    assert answer(client, named("10.1.2.3"), named("192.0.2.1")).get("grpc-status") == "7"


def test_the_peer_is_the_one_that_the_proxy_protocol_names(edge):
    proxy, _ = edge(ELSEWHERE, {"policies": [{"ip-access": {"allow": ["192.0.2.0/24"]}}]},
                    {"proxy_protocol": "required"})
    for peer, status in (("10.0.0.1", None), ("11.0.0.1", "7")):
        client = FrameClient(proxy.address, before=f"PROXY TCP4 {peer} 10.9.9.9 4000 80\r\n".encode())
        assert answer(client, named("192.0.2.1")).get("grpc-status") == status
        client.close()


def test_trusted_hops_without_trusted_is_a_fault_that_prints_the_line_to_add(tmp_path):
    file = tmp_path / "old.yaml"
    file.write_text(text(configuration("127.0.0.1:1", listeners=listener({"trusted_hops": 1}))))
    ran = run_command("check", "--config", file)
    said = ran.stdout + ran.stderr
    assert ran.returncode != 0 and 'trusted: [0.0.0.0/0, "::/0"]' in said, said
    number = next(n for n, line in enumerate(file.read_text().splitlines(), 1) if "trusted_hops" in line)
    assert f"old.yaml:{number}:" in said, said


def test_blocks_with_bits_beyond_their_prefix_are_faults(moongate, backend):
    proxy = moongate(configuration(backend.address))
    proxy.configure(configuration(
        backend.address, listeners=listener({"trusted": ["10.0.0.1/8"], "trusted_hops": 1})))
    assert "10.0.0.0/8" in proxy.refused_reload()


SHOW = """
function on_request(handle)
  local info, headers = handle:streamInfo(), handle:headers()
  headers:replace("x-remote", info:downstreamRemoteAddress())
  headers:replace("x-direct", info:downstreamDirectRemoteAddress())
  headers:replace("x-host", handle:remoteAddress())
end
"""


@pytest.mark.parametrize("forwarded", [LOOPBACK, ELSEWHERE])
def test_logs_scripts_and_headers_have_the_same_client(edge, tmp_path, forwarded):
    log = tmp_path / "access.log"
    proxy, client = edge(
        {**forwarded, "x_forwarded_for": "replace"},
        {"policies": [{"name": "show", "lua": SHOW}], "request_headers": {"set": {"x-client": "%{client_address}"}}},
        access_log={"path": str(log)})
    head = answer(client, named("192.0.2.7:4711"))
    host = "192.0.2.7" if forwarded is LOOPBACK else "127.0.0.1"
    assert head.get("x-seen-x-host") == head.get("x-seen-x-client") == head.get("x-seen-x-forwarded-for") == host
    line = json.loads(eventually(lambda: log.read_text().strip(), 5, what="the access log"))
    assert line["remote"] == head.get("x-seen-x-remote") and line["remote"].startswith(host + ":")
    if forwarded is LOOPBACK:
        assert line["remote"] == "192.0.2.7:4711" and line["peer"] == head.get("x-seen-x-direct")
    else:
        assert "peer" not in line and line["remote"] == head.get("x-seen-x-direct")


def test_requests_that_are_refused_are_logged_with_their_client(edge, tmp_path):
    log = tmp_path / "access.log"
    _, client = edge(LOOPBACK, access_log={"path": str(log)})
    client.call(request(path="/a/../b", extra=[named("192.0.2.7")]))
    line = json.loads(eventually(lambda: log.read_text().strip(), 5, what="the access log"))
    assert line["termination"] == "malformed_request" and line["remote"] == "192.0.2.7:0"


def test_hash_on_source_address_goes_by_the_client(moongate, backends, client):
    servers = backends("a", "b", "c")
    upstreams = {"main": {"endpoints": [server.address for server in servers], "balance": "maglev",
                          "hash_on": [{"source_address": True}]}}
    for forwarded, count in ((LOOPBACK, 3), (ELSEWHERE, 1)):
        proxy = moongate(configuration(upstreams=upstreams, listeners=listener(forwarded)))
        caller = client(proxy.address)
        places = {number: caller.unary(metadata=[named(f"192.0.2.{number}")]).backend for number in range(30)}
        assert len(set(places.values())) == count
        assert all(caller.unary(metadata=[named(f"192.0.2.{number}")]).backend == place
                   for number, place in places.items())


def test_rate_limit_counts_by_the_client_and_takes_nobodys_word(edge):
    limit = {"policies": [{"rate-limit": {"rules": [{"by": "address", "rate": 1, "per": "hour", "burst": 1}]}}]}
    _, client = edge(LOOPBACK, limit)
    said = [answer(client, named(address)).get("grpc-status")
            for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.9, 192.0.2.2")]
    assert said == [None, None, "8", "8"]
    _, client = edge(ELSEWHERE, limit)
    assert [answer(client, named(f"192.0.2.{number}")).get("grpc-status") for number in (1, 2)] == [None, "8"]


def test_external_auth_and_mirrors_hear_of_the_same_client(moongate, upstream, connect):
    server, mirror = upstream(answer_ok), upstream(answer_ok)
    auth = upstream(lambda connection, head: connection.send(*connection.headers_frames(
        head.stream, [(":status", "204")], end_stream=True)))
    proxy = moongate(configuration(
        server.address, listeners=listener({**LOOPBACK, "x_forwarded_for": "replace"}),
        upstreams={"auth": [auth.address], "mirror": [mirror.address]},
        routes=[route(policies=[{"external-auth": {"upstream": "auth"}}], mirror=[{"upstream": "mirror"}])]))
    answer(connect(proxy.address), named("192.0.2.7"))
    assert auth.heads()[0].get("x-forwarded-for") == "192.0.2.7"
    copy = eventually(lambda: mirror.heads() and mirror.heads()[0], 5, what="the copy")
    assert copy.get("x-forwarded-for") == server.heads()[0].get("x-forwarded-for") == "192.0.2.7"


def test_what_untrusted_peers_say_of_their_client_reaches_neither_policies_nor_upstreams(edge):
    script = """
        function on_request(handle)
          local names = {}
          for name in pairs(handle:headers()) do names[#names + 1] = name end
          handle:headers():add("x-names", table.concat(names, " "))
        end
    """
    claims = [(name, "10.1.2.3") for name in CLAIMS] + [("x-envoy", "kept"), ("x-real-ips", "kept")]
    for forwarded, passes in ((None, False), (ELSEWHERE, False), (LOOPBACK, True)):
        _, client = edge(forwarded, {"policies": [{"name": "names", "lua": script}]})
        head = answer(client, *claims)
        seen = head.get("x-seen-x-names").split()
        for name in CLAIMS:
            assert (head.get(f"x-seen-{name}") is not None, name in seen) == (passes, passes), (forwarded, name)
        assert head.get("x-seen-x-envoy") == head.get("x-seen-x-real-ips") == "kept"


def test_policies_may_write_what_untrusted_peers_may_not(edge):
    headers = {"headers": {"request": {"set": {"x-real-ip": "by-policy", "x-envoy-retry-on": "5xx"}}}}
    _, client = edge(None, {"policies": [headers]})
    head = answer(client, ("x-real-ip", "forged"))
    assert head.all("x-seen-x-real-ip") == ["by-policy"] and head.get("x-seen-x-envoy-retry-on") == "5xx"


def test_trailers_name_no_client(edge):
    proxy, client = edge(EVERYBODY)
    stream = client.open(request())
    client.send_headers(
        stream, [("x-forwarded-for", "10.1.2.3"), ("x-real-ip", "10.1.2.3"), ("x-forwarded-client-cert", "By=x"),
                 ("x-checksum", "1")], end_stream=True)
    client.answer(stream)
    [connection] = proxy.server.connections
    trailers = next(frame for frame in connection.frames if frame.type == "Headers" and not frame.get(":method"))
    assert trailers.headers == [("x-checksum", "1")]


def test_grpc_callers_are_counted_alike(moongate, backend, client):
    proxy = moongate(configuration(
        backend.address, listeners=listener(ELSEWHERE),
        routes=[route(policies=[{"ip-access": {"allow": ["10.0.0.0/8"]}}])]))
    with pytest.raises(grpc.RpcError) as caught:
        client(proxy.address).probe.Unary(Order(), metadata=[named("10.1.2.3"), ("x-real-ip", "10.1.2.3")], timeout=10)
    assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED
    proxy.configure(configuration(backend.address, listeners=listener(LOOPBACK)))
    proxy.reload()
    report = client(proxy.address).probe.Unary(Order(), metadata=[named("10.1.2.3")], timeout=10)
    assert seen_metadata(report)["x-forwarded-for"] == [b"10.1.2.3, 127.0.0.1"]
