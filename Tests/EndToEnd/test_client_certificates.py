"""Client certificates: who is let in, what is told of them, and what tickets are good for."""
import json
import re
import socket
import ssl
import subprocess
import time

import grpc
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from hyperframe.frame import SettingsFrame

from harness.client import OpenMessages, seen_metadata
from harness.frame_client import FrameClient, request, trusting_context
from harness.proxy import run_command
from harness.settings import configuration, route, text
from harness.stubs import Order
from harness.waiting import eventually

SHOW = """
function on_request(h)
  local tls = h:streamInfo():downstreamSslConnection()
  local old = h:connection():ssl()
  local parsed = tls:parsedSubjectPeerCertificate()
  h:headers():replace("x-presented", tostring(tls:peerCertificatePresented()))
  h:headers():replace("x-validated", tostring(tls:peerCertificateValidated()))
  h:headers():replace("x-digest", tls:sha256PeerCertificateDigest())
  h:headers():replace("x-serial", tls:serialNumberPeerCertificate())
  h:headers():replace("x-subject", tls:subjectPeerCertificate())
  h:headers():replace("x-issuer", tls:issuerPeerCertificate())
  h:headers():replace("x-uris", table.concat(tls:uriSanPeerCertificate(), " "))
  h:headers():replace("x-dns", table.concat(old:dnsSansPeerCertificate(), " "))
  h:headers():replace("x-name", parsed and parsed:commonName() or "nobody")
  h:headers():replace("x-organization", parsed and table.concat(parsed:organizationName(), " ") or "none")
  h:headers():replace("x-expiration", tostring(tls:expirationPeerCertificate()))
  h:headers():replace("x-pem", tls:urlEncodedPemEncodedPeerCertificate())
end
"""


