"""Settings of routes, what a script learns of its route and connection, and where it sends a request."""
import json
import os
import ssl

import pytest

from harness import envoy as settings_of
from harness.compat import ENVOY_ONLY, differs, lua
from harness.envoy import Envoy
from harness.frame_client import FrameClient, trusting_context
from harness.frame_upstream import FrameUpstream, answer_ok
from harness.lua_texts import FAILURE
from harness.proxy import Moongate, run_command
from harness.recording import outcome
from harness.settings import configuration, text
from harness.waiting import eventually

# Shows where each value comes from, on the request and on the response.
DEFAULT = """
local function show(h)
  local headers = h:headers()
  headers:add("x-script", "default")
  headers:add("x-context", tostring((h:filterContext():get("who"))))
  headers:add("x-metadata", tostring((h:metadata():get("from"))))
  headers:add("x-route", tostring((h:route():metadata():get("from"))))
  headers:add("x-host", tostring((h:virtualHost():metadata():get("from"))))
  for key in pairs(h:virtualHost():metadata()) do headers:add("x-host-keys", key) end
end
function envoy_on_request(h) show(h) end
function envoy_on_response(h) show(h) end
"""
HELLO = 'function envoy_on_request(h) h:headers():add("x-script", "hello") end'
INLINE = 'function envoy_on_request(h) h:headers():add("x-script", "inline") end'
SHOWN = ("x-script", "x-context", "x-metadata", "x-route", "x-host")


def envoy_with_a_script_for_all(folder, upstream):
    """A filter with a script of its own, whose routes have their own settings."""
    own = {
        "plain": {}, "disabled": {"disabled": True}, "named": {"name": "hello"}, "unknown": {"name": "nope"},
        "inline": {"source_code": {"inline_string": INLINE}}, "context": {"filter_context": {"who": "route"}},
        "empty": {"filter_context": {}},
    }
    metadata = {"own": {"script.main": {"from": "own name"}, "envoy.filters.http.lua": {"from": "usual name"}},
                "usual": {"envoy.filters.http.lua": {"from": "usual name"}}}
    routes = [{"match": {"prefix": f"/{name}"}, "route": {"cluster": "main"}, "metadata": {
        "filter_metadata": metadata.get(name, {})}, "typed_per_filter_config": {
            "script.main": settings_of.per_route(**own[name])} if own.get(name) is not None and own[name] != {} else {}}
        for name in (*own, *metadata)]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes, "metadata": {
        "filter_metadata": {"script.main": {"from": "virtual host"}}}}]
    lua_filter = {
        "default_source_code": {"inline_string": DEFAULT}, "source_codes": {"hello": {"inline_string": HELLO}},
        "filter_context": {"who": "filter"}}
    listener = settings_of.listener("main", hosts, lua=lua_filter, filter_name="script.main")
    return Envoy(folder, settings_of.bootstrap([listener], [settings_of.cluster("main", [upstream])]))


def moongate_with_a_policy_for_all(folder, upstream):
    """The same with a policy of the listener."""
    off = {"policy": "script.main", "disabled": True}
    own = {
        "plain": {}, "disabled": {"policies": [off]}, "named": {"policies": [off, "policies/hello.lua"]},
        "unknown": {"policies": [off]}, "inline": {"policies": [off, {"name": "inline", "lua": INLINE}]},
        "context": {"filter_context": {"who": "route"}}, "empty": {"filter_context": {}},
        "own": {"metadata": {"script.main": {"from": "own name"}, "envoy.filters.http.lua": {"from": "usual name"}}},
        "usual": {"metadata": {"envoy.filters.http.lua": {"from": "usual name"}}},
    }
    routes = [{"name": name, "match": {"path_prefix": f"/{name}"}, "upstream": "main", **more}
              for name, more in own.items()]
    listeners = [{"name": "main", "address": "127.0.0.1:0", "metadata": {"script.main": {"from": "virtual host"}},
                  "policies": [{"policy": "policies/default.lua", "name": "script.main", "on_error": "continue",
                                "settings": {"who": "filter"}}]}]
    return Moongate(folder, configuration(upstream, routes=routes, listeners=listeners),
                    policies={"default.lua": DEFAULT, "hello.lua": HELLO})


