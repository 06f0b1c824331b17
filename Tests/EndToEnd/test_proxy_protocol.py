"""The PROXY protocol on listeners, versions 1 and 2: whom the edge believes, and what it makes of everything else."""
import json
import signal
import socket
import struct
import time

import pytest

from harness.frame_client import FrameClient, request, trusting_context
from harness.ports import split
from harness.settings import configuration, route
from harness.waiting import eventually

SHOW = """
function on_request(h)
  local info = h:streamInfo()
  h:headers():replace("x-remote", info:downstreamRemoteAddress())
  h:headers():replace("x-direct", info:downstreamDirectRemoteAddress())
  h:headers():replace("x-local", info:downstreamLocalAddress())
  h:headers():replace("x-direct-local", info:downstreamDirectLocalAddress())
end
"""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def crc32c(octets):
    register = 0xFFFFFFFF
    for octet in octets:
        register ^= octet
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def binary(source="10.1.2.3", destination="10.9.9.9", ports=(4000, 443), command=0x21, family=None, more=b""):
    v6 = ":" in source
    pack = socket.inet_pton
    kind = socket.AF_INET6 if v6 else socket.AF_INET
    body = pack(kind, source) + pack(kind, destination) + struct.pack("!HH", *ports) + more
    return SIGNATURE + struct.pack("!BBH", command, family if family is not None else 0x21 if v6 else 0x11,
                                   len(body)) + body


def with_checksum(spoil=0):
    header = bytearray(binary(more=b"\x04\x00\x02\0\0" + b"\x03\x00\x04\0\0\0\0"))
    header[-4:] = struct.pack("!I", crc32c(header) ^ spoil)
    return bytes(header)


def connect(address, header, piecewise=False, **options):
    """A client behind a proxy that sends `header` first."""
    return FrameClient(address, before=header, piecewise=piecewise, **options)


@pytest.fixture
def listening(moongate, upstream):
    """Starts a proxy whose listener takes the PROXY protocol."""
    def start(more=None, **rules):
        server = upstream(lambda connection, head: connection.respond(
            head.stream, headers=[(name, value) for name, value in head.headers
                                  if name.startswith("x-")]))
        return moongate(
            configuration(
                server.address, routes=[route(policies=[{"policy": "policies/show.lua"}])],
                access_log={"path": "access.log"},
                listeners=[{"name": "main", "address": "127.0.0.1:0", "proxy_protocol": rules, **(more or {})}]),
            policies={"show.lua": SHOW})

    return start


def addresses(client):
    head = client.call(request())[0]
    assert head.get("x-direct").startswith("127.0.0.1:"), head
    assert head.get("x-forwarded-for") == head.get("x-remote").rpartition(":")[0].strip("[]")
    return head.get("x-remote"), head.get("x-local")


