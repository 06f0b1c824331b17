"""What scripts see of a request, its connection and the configuration, and where they may send it: with real peers."""
import base64

import grpc
import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.client import seen_metadata
from harness.frame_client import request, trusting_context
from harness.settings import configuration, route
from harness.stubs import Order
from harness.waiting import eventually


@pytest.fixture
def scripted(moongate, backend, client):
    """Starts a proxy with one route and this policy on it; `more` are further keys of the route."""
    def start(text, listeners=None, **more):
        proxy = moongate(
            configuration(backend.address, listeners=listeners, routes=[route(policies=["policies/p.lua"], **more)]),
            policies={"p.lua": text})
        return proxy, client(proxy.address)

    return start


def secure(certificate):
    return [{"name": "secure", "address": "127.0.0.1:0", "tls": {"certificates": [certificate.setting()]}}]


# Parts of requests


def test_grpc_metadata_and_credentials_are_decoded(scripted):
    _, caller = scripted("""
        function on_request(h)
          local headers = h:headers()
          local user, password = h:basicAuth()
          headers:add("x-seen", table.concat({user, password, h:grpcMetadata("x-key-bin"), h:requestId()}, "|"))
        end""")
    credentials = "Basic " + base64.b64encode(b"ada:s:t").decode()
    report = caller.unary(metadata=[("authorization", credentials), ("x-key-bin", b"a b")])
    user, password, key, number = seen_metadata(report)["x-seen"][0].decode().split("|")
    assert (user, password, key) == ("ada", "s:t", "a b") and len(number) == 16