@pytest.fixture(scope="module")
def scripted(tmp_path_factory):
    """`scripted(path)`: what the upstream saw and the client got of the headers that DEFAULT adds, by proxy."""
    upstream = FrameUpstream(answer_ok)
    folder = tmp_path_factory.mktemp("scripted")
    kinds = [envoy_with_a_script_for_all] + ([] if ENVOY_ONLY else [moongate_with_a_policy_for_all])
    running = [kind(folder / kind.__name__, upstream.address) for kind in kinds]

    def shown(path):
        found = []
        for process in running:
            client = FrameClient(process.bound["main"])
            head = [(":method", "GET"), (":scheme", "http"), (":authority", "some.test"), (":path", path)]
            got = outcome(client.call(head))
            client.close()
            found.append(({name: got[f"x-seen-{name}"] for name in SHOWN}, {name: got[name] for name in SHOWN},
                          got.headers.all("x-host-keys")))
        return found

    yield shown
    for process in running:
        process.stop()
    upstream.close()


def same(scripted, path, script="default", **expected):
    """Both proxies show this, and the hook of the response shows what that of the request did."""
    wanted = {"x-script": script, "x-context": "filter", "x-metadata": "nil", "x-route": "nil", "x-host": "virtual host",
              **{f"x-{name}": value for name, value in expected.items()}} if script else dict.fromkeys(SHOWN)
    if script not in ("default", None):
        wanted = {**dict.fromkeys(SHOWN), "x-script": script}
    for request, response, _ in scripted(path):
        assert request == wanted
        assert response == (wanted if script == "default" else dict.fromkeys(SHOWN))


def test_C76_metadata_goes_by_the_name_of_the_filter_and_then_by_the_usual_one(scripted):
    same(scripted, "/own", metadata="own name", route="own name")
    assert [request["x-metadata"] for request, _, _ in scripted("/usual")] == ["usual name"] * len(scripted("/usual"))
    same(scripted, "/plain")


@differs("names-of-metadata")
def test_route_and_virtual_host_know_the_usual_name_too(scripted):
    assert [request["x-route"] for request, _, _ in scripted("/usual")] == (
        ["nil"] if ENVOY_ONLY else ["nil", "usual name"])


def test_C81_virtual_host_and_route_where_there_is_none(scripted):
    for _, response, keys in scripted("/nowhere"):
        assert response["x-script"] == "default" and response["x-route"] == "nil" and response["x-metadata"] == "nil"
        assert keys in ([], ["from"])


def test_C82_context_of_the_route_over_that_of_the_filter(scripted):
    same(scripted, "/plain", context="filter")
    same(scripted, "/context", context="route")
    same(scripted, "/empty", context="nil")


@differs("unknown-names")
def test_names_that_no_script_has(scripted, tmp_path):
    same(scripted, "/unknown", script=None)         # Moongate's route switches the policy off
    if ENVOY_ONLY:
        return
    file = tmp_path / "moongate.yaml"
    routes = [{"name": "all", "upstream": "main", "policies": [{"policy": "nope"}]}]
    file.write_text(text(configuration("127.0.0.1:1", routes=routes)), encoding="utf-8")
    done = run_command("check", "--config", file)
    assert done.returncode and "nope" in done.stderr


def test_C87_scripts_per_route(scripted):
    same(scripted, "/plain")
    same(scripted, "/disabled", script=None)
    same(scripted, "/named", script="hello")
    same(scripted, "/inline", script="inline")


# C88

def counting(word):
    return f"""
    n = 0
    function envoy_on_request(h)
      n = n + 1
      h:headers():add("x-script", "{word}" .. n)
    end
    """


def test_C88_routes_are_replaced_while_running(tmp_path, moongate, upstream):
    server = upstream(answer_ok)

    def table(word):
        return {"@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", "name": "main", "virtual_hosts": [
            {"name": "all", "domains": ["*"], "routes": [
                {"match": {"prefix": path}, "route": {"cluster": "main"}, "typed_per_filter_config": {
                    "envoy.filters.http.lua": settings_of.script(text)}}
                for path, text in (("/changed", counting(word)), ("/kept", counting("kept")))]}]}

    def put(word):
        (tmp_path / "routes.new").write_text(json.dumps({"resources": [table(word)]}), encoding="utf-8")
        os.replace(tmp_path / "routes.new", tmp_path / "routes.json")

    put("one")
    listener = settings_of.listener("main", [], routes_file=str(tmp_path / "routes.json"))
    clusters = [settings_of.cluster("main", [server.address])]
    processes = [Envoy(tmp_path / "envoy", settings_of.bootstrap([listener], clusters))]
    changes = [lambda: put("two")]
    if not ENVOY_ONLY:
        routes = [{"name": name, "match": {"path_prefix": f"/{name}"}, "upstream": "main",
                   "policies": [f"policies/{name}.lua"]} for name in ("changed", "kept")]
        processes.append(moongate(configuration(server.address, routes=routes), policies={
            "changed.lua": counting("one"), "kept.lua": counting("kept")}))
        changes.append(lambda: processes[1].write("policies/changed.lua", counting("two")))
    try:
        for process, change in zip(processes, changes, strict=True):
            client = FrameClient(process.bound["main"])

            def ask(path, client=client):
                head = [(":method", "GET"), (":scheme", "http"), (":authority", "some.test"), (":path", path)]
                return outcome(client.call(head))["x-seen-x-script"]

            assert (ask("/changed"), ask("/kept")) == ("one1", "kept1")
            change()
            eventually(lambda ask=ask: ask("/changed").startswith("two"), 10, what="the new script runs")
            assert ask("/kept").startswith("kept") and ask("/changed").startswith("two")
            client.close()
    finally:
        processes[0].stop()


