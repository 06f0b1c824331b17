"""TLS towards upstreams: trust, names, certificates of our own, resumption, and what callers are told of failures."""
import json
import socket
import ssl
import time

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from harness.backend import Backend
from harness.client import OpenMessages
from harness.frame_upstream import answer_ok
from harness.proxy import run_command
from harness.settings import configuration, text
from harness.stubs import Order
from harness.waiting import eventually


def credentials(server, clients_of=None):
    return grpc.ssl_server_credentials(
        [(server.key_pem, server.pem)], clients_of.pem if clients_of else None, clients_of is not None)


@pytest.fixture
def secure():
    """Starts grpcio servers with TLS: `secure(certificate, clients_of=authority)`."""
    started = []

    def start(server, clients_of=None, **options):
        started.append(Backend("secure", credentials=credentials(server, clients_of), **options))
        return started[-1]

    yield start
    for server in started:
        server.stop()


def server_context(server, protocols=("h2",), maximum=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server.certificate, server.key)
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if maximum:
        context.maximum_version = maximum
    return context


def over_tls(address, /, **tls):
    """A configuration whose upstream is reached over TLS."""
    return configuration(upstreams={"main": {"endpoints": [address], "tls": tls}})


@pytest.fixture
def refused(moongate, client):
    """Calls through a proxy to an upstream that cannot be reached, and returns the error."""
    def call(settings):
        proxy = moongate(settings)
        error = client(proxy.address).refused()
        assert error.code() == grpc.StatusCode.UNAVAILABLE
        assert proxy.metric("moongate_upstream_connects_total", result="failure") > 0
        [told] = [endpoint["reason"] for upstream in json.loads(proxy.get("/upstreams")[1])["upstreams"]
                  for endpoint in upstream["endpoints"]]
        return error.details(), told

    return call


# Whom we believe

def test_grpcio_upstream(moongate, secure, client, authority):
    ca = authority()
    backend = secure(ca.issue("server", ["127.0.0.1"]))
    caller = client(moongate(over_tls(backend.address, ca=str(ca.certificate))).address)
    assert caller.hello() == "Hello, world!"
    assert len(caller.unary(Order(answer_bytes=1_000_000)).payload) == 1_000_000


def test_chain_with_an_intermediate(moongate, secure, client, authority):
    root = authority("root")
    backend = secure(authority("middle", parent=root).issue("server", ["127.0.0.1"]))
    proxy = moongate(over_tls(backend.address, ca=str(root.certificate)))
    assert client(proxy.address).hello()


def test_ca_below_the_root_is_enough(moongate, secure, client, authority):
    middle = authority("middle", parent=authority("root"))
    backend = secure(middle.issue("server", ["127.0.0.1"]))
    only = middle.certificate.with_name("only-middle.crt")
    only.write_bytes(middle.pem)
    assert client(moongate(over_tls(backend.address, ca=str(only))).address).hello()


def test_own_certificate_of_a_server_can_be_pinned(moongate, secure, client, certificate):
    server = certificate("server", ["127.0.0.1"])
    server.key_pem = server.key.read_bytes()
    backend = secure(server)
    assert client(moongate(over_tls(backend.address, ca=str(server.certificate))).address).hello()


@pytest.mark.parametrize("case, said", [
    ("expired", "TLS: certificate has expired"),
    ("early", "TLS: certificate is not yet valid"),
    ("stranger", "TLS: unable to get local issuer certificate"),
    ("name", "TLS: the certificate is for other.example, not for 127.0.0.1"),
    ("usage", "TLS: unsuitable certificate purpose"),
])
def test_bad_certificates_are_refused_with_the_reason(refused, secure, authority, case, said):
    ca, other = authority(), authority("other")
    server = {
        "expired": lambda: ca.issue("server", ["127.0.0.1"], days=-1),
        "early": lambda: ca.issue("server", ["127.0.0.1"], begins=1),
        "stranger": lambda: other.issue("server", ["127.0.0.1"]),
        "name": lambda: ca.issue("server", ["other.example"]),
        "usage": lambda: ca.issue("server", ["127.0.0.1"],
                                  usage=[ExtendedKeyUsageOID.CLIENT_AUTH]),
    }[case]()
    backend = secure(server)
    caller, operator = refused(over_tls(backend.address, ca=str(ca.certificate)))
    assert operator == f"cannot connect to {backend.address}: {said}"
    assert caller.endswith("cannot connect: TLS: IP address mismatch" if case == "name" else f"cannot connect: {said}")
    assert "127.0.0.1" not in caller


