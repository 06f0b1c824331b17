"""Metadata and settings per route, the connection, and the choice of the endpoint."""
import base64
import ssl

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from harness import envoy as settings_of
from harness.compat import differs, lua
from harness.envoy import Envoy
from harness.frame_client import FrameClient, trusting_context
from harness.lua_texts import FAILURE
from harness.recording import RecordingUpstream
from harness.settings import configuration, route


@pytest.fixture
def upstream():
    server = RecordingUpstream()
    yield server
    server.close()


def signed():
    """A public key and its signature of `message`, in Base64."""
    key = rsa.generate_private_key(65537, 2048)
    der = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(b"message", padding.PKCS1v15(), hashes.SHA256())
    return tuple(base64.b64encode(octets).decode() for octets in (der, signature))


SIGNED = signed()

COUNT = """
local function count(metadata)
  local number = 0
  for _ in pairs(metadata) do number = number + 1 end
  return number
end
"""


@lua(COUNT + """
function envoy_on_request(h)
  local route, host = h:route():metadata(), h:virtualHost():metadata()
  h:headers():add("x-counts", count(route) .. count(host))
  h:headers():add("x-got", tostring((route:get("user"))) .. tostring((host:get("user"))))
end
""", path="/some", metadata={"user": "ada", "level": 3})
@lua(COUNT + """
function envoy_on_request(h)
  h:headers():add("x-counts", count(h:route():metadata()) .. count(h:virtualHost():metadata()))
end
""", path="/empty")
def test_C81_route_and_virtual_host_have_metadata_or_none(both):
    some = both.call(path="/some").seen
    assert (some["x-counts"], some["x-got"]) == ("20", "adanil")
    assert both.call(path="/empty").seen["x-counts"] == "00"


@lua(COUNT + FAILURE + """
function envoy_on_request(h)
  local context, headers = h:filterContext(), h:headers()
  headers:add("x-got", context:get("plan") .. #context:get("list") .. context:get("list")[2] .. context:get("map").a)
  headers:add("x-none", tostring((context:get("none"))) .. count(context))
  headers:add("x-text", failure(function() context:set("a", "b") end):sub(1, 10))
end
function envoy_on_response(h) h:headers():add("x-got", h:filterContext():get("plan")) end
""", path="/some", context={"plan": "pro", "list": ["a", 5], "map": {"a": True and "b"}})
@lua(COUNT + """
function envoy_on_request(h) h:headers():add("x-counts", count(h:filterContext())) end
""", path="/empty", context={})
@lua(COUNT + """
function envoy_on_request(h) h:headers():add("x-counts", count(h:filterContext())) end
""", path="/none")
def test_C82_filter_context_of_the_route(both):
    some = both.call(path="/some")
    assert (some.seen["x-got"], some.seen["x-none"], some["x-got"]) == ("pro25b", "nil3", "pro")
    assert some.seen["x-text"] == "attempt to"
    assert both.call(path="/empty").seen["x-counts"] == both.call(path="/none").seen["x-counts"] == "0"


@lua("""
function envoy_on_request(h)
  h:headers():add("x-ssl", tostring((h:connection():ssl())) .. tostring((h:streamInfo():downstreamSslConnection())))
  h:headers():add("x-typed", tostring((h:streamInfo():dynamicTypedMetadata("none"))))
  h:headers():add("x-connection", tostring((h:connectionStreamInfo():dynamicMetadata():get("none"))))
  h:headers():add("x-connection", tostring((h:connectionStreamInfo():dynamicTypedMetadata("none"))))
  h:headers():add("x-cluster", "[" .. tostring((h:streamInfo():virtualClusterName())) .. "]")
end
""")
def test_C85_there_is_no_tls_object_in_cleartext(both):
    seen = both.call().seen
    assert seen["x-ssl"] == "nilnil" and seen["x-typed"] == "nil" and seen["x-cluster"] == "[]"