def test_path_query_and_cookies_of_a_plain_request(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(
        configuration(server.address, routes=[route(policies=["policies/p.lua"])]),
        policies={"p.lua": """
            function on_request(h)
              h:respond({[":status"] = 200}, table.concat({h:path(), h:query("q"), h:cookie("two")}, "|"))
            end"""})
    client = connect(proxy.address)
    frames = client.call(request(
        path="/a%20b?q=x%20y+z", method="GET", content_type="", extra=[("cookie", "one=1"), ("cookie", "two=2; a=b")]))
    assert b"".join(frame.data for frame in frames if frame.type == "Data") == b"/a%20b|x y z|2"


def test_request_id_is_that_of_the_log(scripted):
    proxy, caller = scripted("""
        function on_request(h) h:logInfo("here is " .. h:requestId()) end""")
    caller.unary()
    proxy.wait_for_line("here is ", 3)
    entry = next(entry for entry in proxy.log_entries() if "here is" in entry["message"])
    assert entry["message"] == "here is " + entry["request"]


# Metadata and settings per route


def test_C76_C81_metadata_of_route_and_listener_come_from_the_configuration(moongate, backend, client):
    listeners = [{"name": "main", "address": "127.0.0.1:0", "metadata": {"reader": {"zone": "eu"}},
                  "policies": [{"policy": "policies/reader.lua"}]}]
    routes = [
        route(name="one", match={"method": "Unary"}, metadata={"reader": {"owner": "a", "list": [1, 2.5]}}),
        route(name="two", match={"method": "UnaryTwo"}, metadata={"envoy.filters.http.lua": {"owner": "b"}}),
        route(name="rest"),
    ]
    proxy = moongate(configuration(backend.address, listeners=listeners, routes=routes), policies={"reader.lua": """
        function envoy_on_request(h)
          local list = h:metadata():get("list")
          h:headers():add("x-owner", tostring(h:route():metadata():get("owner")) .. (list and list[2] or ""))
          h:headers():add("x-zone", h:virtualHost():metadata():get("zone"))
          h:headers():add("x-route", h:route():name() .. h:streamInfo():routeName())
        end"""})
    caller = client(proxy.address)
    one, two = seen_metadata(caller.unary()), seen_metadata(caller.probe.UnaryTwo(Order(), timeout=10))
    assert (one["x-owner"], one["x-zone"], one["x-route"]) == ([b"a2.5"], [b"eu"], [b"oneone"])
    assert (two["x-owner"], two["x-route"]) == ([b"b"], [b"twotwo"])
    rest = seen_metadata(caller.other.Unary(Order(), timeout=10))
    assert rest["x-owner"] == [b"a2.5"] or rest["x-route"] == [b"restrest"]


def test_C82_filter_context_of_the_route_goes_over_the_listeners_settings(moongate, backend, client):
    listeners = [{"name": "main", "address": "127.0.0.1:0", "policies": [
        {"policy": "policies/p.lua", "settings": {"plan": "free"}}]}]
    routes = [
        route(name="pro", match={"method": "Unary"}, filter_context={"plan": "pro"}),
        route(name="none", match={"method": "UnaryTwo"}, filter_context={}),
        route(name="rest"),
    ]
    proxy = moongate(configuration(backend.address, listeners=listeners, routes=routes), policies={"p.lua": """
        function envoy_on_request(h)
          local names = {}
          for name in pairs(h:filterContext()) do names[#names + 1] = name end
          h:headers():add("x-plan", tostring(h:filterContext():get("plan")) .. #names .. h:config().plan)
        end"""})
    caller = client(proxy.address)
    assert seen_metadata(caller.unary())["x-plan"] == [b"pro1free"]
    assert seen_metadata(caller.probe.UnaryTwo(Order(), timeout=10))["x-plan"] == [b"nil0free"]
    assert caller.hello()
    assert backend.last().values("x-plan") == ["free1free"]


STAMP = "function on_request(h) h:headers():add('x-ran', '%s') end"


def test_C87_a_route_switches_policies_of_the_listener_off(moongate, backend, client):
    listeners = [{"name": "main", "address": "127.0.0.1:0", "policies": [
        "policies/first.lua", {"name": "second", "lua": STAMP % "second"}]}]
    routes = [
        route(name="open", match={"method": "Unary"}, policies=[{"policy": "second", "disabled": True}]),
        route(name="bare", match={"method": "UnaryTwo"}, policies=[
            {"policy": "second", "disabled": True}, {"policy": "policies/first.lua", "disabled": True}]),
        route(name="rest"),
    ]
    proxy = moongate(
        configuration(backend.address, listeners=listeners, routes=routes), policies={"first.lua": STAMP % "first"})
    caller = client(proxy.address)
    assert seen_metadata(caller.unary())["x-ran"] == [b"first"]
    assert "x-ran" not in seen_metadata(caller.probe.UnaryTwo(Order(), timeout=10))
    assert caller.hello()
    assert backend.last().values("x-ran") == ["first", "second"]


@pytest.mark.parametrize("place", ["listener", "route"])
def test_a_rewritten_path_slips_past_no_policy_that_only_the_old_route_switched_off(moongate, backend, client, place):
    rewrite = {"name": "rewrite", "lua": """
        function on_request(h)
          if h:headers():get("x-go") then h:headers():replace(":path", "/moongate.test.Probe/UnaryTwo") end
        end"""}
    guard = {"name": "guard", "lua": "function on_request(h) h:respond({[':status'] = 403}, 'guarded') end"}
    listeners = [{"name": "main", "address": "127.0.0.1:0",
                  "policies": ([rewrite] if place == "listener" else []) + [guard]}]
    routes = [
        route(name="open", match={"method": "Unary"},
              policies=[{"policy": "guard", "disabled": True}] + ([rewrite] if place == "route" else [])),
        route(name="rest"),
    ]
    proxy = moongate(configuration(backend.address, listeners=listeners, routes=routes))
    caller = client(proxy.address)
    caller.unary()
    assert caller.refused(metadata=[("x-go", "1")]).code() is grpc.StatusCode.PERMISSION_DENIED
    assert caller.refused(method=caller.probe.UnaryTwo).code() is grpc.StatusCode.PERMISSION_DENIED
    assert all(seen.method == "Unary" for seen in backend.calls)


def test_inline_source_says_its_line_of_the_file_when_it_is_refused(moongate, backend):
    text = """
        listeners: [{{name: main, address: "127.0.0.1:0"}}]
        upstreams: {{main: {{endpoints: ["{address}"]}}}}
        routes:
          - name: all
            upstream: main
            policies:
              - name: stamp
                lua: |
                  function on_request(handle)
                    handle:headers():add("x-stamp", "{value}"){broken}
                  end
        admin: {{address: "127.0.0.1:0"}}
        drain: {{delay: 0s, grace: 5s}}
        """
    proxy = moongate(text.format(address=backend.address, value="1", broken=""))
    proxy.configure(text.format(address=backend.address, value="2", broken=" ="))
    refused = proxy.refused_reload()
    assert "moongate.yaml:11" in refused or "moongate.yaml:12" in refused, refused


# Stream info, filter state, connection


def test_C80_filter_state_goes_from_the_request_to_the_response(scripted):
    _, caller = scripted("""
        function envoy_on_request(h)
          h:streamInfo():filterState():set("who", "envoy.string", h:headers():get("x-who"))
        end
        function envoy_on_response(h)
          h:headers():add("x-who", tostring(h:streamInfo():filterState():get("who")))
        end""")
    for who in ("ada", "bob"):
        _, call = caller.probe.Unary.with_call(Order(), timeout=10, metadata=[("x-who", who)])
        assert dict(call.initial_metadata())["x-who"] == who


def test_C85_tls_getters_read_the_handshake(scripted, certificate, connect):
    one = certificate("one", ["a.example", "b.example"])
    proxy, _ = scripted("""
        function envoy_on_response(h)
          local ssl = h:streamInfo():downstreamSslConnection()
          local out = h:headers()
          out:add("x-local", ssl:subjectLocalCertificate() .. " " .. table.concat(ssl:dnsSansLocalCertificate(), ","))
          out:add("x-version", ssl:tlsVersion() .. " " .. ssl:ciphersuiteId() .. " " .. ssl:ciphersuiteString())
          out:add("x-sni", h:streamInfo():requestedServerName())
          out:add("x-peer", tostring(ssl:peerCertificatePresented()) .. tostring(ssl:peerCertificateValidated())
            .. "[" .. ssl:subjectPeerCertificate() .. #ssl:uriSanPeerCertificate() .. ssl:validFromPeerCertificate()
            .. tostring(ssl:parsedSubjectPeerCertificate()) .. "]")
          out:add("x-same", tostring(h:connection():ssl() == ssl))
        end""", listeners=secure(one))
    client = connect(proxy.address, tls=trusting_context(), server_name="b.example")
    answer = client.call(
        [(n, "https" if n == ":scheme" else v) for n, v in request(path="/helloworld.Greeter/SayHello")],
        body=b"\0\0\0\0\0")
    head = next(frame for frame in answer if frame.type == "Headers")
    assert head.get("x-local") == "CN=a.example a.example,b.example"
    version, number, cipher = head.get("x-version").split()
    assert (version, number[:4], cipher[:4]) == ("TLSv1.3", "0x13", "TLS_")
    assert head.get("x-sni") == "b.example" and head.get("x-same") == "true"
    assert head.get("x-peer") == "falsefalse[00nil]"
    assert client.call(request(path="/helloworld.Greeter/SayHello"), body=b"\0\0\0\0\0")
    proxy.stop()      # what it has logged is out then
    assert sum("connection():ssl() is deprecated" in line for line in proxy.lines) == 1


def test_C85_there_is_no_tls_object_in_cleartext(scripted):
    _, caller = scripted("""
        function envoy_on_request(h)
          h:headers():add("x-ssl", tostring(h:streamInfo():downstreamSslConnection()) .. tostring(h:connection():ssl()))
        end""")
    assert seen_metadata(caller.unary())["x-ssl"] == [b"nilnil"]


def test_C86_drain_sends_goaway_and_serves_what_is_under_way(moongate, upstream, connect):
    server = upstream()
    proxy = moongate(configuration(server.address, routes=[route(policies=["policies/p.lua"])]), policies={"p.lua": """
        function envoy_on_request(h)
          if h:headers():get("x-drain") then h:streamInfo():drainConnectionUponCompletion() end
        end"""})
    client = connect(proxy.address)
    slow = client.open(request(), end_stream=True)
    connection, first = server.next_request()
    drained = client.open(request(extra=[("x-drain", "1")]), end_stream=True)
    same, second = server.next_request()
    same.respond(second.stream)
    assert client.end(drained).get("grpc-status") == "0"
    client.wait_for(lambda frame: frame.type == "GoAway", 5, "GOAWAY")
    connection.respond(first.stream)
    assert client.end(slow).get("grpc-status") == "0"
    client.wait_closed(5)


# Where requests go


@pytest.fixture
def three(moongate, backends, client):
    """A proxy in front of three servers in one upstream, with this policy."""
    def start(text, **more):
        servers = backends("a", "b", "c")
        proxy = moongate(
            configuration(upstreams={"main": [server.address for server in servers]},
                          routes=[route(policies=["policies/p.lua"], **more)]), policies={"p.lua": text})
        return proxy, client(proxy.address), servers

    return start


@pytest.mark.parametrize("method", ["setUpstreamOverrideHost", "setEndpoint"])
def test_C89_override_host_pins_the_endpoint(three, method):
    _, caller, servers = three(f"""
        function envoy_on_request(h) h:{method}(h:headers():get("x-host"), h:headers():has("x-strict")) end""")
    for server in servers:
        for _ in range(4):
            assert caller.unary(metadata=[("x-host", server.address)]).backend == server.name
    # One that the upstream does not have is passed over.
    assert caller.unary(metadata=[("x-host", "127.0.0.1:1")]).backend in "abc"
    error = caller.refused(metadata=[("x-host", "127.0.0.1:1"), ("x-strict", "1")])
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no healthy upstream")
    assert caller.unary(metadata=[("x-host", servers[1].address), ("x-strict", "1")]).backend == "b"
    error = caller.refused(metadata=[("x-host", "name:80")])
    assert error.code() is grpc.StatusCode.INTERNAL


def test_C89_strict_override_of_an_endpoint_that_is_down_fails(three):
    _, caller, servers = three("""
        function envoy_on_request(h)
          if h:headers():get("x-host") then h:setUpstreamOverrideHost(h:headers():get("x-host"), true) end
        end""")
    servers[0].stop()
    error = caller.refused(metadata=[("x-host", servers[0].address)])
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "no healthy upstream")
    assert {caller.unary().backend for _ in range(6)} <= {"b", "c"}