def test_system_trust_is_the_default_and_knows_no_test_authority(refused, secure, authority):
    backend = secure(authority().issue("server", ["127.0.0.1"]))
    assert "TLS: " in refused(over_tls(backend.address))[0]


def test_verification_can_be_skipped_with_a_warning(moongate, secure, client, authority):
    backend = secure(authority().issue("server", ["other.example"]))
    proxy = moongate(over_tls(backend.address, insecure_skip_verify=True))
    assert client(proxy.address).hello()
    eventually(lambda: any("certificates are not verified" in line for line in proxy.lines), 5, what="a warning")


def test_revoked_certificate_is_refused_and_lists_are_reloaded(moongate, secure, client, authority):
    ca = authority()
    server = ca.issue("server", ["127.0.0.1"])
    backend = secure(server)
    crl = ca.certificate.with_suffix(".crl")
    crl.write_bytes(ca.revocation_list())
    proxy = moongate(over_tls(backend.address, ca=str(ca.certificate), crl=str(crl)))
    caller = client(proxy.address)
    assert caller.hello()
    crl.write_bytes(ca.revoke(server).revocation_list())
    proxy.reload()
    assert caller.hello(), "the connection that is there goes on"
    backend.stop()
    backend.start()
    eventually(lambda: "certificate revoked" in caller.refused().details(), 10, what="the new list counts")


# Names

@pytest.mark.parametrize("tls, hosts, uris, good", [
    ({"server_name": "a.example"}, ["a.example"], [], True),
    ({"server_name": "a.b.example"}, ["*.b.example"], [], True),
    ({"server_name": "a.a.b.example"}, ["*.b.example"], [], False),
    ({"server_name": "a.example"}, ["b.example", "127.0.0.1"], [], False),
    ({"names": ["b.example"]}, ["b.example"], [], True),
    ({"server_name": "a.example", "names": ["b.example"]}, ["a.example"], [], False),
    ({"names": ["*.b.example"]}, ["a.b.example"], [], True),
    ({"names": ["*.b.example"]}, ["a.a.b.example"], [], False),
    ({"names": ["*.b.example"]}, ["b.example"], [], False),
    ({"names": ["x.example", "spiffe://shop/cart"]}, [], ["spiffe://shop/cart"], True),
    ({"names": ["spiffe://shop/cart"]}, ["127.0.0.1"], ["spiffe://shop/cart2"], False),
    ({"names": ["10.0.0.1", "127.0.0.1"]}, ["127.0.0.1"], [], True),
    ({"names": ["10.0.0.1"]}, ["127.0.0.1"], [], False),
])
def test_names(moongate, secure, client, authority, tls, hosts, uris, good):
    ca = authority()
    backend = secure(ca.issue("server", hosts, uris))
    caller = client(moongate(over_tls(backend.address, ca=str(ca.certificate), **tls)).address)
    if good:
        assert caller.hello()
    else:
        assert "TLS: hostname mismatch" in caller.refused().details()


def test_common_name_does_not_count(refused, secure, authority):
    ca = authority()
    backend = secure(ca.issue("a.example"))
    _, told = refused(over_tls(backend.address, ca=str(ca.certificate), server_name="a.example"))
    assert "the certificate is for no name, not for a.example" in told


@pytest.mark.parametrize("tls, host, expected", [
    ({"server_name": "a.example"}, "127.0.0.1", "a.example"),
    ({}, "localhost", "localhost"),
    ({}, "127.0.0.1", None),
])
def test_sni_is_the_server_name_else_the_endpoints_host(moongate, upstream, client, authority, tls, host, expected):
    ca = authority()
    context = server_context(ca.issue("server", ["a.example", "localhost", "127.0.0.1"]))
    asked = []
    context.sni_callback = lambda _, name, __: asked.append(name)
    server = upstream(answer_ok, tls=context)
    proxy = moongate(over_tls(f"{host}:{server.port}", ca=str(ca.certificate), **tls))
    client(proxy.address).unary()
    assert asked == [expected]
    assert server.handshakes[0]["alpn"] == "h2"