GETTERS = """
function envoy_on_response(h)
  local ssl = h:streamInfo():downstreamSslConnection()
  for _, name in ipairs{"peerCertificatePresented", "peerCertificateValidated", "sha256PeerCertificateDigest",
      "serialNumberPeerCertificate", "issuerPeerCertificate", "subjectPeerCertificate", "subjectLocalCertificate",
      "urlEncodedPemEncodedPeerCertificate", "urlEncodedPemEncodedPeerCertificateChain", "ciphersuiteId",
      "ciphersuiteString", "tlsVersion", "parsedSubjectPeerCertificate", "validFromPeerCertificate",
      "expirationPeerCertificate", "uriSanLocalCertificate", "uriSanPeerCertificate", "dnsSansPeerCertificate",
      "dnsSansLocalCertificate", "oidsPeerCertificate", "oidsLocalCertificate"} do
    local value = ssl[name](ssl)
    if type(value) == "table" then value = #value .. table.concat(value, ",") end
    h:headers():add("x-" .. name, type(value) .. "[" .. tostring(value) .. "]")
  end
  h:headers():add("x-session", type(ssl:sessionId()))
  h:headers():add("x-same", tostring(h:connection():ssl():tlsVersion() == ssl:tlsVersion()))
end
"""


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_C85_getters_of_a_connection_without_client_certificate(moongate, upstream, tmp_path, certificate, version):
    one = certificate("one", ["a.example", "b.example"])
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": "main"}}]
    files = {"certificate_chain": {"filename": str(one.certificate)}, "private_key": {"filename": str(one.key)}}
    tls = {"common_tls_context": {"tls_certificates": [files], "alpn_protocols": ["h2"]}}
    process = Envoy(tmp_path, settings_of.bootstrap(
        [settings_of.listener("main", [{"name": "all", "domains": ["*"], "routes": routes}],
                              lua={"default_source_code": {"inline_string": GETTERS}}, tls=tls)],
        [settings_of.cluster("main", [upstream.address])]))
    proxy = moongate(configuration(
        upstream.address, routes=[route(policies=[{"name": "getters", "lua": GETTERS}])],
        listeners=[{"name": "main", "address": "127.0.0.1:0", "tls": {"certificates": [one.setting()]}}]))

    def got(address):
        context = trusting_context(minimum=version, maximum=version)
        # Both would choose, each to its own taste.
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        client = FrameClient(address, tls=context, server_name="b.example")
        try:
            frames = client.call([(":method", "GET"), (":scheme", "https"), (":authority", "a.test"), (":path", "/")])
        finally:
            client.close()
        head = next(frame for frame in frames if frame.type == "Headers")
        names = [name for name, _ in head.headers if name.startswith("x-")]
        return {name: head.get(name) for name in names if not name.startswith("x-envoy")}

    try:
        expected = got(process.bound["main"])
    finally:
        process.stop()
    seen = got(proxy.address)
    if version == ssl.TLSVersion.TLSv1_3:      # the program that speaks chooses among three
        for name in ("x-ciphersuiteid", "x-ciphersuitestring"):
            assert expected.pop(name)[:13] == seen.pop(name)[:13]
    assert seen == expected
    assert seen["x-dnssanslocalcertificate"] == "string[2a.example,b.example]" and seen["x-same"] == "true"


@differs("arguments-in-errors")
@lua(FAILURE + """
function envoy_on_request(h)
  local state = h:streamInfo():filterState()
  state:set("key", "envoy.string", "value")
  state:set("number", "envoy.string", 5)
  h:headers():add("x-got", state:get("key") .. state:get("number") .. tostring((state:get("none"))))
  h:headers():add("x-field", tostring((state:get("key", "field"))))
  h:headers():add("x-text", failure(function() state:set("key", "nope", "value") end))
  h:headers():add("x-text", failure(function() state:set("key", "envoy.string") end))
end
function envoy_on_response(h) h:headers():add("x-got", h:streamInfo():filterState():get("key")) end
""")
def test_C80_filter_state(both):
    envoy, moongate = both.apart()
    for got in (envoy, moongate):
        assert got.seen["x-got"] == "value5nil" and got["x-got"] == "value" and got.seen["x-field"] == "nil"
    texts = [text.replace("nope", "(hidden)") for text in envoy.seen.headers.all("x-text")]
    assert texts == moongate.seen.headers.all("x-text")