def test_a_strict_override_holds_for_further_attempts_too(three):
    proxy, caller, servers = three("""
        function envoy_on_request(h) h:setUpstreamOverrideHost(h:headers():get("x-host"), true) end""",
        retry={"on": ["unavailable"], "backoff": {"initial": "1ms"}})
    error = caller.refused(Order(code=14, message="not now"), metadata=[("x-host", servers[1].address)])
    assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "not now")
    assert proxy.metric("moongate_retries_total", route="all") == 2


def test_hash_key_keeps_callers_on_their_endpoint(three):
    _, caller, _ = three("""function on_request(h) h:setHashKey(h:headers():get("x-user")) end""")
    homes = {}
    for user in range(40):
        found = {caller.unary(metadata=[("x-user", f"u{user}")]).backend for _ in range(3)}
        assert len(found) == 1
        homes[user] = found.pop()
    assert set(homes.values()) == {"a", "b", "c"}


def test_upstreams_lists_endpoints_with_health_and_load(three):
    proxy, caller, servers = three("""
        function on_request(h)
          if not h:headers():has("x-report") then return end
          local out = {}
          for _, e in ipairs(h:upstreams("main")) do
            out[#out + 1] = table.concat({e.endpoint, e.weight, tostring(e.healthy), e.active}, " ")
          end
          h:respond({[":status"] = "403"}, table.concat(out, ";"))
        end""")
    servers[2].stop()
    for _ in range(8):
        caller.unary()

    def report():
        return dict(line.split(" ", 1) for line in caller.refused(metadata=[("x-report", "1")]).details().split(";"))

    eventually(lambda: report()[servers[2].address] == "1 false 0", 5, what="the stopped server to be unhealthy")
    assert report()[servers[0].address] == "1 true 0"