# C85

GETTERS = {
    "peerCertificatePresented": "false", "peerCertificateValidated": "false", "uriSanLocalCertificate": "{}",
    "dnsSansLocalCertificate": "{edge.test,other.test}", "sha256PeerCertificateDigest": "",
    "serialNumberPeerCertificate": "", "issuerPeerCertificate": "", "subjectPeerCertificate": "",
    "uriSanPeerCertificate": "{}", "subjectLocalCertificate": "CN=edge.test", "oidsPeerCertificate": "{}",
    "oidsLocalCertificate": "{2.5.29.17,2.5.29.19}", "urlEncodedPemEncodedPeerCertificate": "", "dnsSansPeerCertificate": "{}",
    "urlEncodedPemEncodedPeerCertificateChain": "", "validFromPeerCertificate": "0", "expirationPeerCertificate": "0",
    "sessionId": "", "ciphersuiteId": "0x1302", "ciphersuiteString": "TLS_AES_256_GCM_SHA384", "tlsVersion": "TLSv1.3",
    "parsedSubjectPeerCertificate": "nil",
}
TLS_SCRIPT = FAILURE + """
local function text(value)
  if type(value) == "table" then return "{" .. table.concat(value, ",") .. "}" end
  return tostring(value)
end
function envoy_on_request(h)
  local headers = h:headers()
  for _, name in ipairs{""" + ", ".join(f'"{name}"' for name in GETTERS) + """} do
    headers:add("x-" .. name, text((h:streamInfo():downstreamSslConnection()[name](h:streamInfo():downstreamSslConnection()))))
  end
  headers:add("x-same", tostring(h:streamInfo():downstreamSslConnection() == h:streamInfo():downstreamSslConnection()))
  headers:add("x-ssl", h:connection():ssl():tlsVersion())
  headers:add("x-name", h:streamInfo():requestedServerName())
end
function envoy_on_response(h)
  h:headers():add("x-version", h:streamInfo():downstreamSslConnection():tlsVersion())
end
"""