class Edge:
    """A listener with a certificate, a backend behind it, and an authority for its clients."""

    def __init__(self, moongate, backend, client, authority):
        self.start, self.backend, self.open = moongate, backend, client
        self.servers, self.clients = authority("servers"), authority("clients")
        self.server = self.servers.issue("server", ["a.example"], ["spiffe://edge/moongate"])
        self.crl = self.clients.certificate.with_suffix(".crl")

    def listener(self, name="secure", forward=None, certificate=None, **wanted):
        setting = {"name": name, "address": "127.0.0.1:0",
                   "tls": {"certificates": [(certificate or self.server).setting()]}}
        if wanted:
            setting["tls"]["client_certificates"] = wanted
        if forward:
            setting["forward_client_certificate"] = forward
        return setting

    def run(self, forward=None, policies=None, listeners=None, more=None, **wanted):
        if wanted.get("mode") != "request":
            wanted.setdefault("ca", str(self.clients.certificate))
        names = [f"policies/{name}" for name in policies or {}]
        self.proxy = self.start(
            configuration(self.backend.address, routes=[route(policies=[{"policy": name} for name in names])],
                          listeners=listeners or [self.listener(forward=forward, **wanted)], **(more or {})),
            policies=policies)
        return self.proxy

    def client(self, identity=None, listener=None, **options):
        address = self.proxy.bound[listener] if listener else self.proxy.address
        return self.open(address, authority="a.example", root=self.servers.pem, identity=identity, **options)

    def seen(self, identity=None, metadata=()):
        """The headers that reach the backend."""
        return seen_metadata(self.client(identity).unary(metadata=metadata))

    def is_refused(self, identity=None, listener=None):
        return self.client(identity, listener).refused(timeout=5).code() in (
            grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


@pytest.fixture
def edge(moongate, backend, client, authority):
    return Edge(moongate, backend, client, authority)


# Who is let in

def test_required(edge):
    edge.run(mode="required")
    assert edge.client(edge.clients.issue("ada", ["ada.example"])).hello()
    assert edge.is_refused()
    assert edge.is_refused(edge.servers.issue("eve", ["ada.example"]))
    assert edge.is_refused(edge.clients.issue("old", ["ada.example"], days=-1))
    eventually(lambda: edge.proxy.metric("moongate_downstream_handshake_failures_total") >= 3, 5)
    reasons = {"TLS: peer did not return a certificate", "TLS: unable to get local issuer certificate",
               "TLS: certificate has expired"}
    eventually(lambda: reasons == {entry["reason"] for entry in edge.proxy.log_entries()
                                   if entry["message"] == "client refused"}, 5, what="the reasons in the log")


def test_optional_takes_none_but_no_bad_one(edge):
    edge.run(mode="optional")
    assert edge.client(edge.clients.issue("ada")).hello()
    assert edge.client().hello()
    assert edge.is_refused(edge.servers.issue("eve"))


@pytest.mark.parametrize("with_ca", [True, False])
def test_request_takes_all_and_tells(edge, with_ca):
    more = {"ca": str(edge.clients.certificate)} if with_ca else {}
    edge.run(mode="request", policies={"show.lua": SHOW}, **more)
    assert edge.seen()["x-presented"] == [b"false"]
    for identity, good in [(edge.clients.issue("ada"), with_ca), (edge.servers.issue("eve"), False)]:
        seen = edge.seen(identity)
        assert seen["x-presented"] == [b"true"]
        assert seen["x-validated"] == [b"true" if good else b"false"]
        assert seen["x-digest"] == [identity.digest.encode()]


@pytest.mark.parametrize("depth, good", [(0, False), (1, False), (2, True), (10, True)])
def test_depth(edge, authority, depth, good):
    upper = authority("upper", parent=edge.clients)
    identity = authority("lower", parent=upper).issue("ada")
    edge.run(mode="required", depth=depth)
    if good:
        assert edge.client(identity).hello()
    else:
        assert edge.is_refused(identity)


@pytest.mark.parametrize("hosts, uris, good", [
    (["ada.clients.example"], [], True), ([], ["spiffe://shop/cart"], True),
    (["ada.example"], ["spiffe://shop"], False),
    ([], [], False),
])
def test_names(edge, hosts, uris, good):
    edge.run(mode="required", names=["*.clients.example", "spiffe://shop/cart"])
    identity = edge.clients.issue("ada", hosts, uris)
    if good:
        assert edge.client(identity).hello()
    else:
        assert edge.is_refused(identity)


def test_certificate_for_servers_only_is_refused(edge):
    edge.run(mode="required")
    assert edge.is_refused(edge.clients.issue("server", usage=[ExtendedKeyUsageOID.SERVER_AUTH]))


def test_revocation_and_its_reload(edge):
    ada, eve = edge.clients.issue("ada"), edge.clients.issue("eve")
    edge.crl.write_bytes(edge.clients.revoke(eve).revocation_list())
    edge.run(mode="required", crl=str(edge.crl))
    caller = edge.client(ada)
    assert caller.hello()
    assert edge.is_refused(eve)
    orders = OpenMessages(Order())
    stream = caller.probe.Bidi(iter(orders), timeout=60)
    assert next(stream).index == 0
    edge.crl.write_bytes(edge.clients.revoke(ada).revocation_list())
    edge.proxy.reload()
    orders.put(Order())
    assert next(stream).index == 1, "a stream that is open goes on"
    assert edge.is_refused(ada)
    orders.close()


def test_expired_list_refuses_everybody_and_is_warned_of(edge):
    edge.crl.write_bytes(edge.clients.revocation_list(days=-1))
    edge.run(mode="required", crl=str(edge.crl))
    assert edge.is_refused(edge.clients.issue("ada"))
    eventually(lambda: any("the revocation list has expired" in line for line in edge.proxy.lines), 5)


def test_new_authority_by_reload(edge, authority):
    edge.run(mode="required")
    other = authority("other")
    bob = other.issue("bob")
    assert edge.is_refused(bob)
    edge.clients.certificate.write_bytes(other.pem)
    edge.proxy.reload()
    assert edge.client(bob).hello()
    assert edge.is_refused(edge.clients.issue("ada"))


# What is told

def test_identity_in_policies(edge):
    edge.run(mode="required", policies={"show.lua": SHOW})
    ada = edge.clients.issue("ada", ["ada.example", "b.example"], ["spiffe://shop/cart"], organization="Shop")
    seen = {name: values[0].decode() for name, values in edge.seen(ada).items()}
    assert seen["x-presented"] == seen["x-validated"] == "true"
    assert seen["x-digest"] == ada.digest
    assert int(seen["x-serial"], 16) == ada.serial
    assert seen["x-subject"] == "CN=ada,O=Shop"
    assert seen["x-issuer"] == "CN=clients authority"
    assert seen["x-uris"] == "spiffe://shop/cart"
    assert seen["x-dns"] == "ada.example b.example"
    assert (seen["x-name"], seen["x-organization"]) == ("ada", "Shop")
    assert int(seen["x-expiration"]) == ada.not_after
    assert seen["x-pem"].startswith("-----BEGIN%20CERTIFICATE-----%0A")


CLAIM = ("x-forwarded-client-cert", "By=spiffe://far;Hash=00")
XFCC = "x-forwarded-client-cert"


def test_claims_are_removed_unless_told_otherwise(edge, moongate, backend, client):
    edge.run(mode="required")
    assert XFCC not in edge.seen(edge.clients.issue("ada"), [CLAIM])
    plain = moongate(configuration(backend.address))
    assert XFCC not in seen_metadata(client(plain.address).unary(metadata=[CLAIM, CLAIM]))


@pytest.mark.parametrize("mode, with_certificate, expected", [
    ("sanitize", True, []), ("sanitize", False, []),
    ("forward_only", True, ["claim"]), ("forward_only", False, []),
    ("append_forward", True, ["claim,element"]), ("append_forward", False, []),
    ("sanitize_set", True, ["element"]), ("sanitize_set", False, []),
    ("always_forward_only", True, ["claim"]), ("always_forward_only", False, ["claim"]),
])
def test_modes_of_forwarding(edge, mode, with_certificate, expected):
    edge.run(forward={"mode": mode, "details": []}, mode="optional")
    ada = edge.clients.issue("ada")
    element = f"By=spiffe://edge/moongate;Hash={ada.digest}"
    expected = [value.replace("claim", CLAIM[1]).replace("element", element).encode() for value in expected]
    assert edge.seen(ada if with_certificate else None, [CLAIM]).get(XFCC, []) == expected


def test_always_forward_only_in_cleartext(moongate, backend, client):
    proxy = moongate(configuration(backend.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "forward_client_certificate": "always_forward_only"}]))
    assert seen_metadata(client(proxy.address).unary(metadata=[CLAIM]))[XFCC] == [CLAIM[1].encode()]