def test_canary_splits_by_weight_and_keeps_sticky_callers(moongate, backends, client):
    stable, canary = backends("stable", "canary")
    proxy = moongate(
        configuration(upstreams={"stable": [stable.address], "canary": [canary.address]},
                      routes=[route("stable", policies=["policies/p.lua"])]),
        policies={"p.lua": """
            function on_request(h)
              local user = h:headers():get("x-user")
              h:headers():add("x-chosen", h:canary{ {"stable", 80}, {"canary", 20}, sticky = user })
            end"""})
    caller = client(proxy.address)
    counts = {"stable": 0, "canary": 0}
    for user in range(100):
        reports = [caller.unary(metadata=[("x-user", f"user-{user}")]) for _ in range(2)]
        assert reports[0].backend == reports[1].backend
        assert seen_metadata(reports[0])["x-chosen"] == [reports[0].backend.encode()]
        counts[reports[0].backend] += 1
    assert 5 <= counts["canary"] <= 40, counts


def test_timeout_of_a_policy_ends_the_call_but_never_lengthens_the_callers(scripted):
    _, caller = scripted(
        """function on_request(h) h:setTimeout(tonumber(h:headers():get("x-timeout"))) end""", timeout="10s")
    short = caller.refused(Order(delay_ms=3000), metadata=[("x-timeout", "150")])
    assert short.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    report = caller.unary(Order(), timeout=5, metadata=[("x-timeout", "60000")])
    assert 0 < report.time_remaining < 6
    # 0 lifts the route's limit; the caller's own stays away because it gave none.
    assert caller.unary(Order(), timeout=None, metadata=[("x-timeout", "0")]).time_remaining > 1e9      # none


