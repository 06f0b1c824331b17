"""Cookies that a client has split into several fields (RFC 9113 §8.2.3): everybody sees them as one."""
import pytest

from harness.client import seen_metadata
from harness.frame_client import request
from harness.frame_upstream import answer_ok
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually

SPLIT = [("cookie", "a=1"), ("cookie", "b=2")]

LOOK = """
function on_request(handle)
  local headers = handle:headers()
  local pairs_seen = {}
  for name, value in pairs(headers) do
    if name == "cookie" then pairs_seen[#pairs_seen + 1] = value end
  end
  headers:replace("x-get", headers:get("Cookie") or "none")
  headers:replace("x-index", headers:getAtIndex("cookie", 0) or "none")
  headers:replace("x-count", headers:getNumValues("cookie"))
  headers:replace("x-all", table.concat(headers:getAll("cookie"), "|"))
  headers:replace("x-pairs", table.concat(pairs_seen, "|"))
  headers:replace("x-cookie", (handle:cookie("a") or "-") .. (handle:cookie("b") or "-"))
end
"""


@pytest.fixture
def ask(moongate, upstream, connect):
    """Starts a proxy before an upstream that shows each request's head; gives a function that asks it."""
    def start(of_route=None, **more):
        server = upstream(answer_ok)
        proxy = moongate(configuration(server.address, routes=[route(**(of_route or {}))], **more))
        proxy.server = server
        client = connect(proxy.address)

        def call(*fields, **options):
            return client.call(request(extra=list(fields), **options))[0]

        call.proxy = proxy
        return call

    return start


def test_scripts_see_one_cookie_header(ask):
    head = ask({"policies": [{"name": "look", "lua": LOOK}]})(*SPLIT)
    for name in ("get", "index", "all", "pairs"):
        assert head.get(f"x-seen-x-{name}") == "a=1; b=2", name
    assert head.get("x-seen-x-count") == "1" and head.get("x-seen-x-cookie") == "12"


@pytest.mark.parametrize(("fields", "result"), [
    (["a=1"], "a=1"), (["a=1", "b=2", "c=3; d=4"], "a=1; b=2; c=3; d=4"), (["", "a=1", ""], "a=1"), (["", ""], ""),
    (["a=1,2", "b=3"], "a=1,2; b=3"), (["n=%d" % n for n in range(200)], "; ".join("n=%d" % n for n in range(200))),
])
def test_upstreams_get_one_cookie_header(ask, fields, result):
    call = ask()
    call(*[("cookie", field) for field in fields])
    assert call.proxy.server.heads()[0].all("cookie") == [result]


def test_cookies_stay_out_of_compression_tables(ask):
    call = ask()
    for _ in range(3):
        call(*SPLIT)
    assert all("cookie" in head.never_indexed for head in call.proxy.server.heads())


def test_other_headers_that_come_several_times_are_joined_with_commas(ask):
    script = 'function on_request(h) h:headers():replace("x-joined", h:headers():get("x-a")) end'
    head = ask({"policies": [{"name": "join", "lua": script}]})(("x-a", "1"), ("x-a", "2"))
    assert head.get("x-seen-x-joined") == "1,2" and head.all("x-seen-x-a") == ["1", "2"]


def test_routes_match_the_whole_cookie(moongate, upstream, connect):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address, routes=[
        route(name="exact", match={"headers": [{"name": "cookie", "exact": "a=1; b=2"}]},
              request_headers={"set": {"x-route": "exact"}}),
        route(name="regex", match={"headers": [{"name": "cookie", "regex": "(.*; )?b=2(;.*)?"}]},
              request_headers={"set": {"x-route": "regex"}}),
        route(name="rest", request_headers={"set": {"x-route": "rest"}})]))
    client = connect(proxy.address)

    def chosen(*cookies):
        return client.call(request(extra=[("cookie", cookie) for cookie in cookies]))[0].get("x-seen-x-route")

    assert chosen("a=1", "b=2") == "exact" and chosen("a=1", "b=2", "c=3") == "regex" and chosen("a=1,b=2") == "rest"