def test_element_with_all_details(edge):
    edge.run(forward={"mode": "sanitize_set", "details": ["dns", "uri", "subject", "chain", "cert"]}, mode="required")
    ada = edge.clients.issue("ada", ["ada.example", "b.example"], ["spiffe://shop/cart"], organization="Shop, Inc.")
    value = edge.seen(ada)[XFCC][0].decode()
    pem = ada.pem.decode().replace("\n", "%0A").replace(" ", "%20").replace("+", "%2B").replace("/", "%2F") \
        .replace("=", "%3D")
    assert value == (f'By=spiffe://edge/moongate;Hash={ada.digest};Cert="{pem}";Chain="{pem}"'
                     r';Subject="CN=ada,O=Shop\, Inc.";URI=spiffe://shop/cart;DNS=ada.example;DNS=b.example')


def test_names_cannot_forge_elements(edge):
    edge.run(forward={"mode": "sanitize_set", "details": ["uri", "subject"]}, mode="required")
    eve = edge.clients.issue("eve", uris=['spiffe://x;Hash=00,By="y"\\'], common_name='a"b\\')
    value = edge.seen(eve)[XFCC][0].decode()
    assert value == (f'By=spiffe://edge/moongate;Hash={eve.digest};Subject="CN=a\\"b\\5C"'
                     ';URI="spiffe://x;Hash=00,By=\\"y\\"%5C"')


def test_unverified_certificate_is_not_forwarded(edge):
    edge.run(forward="sanitize_set", mode="request")
    assert XFCC not in edge.seen(edge.clients.issue("ada"), [CLAIM])


def test_access_log(edge):
    edge.run(mode="request", ca=str(edge.clients.certificate), more={"access_log": {"path": "access.log"}})
    ada = edge.clients.issue("ada", ["ada.example"], ["spiffe://shop/cart"])
    eve = edge.servers.issue("eve")
    for identity in (ada, eve, None):
        edge.client(identity).hello()
    log = edge.proxy.folder / "access.log"
    eventually(lambda: log.exists() and len(log.read_text().splitlines()) == 3, 5, what="three lines")
    first, second, third = map(json.loads, log.read_text().splitlines())
    assert first["client_certificate_subject"] == "CN=ada"
    assert first["client_certificate_sha256"] == ada.digest
    assert first["client_certificate_names"] == "spiffe://shop/cart,ada.example"
    assert "client_certificate_fault" not in first
    assert first["tls_version"] == "TLSv1.3" and first["tls_cipher"].startswith("TLS_")
    assert first["tls_server_name"] == "a.example"
    assert second["client_certificate_fault"] == "unable to get local issuer certificate"
    assert not any(key.startswith("client_certificate") for key in third)


# Tickets