def test_C85_tls_of_the_connection(tmp_path, moongate, upstream, certificate):
    made = certificate("edge", ["edge.test", "other.test"])
    server = upstream(answer_ok)
    files = {"certificate_chain": {"filename": str(made.certificate)}, "private_key": {"filename": str(made.key)}}
    host = {"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "main"},
         "typed_per_filter_config": {"envoy.filters.http.lua": settings_of.script(TLS_SCRIPT)}}]}
    listener = settings_of.listener("main", [host], tls={"common_tls_context": {
        "alpn_protocols": ["h2"], "tls_certificates": [files], "tls_params": {
            "tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}}})
    processes = [Envoy(tmp_path / "envoy", settings_of.bootstrap(
        [listener], [settings_of.cluster("main", [server.address])]))]
    if not ENVOY_ONLY:
        listeners = [{"name": "main", "address": "127.0.0.1:0", "tls": {"certificates": [made.setting()]}}]
        routes = [{"name": "all", "upstream": "main", "policies": [{"policy": "policies/p.lua", "on_error": "continue"}]}]
        processes.append(moongate(configuration(server.address, routes=routes, listeners=listeners),
                                  policies={"p.lua": TLS_SCRIPT}))
    try:
        for process in processes:
            tls = trusting_context(minimum=ssl.TLSVersion.TLSv1_3)
            client = FrameClient(process.bound["main"], tls=tls, server_name="edge.test")
            head = [(":method", "GET"), (":scheme", "https"), (":authority", "edge.test"), (":path", "/")]
            got = outcome(client.call(head))
            client.close()
            assert {name: got[f"x-seen-x-{name.lower()}"] for name in GETTERS} == GETTERS
            assert got["x-seen-x-same"] == "true" and got["x-seen-x-name"] == "edge.test"
            assert got["x-seen-x-ssl"] == got["x-version"] == "TLSv1.3"
    finally:
        processes[0].stop()


@lua("""
function envoy_on_request(h)
  h:headers():add("x-ssl", tostring((h:connection():ssl())))
  h:headers():add("x-info", tostring((h:streamInfo():downstreamSslConnection())))
end
""")
def test_C85_there_is_no_tls_on_a_plain_connection(both):
    seen = both.call().seen
    assert seen["x-ssl"] == "nil" and seen["x-info"] == "nil"


# C86 and C89

@lua("""function envoy_on_request(h) h:streamInfo():drainConnectionUponCompletion() end""", path="/request")
@lua("""function envoy_on_response(h) h:streamInfo():drainConnectionUponCompletion() end""", path="/response")
@pytest.mark.parametrize("path", ["/request", "/response"])
def test_C86_the_connection_is_drained_after_the_response(both, path):
    def drained(edge):
        for server in edge.upstreams.values():
            server.begin()
        client = edge.connect()
        got = outcome(client.call(edge.head(path)))
        away = client.expect("GoAway")
        return got.status, got.body, away.code

    assert both.each(drained) == (200, b"hello", 0)


@lua("""
function envoy_on_request(h)
  local strict = h:headers():get("x-strict")
  h:setUpstreamOverrideHost(h:headers():get("x-endpoint"), strict == "yes")
end
""", upstream="pair")
def test_C89_an_endpoint_of_the_upstream_is_chosen(both):
    def chosen(edge):
        found = []
        for name in ("main", "other", "other", "main", "main"):
            got = edge.call(headers=[("x-endpoint", edge.upstreams[name].address)])
            found.append((got.status, list(got.upstreams)))
        return found

    assert both.each(chosen) == [(200, [name]) for name in ("main", "other", "other", "main", "main")]

    def absent(edge, strict):
        got = edge.call(headers=[("x-endpoint", edge.nobody), ("x-strict", strict)])
        return got.status, len(got.upstreams)

    assert both.each(lambda edge: absent(edge, "no")) == (200, 1)
    assert both.each(lambda edge: absent(edge, "yes")) == (503, 0)


@lua(FAILURE + """
function envoy_on_request(h)
  for _, host in ipairs{"", "example.com", "127.0.0.1:x", "1.2.3", "127.0.0.1:99999", "[::1]:80", "::1", "10.0.0.1"} do
    h:logInfo(failure(function() h:setUpstreamOverrideHost(host) end))
  end
  h:logInfo(failure(function() h:setUpstreamOverrideHost() end))
  h:logInfo(failure(function() h:setUpstreamOverrideHost({}) end))
  h:logInfo(failure(function() h:setUpstreamOverrideHost("127.0.0.1", "yes") end))
  h:logInfo(failure(function() h:setUpstreamOverrideHost("127.0.0.1", 1) end))
end
function envoy_on_response(h)
  h:setUpstreamOverrideHost("127.0.0.1:1", true)
  h:headers():add("x-no-op", "1")
end
""")
def test_C89_what_is_no_endpoint_raises(both):
    assert both.call()["x-no-op"] == "1"
    wrong, fine = "host is not a valid IP address", "none"
    both.logs(*[("info", text) for text in (
        *[wrong] * 5, fine, wrong, fine, "bad argument #1 to 'setUpstreamOverrideHost' (string expected, got no value)",
        "bad argument #1 to 'setUpstreamOverrideHost' (string expected, got table)",
        "bad argument #2 to 'setUpstreamOverrideHost' (boolean expected, got string)",
        "bad argument #2 to 'setUpstreamOverrideHost' (boolean expected, got number)")])


@lua(FAILURE + """
function envoy_on_request(h)
  local state = h:streamInfo():filterState()
  h:headers():add("x-none", tostring((state:get("nothing"))))
  state:set("my.key", "envoy.string", "value")
  h:headers():add("x-value", tostring((state:get("my.key"))))
end
function envoy_on_response(h)
  h:headers():add("x-value", tostring((h:streamInfo():filterState():get("my.key"))))
end
""")
def test_filter_state_goes_from_the_request_to_the_response(both):
    got = both.call()
    assert got.seen["x-none"] == "nil" and got.seen["x-value"] == "value" and got["x-value"] == "value"