# Tools


def test_C90_signatures_of_another_library_are_verified(scripted):
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    _, caller = scripted(f"""
        local DER = "{base64.b64encode(der).decode()}"
        function envoy_on_request(h)
          local der = h:base64Decode(DER)
          local key = h:importPublicKey(der, #der):get()
          local signature, data = h:grpcMetadata("x-signature-bin"), h:headers():get("x-data")
          local good, why = h:verifySignature("sha256", key, signature, #signature, data, #data)
          h:headers():add("x-good", tostring(good) .. " " .. tostring(why))
        end""")
    signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))

    def verdict(data):
        report = caller.unary(metadata=[("x-signature-bin", signature), ("x-data", data)])
        return seen_metadata(report)["x-good"]

    assert verdict("message") == [b"true nil"]
    assert verdict("other") == [b"false Failed to verify digest. Error code: 0"]


# What scripts may put on the wire


@pytest.mark.parametrize("call", [
    'add("x-a", "a\\r\\nx-b: c")', 'add("x-a", "a\\0b")', 'replace("x-a", "a\\nb")', 'add("bad header", "x")',
    'add("connection", "close")', 'add("transfer-encoding", "chunked")', 'add("te", "gzip")', 'add(":status", "200")',
    'add(":new", "x")', 'add("", "x")', 'add("x-a", ("x"):rep(1100000))', 'add("content-length", "+5")',
    'add("content-length", "5, 5")', 'replace(":path", "nowhere")', 'replace(":authority", "a@b")',
])
def test_nothing_malformed_leaves_the_proxy(scripted, backend, call):
    _, caller = scripted(f"function on_request(h) h:headers():{call} end")
    assert caller.refused().code() is grpc.StatusCode.INTERNAL
    assert not backend.count()


def test_the_answer_of_a_policy_to_head_has_no_body(moongate, upstream, connect):
    """RFC 9110 §9.3.2: its length is that of the answer to GET."""
    server = upstream()
    denies = {"name": "denies", "lua": 'function on_request(h) h:respond({[":status"] = "403"}, "denied") end'}
    client = connect(moongate(configuration(server.address, routes=[route(policies=[denies])])).address)
    frames = client.call(request("/", method="HEAD", content_type=""))
    assert [frame.type for frame in frames] == ["Headers"] and frames[0].ends_stream
    assert frames[0].get(":status") == "403" and frames[0].get("content-length") == "6"


def test_names_go_out_in_lower_case_and_large_values_whole(scripted):
    _, caller = scripted("""
        function on_request(h)
          h:headers():add("X-Upper", "1")
          h:headers():add("x-large", ("x"):rep(200000))
        end""")
    seen = seen_metadata(caller.unary())
    assert seen["x-upper"] == [b"1"] and len(seen["x-large"][0]) == 200000