def connect_once(address, identity, session=None, version=ssl.TLSVersion.TLSv1_3, context=None):
    """Makes a call over TLS; returns the session, whether it was resumed, and whether the call went through."""
    if context is None:
        context = trusting_context(minimum=version, maximum=version)
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname="a.example", session=session) as tls:
            tls.settimeout(5)
            tls.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + SettingsFrame(0).serialize())
            went = bool(tls.recv(9))
            return tls.session, tls.session_reused, went, context


def may_enter(address, identity, session, context, version):
    try:
        _, reused, went, _ = connect_once(address, identity, session, version, context)
        return went, reused
    except (ssl.SSLError, ConnectionError):
        return False, False


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_keeps_the_identity(edge, version):
    edge.run(mode="required", forward={"mode": "sanitize_set", "details": []})
    ada = edge.clients.issue("ada")
    session, reused, went, context = connect_once(edge.proxy.address, ada, version=version)
    assert went and not reused
    assert may_enter(edge.proxy.address, None, session, context, version) == (True, True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("good", [True, False])
def test_resumed_session_is_judged_as_the_first_one(edge, connect, version, good):
    edge.run(mode="request", ca=str(edge.clients.certificate), policies={"show.lua": SHOW}, forward="sanitize_set")
    identity = (edge.clients if good else edge.servers).issue("ada")
    context = trusting_context(minimum=version, maximum=version)
    context.load_cert_chain(identity.certificate, identity.key)
    session = None
    for resumed in (False, True):
        caller = connect(edge.proxy.address, tls=context, server_name="a.example", session=session)
        answer = caller.call(request(path="/helloworld.Greeter/SayHello"), body=b"\0\0\0\0\0")
        assert answer[-1].get("grpc-status") == "0"
        assert caller.sock.session_reused is resumed
        session = caller.sock.session
        seen = dict(edge.backend.last().metadata)
        assert (seen["x-presented"], seen["x-validated"]) == ("true", "true" if good else "false")
        assert seen["x-digest"] == identity.digest
        assert (XFCC in seen) is good


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_of_a_certificate_that_has_expired_meanwhile(edge, version):
    edge.run(mode="required")
    ada = edge.clients.issue("ada", days=6 / 86400)
    session, _, went, context = connect_once(edge.proxy.address, ada, version=version)
    assert went
    time.sleep(max(0.0, ada.not_after + 1.1 - time.time()))
    assert may_enter(edge.proxy.address, ada, session, context, version)[0] is False


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_of_a_listener_without_client_certificates_opens_none_with_them(edge, version):
    """One certificate, one set of ticket keys: only the binding tells the listeners apart."""
    ca = str(edge.clients.certificate)
    edge.run(listeners=[edge.listener("open"), edge.listener("closed", mode="required", ca=ca),
                        edge.listener("asking", mode="optional", ca=ca)])
    session, _, went, context = connect_once(edge.proxy.bound["open"], None, version=version)
    assert went
    assert may_enter(edge.proxy.bound["open"], None, session, context, version) == (True, True)
    assert may_enter(edge.proxy.bound["closed"], None, session, context, version)[0] is False
    session, _, _, context = connect_once(edge.proxy.bound["open"], None, version=version)
    assert may_enter(edge.proxy.bound["asking"], None, session, context, version) == (True, False)


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_does_not_outlive_what_it_was_judged_by(edge, version):
    """The same listener, before and after its client certificates, its authorities or its lists have changed."""
    ada = edge.clients.issue("ada")
    edge.crl.write_bytes(edge.clients.revocation_list())
    edge.run(mode="required", crl=str(edge.crl))
    session, _, went, context = connect_once(edge.proxy.address, ada, version=version)
    assert went
    assert may_enter(edge.proxy.address, ada, session, context, version) == (True, True)
    session, _, _, context = connect_once(edge.proxy.address, ada, version=version)
    edge.crl.write_bytes(edge.clients.revoke(ada).revocation_list())
    edge.proxy.reload()
    assert may_enter(edge.proxy.address, ada, session, context, version)[0] is False


@pytest.mark.parametrize("version", VERSIONS)
def test_ticket_from_before_client_certificates_were_required(edge, version):
    edge.run(listeners=[edge.listener()])
    session, _, went, context = connect_once(edge.proxy.address, None, version=version)
    assert went
    settings = dict(edge.proxy.configuration)
    settings["listeners"] = [edge.listener(mode="required", ca=str(edge.clients.certificate))]
    port = edge.proxy.port
    settings["listeners"][0]["address"] = "127.0.0.1:0"
    edge.proxy.configure(settings)
    edge.proxy.reload()
    assert edge.proxy.port == port
    assert may_enter(edge.proxy.address, None, session, context, version)[0] is False


# Settings and dates

@pytest.mark.parametrize("tls, version, good", [
    ({"maximum_version": "TLSv1.2"}, "-tls1_3", False), ({"maximum_version": "TLSv1.2"}, "-tls1_2", True),
    ({"ciphers": ["TLS_AES_256_GCM_SHA384"]}, "-tls1_3 -ciphersuites TLS_AES_128_GCM_SHA256", False),
    ({"ciphers": ["TLS_AES_256_GCM_SHA384"]}, "-tls1_3 -ciphersuites TLS_AES_256_GCM_SHA384", True),
    ({"ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}, "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256", False),
    ({"ciphers": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}, "-tls1_2 -cipher ECDHE-ECDSA-AES256-GCM-SHA384", True),
    ({"curves": ["P-384"]}, "-groups X25519", False), ({"curves": ["P-384"]}, "-groups P-384", True),
])
def test_versions_ciphers_and_curves(moongate, backend, authority, tls, version, good):
    server = authority().issue("server", ["a.example"])
    proxy = moongate(configuration(backend.address, listeners=[
        {"name": "main", "address": "127.0.0.1:0", "tls": {"certificates": [server.setting()], **tls}}]))
    done = subprocess.run(["openssl", "s_client", "-connect", proxy.address, "-alpn", "h2", *version.split()],
                          input=b"", capture_output=True, timeout=20)
    assert (b"ALPN protocol: h2" in done.stdout) is good, done.stdout + done.stderr


def test_expiry_in_metrics_and_check(moongate, backend, tmp_path, authority):
    ca = authority("ca", days=400)
    soon, late, dead = ca.issue("soon", days=5), ca.issue("late", days=300), ca.issue("dead", days=-2)
    future = ca.issue("future", begins=3)
    crl = ca.certificate.with_suffix(".crl")
    crl.write_bytes(ca.revocation_list(days=10))
    settings = configuration(
        listeners=[{"name": "main", "address": "127.0.0.1:0", "tls": {
            "certificates": [one.setting() for one in (soon, late, dead, future)],
            "client_certificates": {"mode": "optional", "ca": str(ca.certificate), "crl": str(crl)}}}],
        upstreams={"main": {"endpoints": [backend.address], "tls": {"ca": str(ca.certificate), **late.setting()}}})
    file = tmp_path / "moongate.yaml"
    file.write_text(text(settings))
    done = run_command("check", "--config", file)
    assert done.returncode == 0
    said = done.stderr
    assert re.search(rf"warning: {soon.certificate}: the certificate expires in [45] days: on ", said)
    assert f"warning: {dead.certificate}: the certificate has expired: on " in said
    assert f"warning: {future.certificate}: the certificate is not valid yet: from " in said
    assert f"warning: {crl}: the revocation list expires in " in said
    assert "late.crt" not in said and "ca.crt:" not in said
    assert run_command("check", "--strict", "--config", file).returncode == 2
    proxy = moongate(settings)

    def ends(side, kind, path):
        return proxy.metric("moongate_certificate_not_after_timestamp_seconds", kind=kind, file=str(path),
                            **{side: "main"})

    assert ends("listener", "certificate", soon.certificate) == soon.not_after
    assert ends("listener", "ca", ca.certificate) == ca.not_after
    assert ends("listener", "crl", crl) > 0
    assert ends("upstream", "certificate", late.certificate) == late.not_after
    assert ends("upstream", "ca", ca.certificate) == ca.not_after
    eventually(lambda: any("the certificate expires in " in line for line in proxy.lines), 5, what="a warning")


def test_call_over_tls_1_2(edge):
    edge.run(mode="required", forward={"mode": "sanitize_set", "details": []})
    ada = edge.clients.issue("ada")
    context = trusting_context(maximum=ssl.TLSVersion.TLSv1_2)
    context.load_cert_chain(ada.certificate, ada.key)
    caller = FrameClient(edge.proxy.address, tls=context, server_name="a.example")
    answer = caller.call(request(path="/helloworld.Greeter/SayHello"), body=b"\0\0\0\0\0")
    assert answer[-1].get("grpc-status") == "0"
    caller.close()
    assert dict(edge.backend.last().metadata)[XFCC] == f"By=spiffe://edge/moongate;Hash={ada.digest}"