@lua("""
function envoy_on_request(h) h:streamInfo():drainConnectionUponCompletion() end
""")
def test_C86_drain_connection_upon_completion(both):
    def drained(edge):
        client = edge.connect()
        stream = client.open(edge.head(), end_stream=True)
        client.end(stream)
        client.wait_for(lambda frame: frame.type == "GoAway", 5, "GOAWAY")
        return [frame.get(":status") for frame in client.of_stream(stream) if frame.type == "Headers"]

    assert both.each(drained) == ["200"]


@lua("""
function envoy_on_request(h)
  local host = h:headers():get("x-host")
  h:headers():remove("x-host")
  if host then h:setUpstreamOverrideHost(host, h:headers():get("x-strict") == "yes") end
end
function envoy_on_response(h) h:setUpstreamOverrideHost("10.0.0.1:80", true) end
""")
def test_C89_override_host(both):
    def pinned(edge):
        return edge.call(headers=[("x-host", edge.upstreams["main"].address), ("x-strict", "yes")])

    assert both.each(pinned).status == 200
    assert both.call(headers=[("x-host", "127.0.0.1:1"), ("x-strict", "no")]).status == 200
    absent = both.call(headers=[("x-host", "127.0.0.1:1"), ("x-strict", "yes")], grpc=True)
    assert (absent["grpc-status"], absent["grpc-message"]) == ("14", "no healthy upstream")
    both.errors(0)


@lua(FAILURE + """
function envoy_on_request(h)
  local function text(f) h:headers():add("x-text", failure(f)) end
  text(function() h:setUpstreamOverrideHost("name:80") end)
  text(function() h:setUpstreamOverrideHost("") end)
  text(function() h:setUpstreamOverrideHost() end)
  text(function() h:setUpstreamOverrideHost(nil) end)
  text(function() h:setUpstreamOverrideHost({}) end)
  text(function() h:setUpstreamOverrideHost("10.0.0.1", "yes") end)
  text(function() h:setUpstreamOverrideHost("10.0.0.1", 1) end)
  text(function() h:setUpstreamOverrideHost(5) end)
end
""")
def test_C89_hosts_that_are_none(both):
    texts = both.call().seen.headers.all("x-text")
    assert texts[0] == texts[1] == "host is not a valid IP address"
    assert texts[2] == "bad argument #1 to 'setUpstreamOverrideHost' (string expected, got no value)"
    assert texts[5] == "bad argument #2 to 'setUpstreamOverrideHost' (boolean expected, got string)"


@lua(FAILURE + """
local DER, SIGNATURE = "%s", "%s"
function envoy_on_request(h)
  local headers, der, signature = h:headers(), h:base64Decode(DER), h:base64Decode(SIGNATURE)
  local key = h:importPublicKey(der, #der):get()
  headers:add("x-key", type(key))
  local function verify(hash, key, signature, data)
    local good, why = h:verifySignature(hash, key, signature, #signature, data, #data)
    headers:add("x-good", tostring(good) .. "," .. tostring(why))
  end
  verify("sha256", key, signature, "message")
  verify("SHA256", key, signature, "message")
  verify("sha512", key, signature, "message")
  verify("sha256", key, signature, "other")
  verify("sha256", key, "0000", "message")
  verify("unknown", key, signature, "message")
  headers:add("x-text", failure(function() verify("sha256", "none", signature, "message") end))
end
""" % SIGNED)
def test_C90_public_keys_and_signatures(both):
    seen = both.call().seen
    assert seen["x-key"] == "string"
    assert seen.headers.all("x-good")[0] == "true,nil"
    assert seen.headers.all("x-good")[-1] == "false,unknown is not supported."
    assert seen["x-text"] == "invalid public key"


