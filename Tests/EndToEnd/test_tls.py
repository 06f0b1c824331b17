"""TLS towards clients: certificates by SNI, ALPN, versions."""
import socket
import ssl

import pytest

from harness.certificates import Certificate, serial_of
from harness.frame_client import request, trusting_context
from harness.settings import configuration
from harness.stubs import Order


def listener(*certificates, **more):
    return [{"name": "secure", "address": "127.0.0.1:0",
             "tls": {"certificates": [certificate.setting() for certificate in certificates], **more}}]


def handshake(proxy, context, server_name="a.example"):
    """Connects and returns the TLS version, the protocol agreed on and the certificate's serial number."""
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        with context.wrap_socket(plain, server_hostname=server_name) as tls:
            return tls.version(), tls.selected_alpn_protocol(), serial_of(tls.getpeercert(binary_form=True))


@pytest.fixture
def two(moongate, backend, certificate):
    """A listener with two certificates."""
    first = certificate("first", ["a.example", "127.0.0.1"])
    second = certificate("second", ["b.example", "*.wild.example"])
    return moongate(configuration(backend.address, listeners=listener(first, second))), first, second


def test_grpcio_over_tls(two, client):
    proxy, first, _ = two
    caller = client(proxy.address, authority="a.example", root=first.pem)
    assert caller.hello() == "Hello, world!"


@pytest.mark.parametrize("name, which", [
    ("a.example", 0), ("b.example", 1), ("B.Example", 1), ("x.wild.example", 1), ("x.y.wild.example", 0),
    ("unknown.example", 0), (None, 0),
])
def test_certificate_is_chosen_by_sni(two, name, which):
    proxy, first, second = two
    _, protocol, serial = handshake(proxy, trusting_context(), name)
    assert protocol == "h2"
    assert serial == (first, second)[which].serial


@pytest.mark.parametrize("version, name", [(ssl.TLSVersion.TLSv1_2, "TLSv1.2"), (ssl.TLSVersion.TLSv1_3, "TLSv1.3")])
def test_both_versions(two, connect, version, name):
    proxy, _, _ = two
    context = trusting_context(minimum=version, maximum=version)
    assert handshake(proxy, context)[0] == name
    client = connect(proxy.address, tls=context, server_name="a.example")
    assert client.call(request(path="/helloworld.Greeter/SayHello"), body=b"\0\0\0\0\0")[-1].get("grpc-status") == "0"


def test_R12_scheme_and_request_pass_over_tls(moongate, upstream, connect, certificate):
    server = upstream()
    proxy = moongate(configuration(server.address, listeners=listener(certificate("one", ["a.example"]))))
    client = connect(proxy.address, tls=trusting_context(), server_name="a.example")
    stream = client.open([(n, "https" if n == ":scheme" else v) for n, v in request()], end_stream=True)
    connection, head = server.next_request()
    assert head.get(":scheme") == "https"
    connection.respond(head.stream)
    assert client.end(stream).get("grpc-status") == "0"


@pytest.mark.parametrize("protocols", [("http/1.1",), ("spdy/3",)])
def test_alpn_without_h2_is_refused(two, protocols):
    proxy, _, _ = two
    with pytest.raises((ssl.SSLError, ConnectionError)):
        handshake(proxy, trusting_context(protocols))
    assert handshake(proxy, trusting_context())[1] == "h2"


def test_client_without_alpn_is_refused(two):
    proxy, _, _ = two
    with pytest.raises((ssl.SSLError, ConnectionError, AssertionError, OSError)):
        with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
            with trusting_context(()).wrap_socket(plain, server_hostname="a.example") as tls:
                tls.settimeout(3)
                assert tls.recv(1), "closed"


def test_h2_is_chosen_among_several(two):
    proxy, _, _ = two
    assert handshake(proxy, trusting_context(("http/1.1", "h2")))[1] == "h2"


def test_minimum_version_is_kept(moongate, backend, certificate):
    proxy = moongate(configuration(
        backend.address, listeners=listener(certificate("one", ["a.example"]), minimum_version="1.3")))
    assert handshake(proxy, trusting_context())[0] == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        handshake(proxy, trusting_context(maximum=ssl.TLSVersion.TLSv1_2))


def test_old_versions_are_refused(two):
    proxy, _, _ = two
    context = trusting_context(minimum=ssl.TLSVersion.TLSv1, maximum=ssl.TLSVersion.TLSv1_1)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.raises((ssl.SSLError, OSError)):
        handshake(proxy, context)


def test_cleartext_client_of_a_tls_listener_is_let_go(two):
    proxy, _, _ = two
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as plain:
        plain.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        try:
            while plain.recv(4096):
                pass
        except ConnectionError:
            pass
    assert handshake(proxy, trusting_context())[1] == "h2"


def test_handshake_that_stops_half_way_stalls_nobody(two, client):
    proxy, first, _ = two
    stuck = [socket.create_connection(("127.0.0.1", proxy.port)) for _ in range(20)]
    for plain in stuck:
        plain.sendall(b"\x16\x03\x01\x02\x00")
    assert client(proxy.address, authority="a.example", root=first.pem).hello(timeout=5)
    for plain in stuck:
        plain.close()


@pytest.mark.parametrize("size", [16383, 16384, 16385, 65535, 1_000_000])
def test_F1_sizes_over_tls(two, client, size):
    proxy, first, _ = two
    caller = client(proxy.address, authority="a.example", root=first.pem)
    report = caller.unary(Order(payload=b"x" * size, answer_bytes=size))
    assert report.received_bytes == size and len(report.payload) == size


def test_certificate_is_renewed_by_a_reload_and_old_connections_go_on(moongate, backend, client, certificate):
    old = certificate("edge", ["a.example"])
    proxy = moongate(configuration(backend.address, listeners=listener(old)))
    caller = client(proxy.address, authority="a.example", root=old.pem)
    caller.hello()
    new = Certificate(old.certificate.parent, "edge", ["a.example"])
    proxy.reload()
    assert handshake(proxy, trusting_context())[2] == new.serial
    assert caller.hello()
    assert proxy.metric("moongate_downstream_accepted_total") == 2


def test_key_that_does_not_fit_its_certificate_keeps_the_old_generation(moongate, backend, certificate):
    good, other = certificate("good", ["a.example"]), certificate("other", ["a.example"])
    proxy = moongate(configuration(backend.address, listeners=listener(good)))
    good.key.write_bytes(other.key.read_bytes())
    assert "good" in proxy.refused_reload()
    assert handshake(proxy, trusting_context())[2] == good.serial