# Protocols

@pytest.mark.parametrize("protocols", [(), ("http/1.1",)])
def test_server_without_h2_is_refused(refused, upstream, authority, protocols):
    ca = authority()
    server = upstream(answer_ok, tls=server_context(ca.issue("server", ["127.0.0.1"]), protocols))
    assert "TLS: the server does not offer h2 by ALPN" in refused(
        over_tls(server.address, ca=str(ca.certificate)))[0]


def test_cleartext_server_is_named(refused, upstream):
    server = upstream(answer_ok)
    assert "TLS: " in refused(over_tls(server.address, insecure_skip_verify=True))[0]


def test_server_that_says_nothing_is_bounded_by_the_connect_timeout(moongate, client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        proxy = moongate(configuration(upstreams={"main": {
            "endpoints": [f"127.0.0.1:{silent.getsockname()[1]}"], "connect_timeout": "300ms",
            "tls": {"insecure_skip_verify": True}}}))
        assert "TLS: no answer within 300 ms" in client(proxy.address).refused().details()


@pytest.mark.parametrize("tls, version, maximum, good", [
    ({}, "TLSv1.3", None, True),
    ({"maximum_version": "TLSv1_2"}, "TLSv1.2", None, True),
    ({"minimum_version": "v1.3"}, None, ssl.TLSVersion.TLSv1_2, False),
    ({}, "TLSv1.2", ssl.TLSVersion.TLSv1_2, True),
])
def test_versions(moongate, upstream, client, authority, tls, version, maximum, good):
    ca = authority()
    server = upstream(answer_ok, tls=server_context(ca.issue("server", ["127.0.0.1"]), maximum=maximum))
    caller = client(moongate(over_tls(server.address, ca=str(ca.certificate), **tls)).address)
    if not good:
        assert "TLS: " in caller.refused().details()
        return
    caller.unary()
    assert server.handshakes[0]["version"] == version


# Certificates of our own

def test_client_certificate_is_shown(moongate, upstream, client, authority):
    ca = authority()
    context = server_context(ca.issue("server", ["127.0.0.1"]))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(ca.certificate)
    server = upstream(answer_ok, tls=context)
    edge = ca.issue("edge", ["edge.example"])
    client(moongate(over_tls(server.address, ca=str(ca.certificate), **edge.setting())).address).unary()
    assert ("DNS", "edge.example") in server.handshakes[0]["client"]["subjectAltName"]


def test_grpcio_upstream_that_requires_a_certificate(moongate, secure, client, authority):
    ca = authority()
    middle = authority("middle", parent=ca)
    backend = secure(ca.issue("server", ["127.0.0.1"]), clients_of=ca)
    edge = middle.issue("edge", ["edge.example"])
    proxy = moongate(over_tls(backend.address, ca=str(ca.certificate), **edge.setting()))
    assert client(proxy.address).hello()


@pytest.mark.parametrize("maximum", ["1.2", "1.3"])
def test_missing_client_certificate_counts_as_failure_to_connect(moongate, upstream, client, authority, maximum):
    ca = authority()
    context = server_context(ca.issue("server", ["127.0.0.1"]))
    context.verify_mode = ssl.CERT_REQUIRED
    server = upstream(answer_ok, tls=context)
    proxy = moongate(over_tls(server.address, ca=str(ca.certificate), maximum_version=maximum))
    caller = client(proxy.address)
    assert caller.refused().code() == grpc.StatusCode.UNAVAILABLE
    eventually(lambda: "alert" in caller.refused().details(), 30, what="the alert's text")
    assert proxy.metric("moongate_upstream_connects_total", result="failure") > 0


# Sessions and reloads

@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_sessions_are_resumed_also_after_a_reload_that_changes_nothing_of_tls(
        moongate, upstream, client, authority, version):
    ca = authority()
    server = upstream(answer_ok, tls=server_context(ca.issue("server", ["127.0.0.1"])))
    settings = over_tls(server.address, ca=str(ca.certificate), maximum_version=version)
    proxy = moongate(settings)
    caller = client(proxy.address)
    caller.unary()
    for round_trip in range(2):
        server.connections[-1].close()
        eventually(lambda: proxy.metric("moongate_upstream_connections") == 0, 5, what="the proxy sees the end")
        caller.unary()
        if round_trip == 0:
            settings["routes"][0]["timeout"] = "1h"
            proxy.configure(settings)
            proxy.reload()
    assert [handshake["resumed"] for handshake in server.handshakes] == [False, True, True]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_session_does_not_outlive_the_servers_certificate(moongate, upstream, client, authority, version):
    ca = authority()
    certificate = ca.issue("server", ["127.0.0.1"], days=8 / 86400)
    server = upstream(answer_ok, tls=server_context(certificate))
    proxy = moongate(over_tls(server.address, ca=str(ca.certificate), maximum_version=version))
    caller = client(proxy.address)
    caller.unary()
    time.sleep(max(0.0, certificate.not_after + 1.1 - time.time()))
    caller.unary()
    server.connections[-1].close()
    eventually(lambda: proxy.metric("moongate_upstream_connections") == 0, 5, what="the proxy sees the end")
    assert "TLS: certificate has expired" in caller.refused().details()


def test_new_authority_and_certificate_are_used_by_new_connections_while_streams_go_on(
        moongate, secure, client, authority):
    old, new = authority("old"), authority("new")
    first, second = old.issue("server", ["127.0.0.1"]), new.issue("server2", ["127.0.0.1"])
    backend = secure(first)
    trust = old.certificate.with_name("trust.crt")
    trust.write_bytes(old.pem)
    proxy = moongate(over_tls(backend.address, ca=str(trust)))
    caller = client(proxy.address)
    orders = OpenMessages(Order())
    stream = caller.probe.Bidi(iter(orders), timeout=60)
    assert next(stream).index == 0
    trust.write_bytes(new.pem)
    proxy.reload()
    orders.put(Order())
    assert next(stream).index == 1
    orders.close()
    backend.stop()
    backend.credentials = credentials(second)
    backend.start()
    eventually(lambda: _answers(caller), 15, what="the new authority is trusted")


def _answers(caller):
    try:
        return caller.hello()
    except grpc.RpcError:
        return None


def test_turning_tls_on_leaves_cleartext_connections(moongate, upstream, client, authority):
    ca = authority()
    plain = upstream(answer_ok)
    secured = upstream(answer_ok, tls=server_context(ca.issue("server", ["127.0.0.1"])))
    proxy = moongate(configuration(plain.address))
    caller = client(proxy.address)
    caller.unary()
    proxy.configure(over_tls(secured.address, ca=str(ca.certificate)))
    proxy.reload()
    caller.unary()
    assert len(secured.handshakes) == 1
    proxy.configure(over_tls(plain.address, ca=str(ca.certificate)))
    proxy.reload()
    assert caller.refused().code() == grpc.StatusCode.UNAVAILABLE


def test_file_that_is_not_there_refuses_the_reload(moongate, secure, client, authority):
    ca = authority()
    backend = secure(ca.issue("server", ["127.0.0.1"]))
    proxy = moongate(over_tls(backend.address, ca=str(ca.certificate)))
    assert client(proxy.address).hello()
    ca.certificate.write_text("nothing")
    assert "there is no certificate in it" in proxy.refused_reload()
    assert client(proxy.address).hello()


def test_check_names_the_faulty_file(tmp_path, authority):
    ca = authority()
    edge, other = ca.issue("edge"), ca.issue("other")
    file = tmp_path / "moongate.yaml"
    file.write_text(text(over_tls(
        "127.0.0.1:1", ca=str(ca.certificate), certificate=str(edge.certificate), key=str(other.key))))
    done = run_command("check", "--config", file)
    assert done.returncode == 2
    assert f"{other.key}: the private key does not belong to the certificate in {edge.certificate}" in done.stderr