def test_hashes_go_by_the_whole_cookie(moongate, backends, client):
    servers = backends("a", "b", "c")
    for source in ({"cookie": {"name": "b"}}, {"header": "cookie"}):
        proxy = moongate(configuration(upstreams={"main": {
            "endpoints": [server.address for server in servers], "balance": "maglev", "hash_on": [source]}}))
        caller = client(proxy.address)
        for number in range(12):
            split = caller.unary(metadata=[("cookie", "a=1"), ("cookie", f"b={number}")]).backend
            assert split == caller.unary(metadata=[("cookie", f"a=1; b={number}")]).backend


def test_auth_services_and_mirrors_get_one_cookie_header(moongate, upstream, connect):
    server, mirror = upstream(answer_ok), upstream(answer_ok)
    auth = upstream(lambda connection, head: connection.send(*connection.headers_frames(
        head.stream, [(":status", "204")], end_stream=True)))
    proxy = moongate(configuration(
        server.address, upstreams={"auth": [auth.address], "mirror": [mirror.address]},
        routes=[route(policies=[{"external-auth": {"upstream": "auth"}}], mirror=[{"upstream": "mirror"}])]))
    connect(proxy.address).call(request(extra=SPLIT))
    copy = eventually(lambda: mirror.heads() and mirror.heads()[0], 5, what="the copy")
    for head in (auth.heads()[0], copy, server.heads()[0]):
        assert head.all("cookie") == ["a=1; b=2"]


def test_calls_of_policies_send_one_cookie_header(moongate, upstream, connect):
    server, service = upstream(answer_ok), upstream(answer_ok)
    script = """
        local moon = require "moon"
        function on_request(handle)
          moon.http.request { upstream = "service", path = "/", headers = { cookie = { "a=1", "b=2" } } }
          handle:httpCall("service", {
            [":method"] = "GET", [":path"] = "/", [":authority"] = "x", cookie = { "c=1", "d=2" } }, "", 1000)
        end
    """
    proxy = moongate(configuration(
        server.address, upstreams={"service": [service.address]},
        routes=[route(policies=[{"name": "calls", "lua": script}])]))
    connect(proxy.address).call()
    assert [head.all("cookie") for head in service.heads()] == [["a=1; b=2"], ["c=1; d=2"]]


def test_cookies_that_policies_and_routes_add_join_the_others(ask):
    script = """
        function on_request(handle)
          handle:headers():add("cookie", "c=3")
          handle:headers():replace("x-get", handle:headers():get("cookie"))
        end
    """
    call = ask({"policies": [{"name": "add", "lua": script}], "request_headers": {"add": {"cookie": "d=4"}}})
    assert call(*SPLIT).get("x-seen-x-get") == "a=1; b=2; c=3"
    assert call.proxy.server.heads()[0].all("cookie") == ["a=1; b=2; c=3; d=4"]


def test_grpc_callers_cookies_are_joined(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    report = client(proxy.address).probe.Unary(Order(), metadata=SPLIT, timeout=10)
    assert seen_metadata(report)["cookie"] == [b"a=1; b=2"]


def test_cookies_of_responses_are_never_joined(moongate, upstream, connect):
    server = upstream(lambda connection, head: connection.respond(
        head.stream, headers=[("set-cookie", "a=1"), ("set-cookie", "b=2")]))
    head = connect(moongate(configuration(server.address)).address).call()[0]
    assert head.all("set-cookie") == ["a=1", "b=2"]


def test_the_whole_cookie_stands_in_headers_that_are_made_of_it(ask):
    head = ask({"request_headers": {"set": {"x-copy": "%{header:cookie}"}}})(*SPLIT)
    assert head.get("x-seen-x-copy") == "a=1; b=2"