STAMP = "function envoy_on_request(h) h:headers():add('x-ran', '%s') end"


def ran(address, server, path):
    """What the scripts wrote into the request that came to the upstream."""
    server.begin()
    client = FrameClient(address)
    try:
        client.call([(":method", "GET"), (":scheme", "http"), (":authority", "a.test"), (":path", path)])
    finally:
        client.close()
    return [value for seen in server.seen() for value in seen.headers.all("x-ran")]


PATHS = ["/disabled", "/named", "/inline", "/default"]
EXPECTED = [[], ["named"], ["inline"], ["default"]]


def test_C87_which_script_a_route_has_in_envoy(tmp_path, upstream):
    inline = {"inline_string": STAMP % "inline"}
    kinds = {"/disabled": {"disabled": True}, "/named": {"name": "named.lua"}, "/inline": {"source_code": inline}}
    routes = [{"match": {"prefix": path}, "route": {"cluster": "main"}, "typed_per_filter_config": {
        "envoy.filters.http.lua": settings_of.per_route(**kinds[path])} if path in kinds else {}} for path in PATHS]
    listener = settings_of.listener("main", [{"name": "all", "domains": ["*"], "routes": routes}], lua={
        "default_source_code": {"inline_string": STAMP % "default"},
        "source_codes": {"named.lua": {"inline_string": STAMP % "named"}}})
    process = Envoy(tmp_path, settings_of.bootstrap(
        [listener], [settings_of.cluster("main", [upstream.address])]))
    try:
        assert [ran(process.bound["main"], upstream, path) for path in PATHS] == EXPECTED
    finally:
        process.stop()


@differs("unknown-names")
def test_C87_which_script_a_route_has_here(moongate, upstream):
    listeners = [{"name": "main", "address": "127.0.0.1:0", "policies": [
        {"policy": "policies/default.lua", "name": "default"}]}]
    off = {"policy": "default", "disabled": True}
    kinds = {"/disabled": [off], "/named": [off, "policies/named.lua"],
             "/inline": [off, {"name": "inline", "lua": STAMP % "inline"}], "/default": []}
    routes = [route(name=path[1:], match={"path_prefix": path}, policies=policies) for path, policies in kinds.items()]
    proxy = moongate(
        configuration(upstream.address, listeners=listeners, routes=routes),
        policies={"default.lua": STAMP % "default", "named.lua": STAMP % "named"})
    assert [ran(proxy.address, upstream, path) for path in PATHS] == EXPECTED
    # A name that nothing has is a mistake here, where Envoy runs no script at all.
    listeners[0]["policies"] = []
    proxy.configure(configuration(upstream.address, listeners=listeners, routes=routes))
    assert "no policy of the route's listeners is called" in proxy.refused_reload()


def test_C88_a_reload_swaps_scripts_of_one_route_without_touching_others(moongate, upstream):
    def settings(text):
        routes = [route(name=name, match={"path_prefix": f"/{name}"}, policies=[{"name": name, "lua": source}])
                  for name, source in (("one", text), ("two", STAMP % "two"))]
        return configuration(upstream.address, routes=routes)

    proxy = moongate(settings(STAMP % "old"))
    assert [ran(proxy.address, upstream, path) for path in ("/one", "/two")] == [["old"], ["two"]]
    before = proxy.generation()
    proxy.configure(settings(STAMP % "new"))
    proxy.wait_generation(before + 1)
    assert [ran(proxy.address, upstream, path) for path in ("/one", "/two")] == [["new"], ["two"]]