GOOD = {
    "v1-4": (b"PROXY TCP4 10.1.2.3 10.9.9.9 4000 443\r\n", "10.1.2.3:4000", "10.9.9.9:443"),
    "v1-6": (b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 443\r\n", "[2001:db8::1]:4000", "[2001:db8::2]:443"),
    "v1-longest": (b"PROXY TCP6 " + b"ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe " * 2 + b"65535 65535\r\n",
                   *["[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535"] * 2),
    "v1-unknown": (b"PROXY UNKNOWN\r\n", None, None),
    "v1-unknown-more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None, None),
    "v2-4": (binary(), "10.1.2.3:4000", "10.9.9.9:443"),
    "v2-6": (binary("2001:db8::1", "2001:db8::2"), "[2001:db8::1]:4000", "[2001:db8::2]:443"),
    "v2-local": (binary(command=0x20), None, None),
    "v2-local-empty": (SIGNATURE + b"\x20\x00\x00\x00", None, None),
    "v2-unspecified": (binary(family=0), None, None),
    "v2-unix": (SIGNATURE + b"\x21\x31" + struct.pack("!H", 216) + bytes(216), None, None),
    "v2-extensions": (binary(more=b"\x01\x00\x02h2\xe0\x00\x03abc"), "10.1.2.3:4000", "10.9.9.9:443"),
    "v2-large": (binary(more=b"\xe0" + struct.pack("!H", 8000) + bytes(8000)), "10.1.2.3:4000", "10.9.9.9:443"),
    "v2-checksum": (with_checksum(), "10.1.2.3:4000", "10.9.9.9:443"),
}


@pytest.mark.parametrize("name, piecewise", [
    (name, piecewise) for name in GOOD for piecewise in (False, True) if not piecewise or len(GOOD[name][0]) <= 300
])
def test_good_headers(listening, name, piecewise):
    header, remote, local = GOOD[name]
    proxy = listening(mode="required")
    client = connect(proxy.address, header, piecewise)
    own = "%s:%d" % client.sock.getsockname()
    assert addresses(client) == (remote or own, local or proxy.address)
    client.close()
    log = proxy.folder / "access.log"
    eventually(lambda: log.exists() and log.read_text(), 5)
    entry = json.loads(log.read_text())
    assert entry["remote"] == (remote or own)
    assert entry.get("peer") == (own if remote else None)


BAD = {
    "none": b"", "garbage": b"GET / HTTP/1.1\r\n\r\n", "v1-lower": b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
    "v1-family": b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n", "v1-address": b"PROXY TCP4 1.1.1 1.1.1.1 1 1\r\n",
    "v1-mixed": b"PROXY TCP4 ::1 1.1.1.1 1 1\r\n", "v1-mapped": b"PROXY TCP4 ::ffff:1.1.1.1 1.1.1.1 1 1\r\n",
    "v1-port": b"PROXY TCP4 1.1.1.1 1.1.1.1 65536 1\r\n", "v1-zeros": b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
    "v1-sign": b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n", "v1-few": b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
    "v1-many": b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n", "v1-spaces": b"PROXY TCP4  1.1.1.1 1.1.1.1 1 1\r\n",
    "v1-newline": b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n", "v1-long": b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n",
    "v2-version": binary(command=0x11), "v2-command": binary(command=0x22), "v2-datagram": binary(family=0x12),
    "v2-family": binary(family=0x41), "v2-short": SIGNATURE + b"\x21\x11\x00\x04\1\2\3\4",
    "v2-overrun": binary(more=b"\x01\x00\x09h2"), "v2-cut": binary(more=b"\x01\x00"),
    "v2-too-large": binary(more=b"\xe0" + struct.pack("!H", 9000) + bytes(9000)),
    "v2-checksum": with_checksum(spoil=1),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_headers_end_the_connection(listening, name):
    proxy = listening(mode="required")
    with socket.create_connection(split(proxy.address), timeout=10) as sock:
        sock.sendall(BAD[name] + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
        assert _is_closed(sock)
    eventually(lambda: proxy.metric("moongate_downstream_proxy_protocol_failures_total", listener="main") == 1, 5)
    said = eventually(lambda: [entry["reason"] for entry in proxy.log_entries()
                               if entry["message"] == "client refused"], 5, what="a line in the log")
    assert said in (["PROXY protocol: no header"], ["PROXY protocol: malformed header"])
    assert addresses(connect(proxy.address, GOOD["v1-4"][0]))


def _is_closed(sock):
    try:
        return not sock.recv(4096)
    except ConnectionError:
        return True


@pytest.mark.parametrize("sent", [b"", b"PROXY TCP4 1.1", SIGNATURE + b"\x21\x11"])
def test_header_that_does_not_come_is_not_waited_for(listening, sent):
    proxy = listening(mode="required", timeout="300ms")
    with socket.create_connection(split(proxy.address), timeout=10) as sock:
        sock.sendall(sent)
        assert _is_closed(sock)
    eventually(lambda: proxy.metric("moongate_downstream_proxy_protocol_failures_total") == 1, 5)


def test_client_that_leaves_within_its_header(listening):
    proxy = listening(mode="required", timeout="1m")
    sock = socket.create_connection(split(proxy.address), timeout=10)
    sock.sendall(b"PROXY TCP4 1.1")
    time.sleep(0.1)
    sock.close()
    eventually(lambda: proxy.metric("moongate_downstream_proxy_protocol_failures_total") == 1, 5)


def test_only_trusted_proxies_are_believed(listening):
    proxy = listening(mode="required", trusted=["10.0.0.0/8"])
    with socket.create_connection(split(proxy.address), timeout=10) as sock:
        sock.sendall(GOOD["v1-4"][0])
        assert _is_closed(sock)
    assert addresses(connect(listening(mode="required", trusted=["10.0.0.0/8", "127.0.0.1"]).address,
                             GOOD["v2-4"][0])) == ("10.1.2.3:4000", "10.9.9.9:443")


def test_optional(listening):
    proxy = listening(mode="optional", trusted=["127.0.0.0/8"])
    assert addresses(connect(proxy.address, GOOD["v1-4"][0])) == ("10.1.2.3:4000", "10.9.9.9:443")
    assert addresses(connect(proxy.address, GOOD["v2-6"][0]))[0] == "[2001:db8::1]:4000"
    direct = connect(proxy.address, b"")
    assert addresses(direct) == ("%s:%d" % direct.sock.getsockname(), proxy.address)
    distrusting = listening(mode="optional", trusted=["10.0.0.0/8"])
    direct = connect(distrusting.address, b"")
    assert addresses(direct)[0] == "%s:%d" % direct.sock.getsockname()
    with socket.create_connection(split(distrusting.address), timeout=10) as sock:
        sock.sendall(GOOD["v1-4"][0] + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        while sock.recv(4096):
            pass


@pytest.mark.parametrize("piecewise", [False, True])
@pytest.mark.parametrize("name", ["v1-4", "v2-6"])
def test_before_tls(listening, authority, name, piecewise):
    server = authority().issue("server", ["a.example"])
    proxy = listening(mode="required", more={"tls": {"certificates": [server.setting()]}})
    header, remote, local = GOOD[name]
    client = connect(proxy.address, header, piecewise, tls=trusting_context(), server_name="a.example")
    assert addresses(client) == (remote, local)


def test_drain_does_not_wait_for_headers(listening):
    proxy = listening(mode="required", timeout="1m")
    with socket.create_connection(split(proxy.address), timeout=10):
        eventually(lambda: proxy.metric("moongate_downstream_proxy_protocol_failures_total") == 0, 2)
        proxy.signal(signal.SIGTERM)
        assert proxy.wait(10) == 0


def test_of_too_many_that_wait_for_their_header_the_oldest_goes(listening):
    proxy = listening({"limits": {"pending_handshakes": 5}}, mode="required", timeout="30s")
    silent = [socket.create_connection(split(proxy.address)) for _ in range(6)]
    silent[0].settimeout(10)
    assert silent[0].recv(1) == b"", "the oldest is closed"
    client = connect(proxy.address, GOOD["v2-4"][0])
    assert addresses(client)[0] == "10.1.2.3:4000"
    assert proxy.metric("moongate_downstream_refused_total", listener="main", limit="pending_handshakes") == 2
    proxy.wait_for_line("too many handshakes at a time", 5)
    for sock in silent[2:]:
        sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            sock.recv(1)
    for sock in [*silent, client.sock]:
        sock.close()
