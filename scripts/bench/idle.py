"""Connections that make one call and then say nothing more, and the memory they take."""
import select
import socket
import ssl
import time

from measure import AUTHORITY, HOST
from processes import Failed, message
from scenarios import SIZES

FIRST, COUNTED, QUIET = 100, 1000, 2
DATA, HEADERS, SETTINGS, PING, GOAWAY = 0, 1, 4, 6, 7
ACK = END_STREAM = 0x1
END_HEADERS, PADDED, PRIORITY = 0x4, 0x8, 0x20


def run(proxy):
    """Growth of the proxy's memory in KiB per connection. The first ones pay for what is there once."""
    connections = []
    try:
        start = _grown(proxy, connections, FIRST)
        end = _grown(proxy, connections, COUNTED)
        return {"growth": (end - start) / COUNTED, "total": end / 1024, "failed": 0, "why": ""}
    except (OSError, ssl.SSLError) as error:
        raise Failed(f"after {len(connections)} connections: {error}") from None
    finally:
        for connection in connections:
            connection.close()


def _grown(proxy, connections, count):
    for _ in range(count):
        connections.append(_connect(proxy))
        _call(connections[-1], proxy.scenario)
    time.sleep(QUIET)
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLRDHUP)
    if gone := len(poll.poll(0)):
        raise Failed(f"{gone} idle connections were closed")
    return proxy.memory()


def _connect(proxy):
    plain = socket.create_connection(("127.0.0.1", proxy.port), 10)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not proxy.scenario.tls:
        return plain
    # The certificate was made a moment ago, and nobody vouches for it.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context.wrap_socket(plain, server_hostname=HOST)


def _frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def _field(name, value):
    """A literal field that no table keeps (RFC 7541 §6.2.2)."""
    return b"".join([b"\0", bytes([len(name)]), name.encode(), bytes([len(value)]), value.encode()])


def _call(connection, scenario):
    fields = [(":method", "POST"), (":scheme", "https" if scenario.tls else "http"), (":path", scenario.path),
              (":authority", AUTHORITY), ("content-type", "application/grpc"), ("te", "trailers")]
    block = b"".join(_field(*field) for field in fields)
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(SETTINGS, 0, 0) +
                       _frame(HEADERS, END_HEADERS, 1, block) + _frame(DATA, END_STREAM, 1, message(69, b"q")))
    octets, good, ended, pending = 0, None, False, b""
    while not ended:
        received = connection.recv(65536)
        if not received:
            raise Failed("closed a connection instead of answering")
        pending += received
        while len(pending) >= 9 and len(pending) >= (size := 9 + int.from_bytes(pending[:3], "big")):
            kind, flags, payload, pending = pending[3], pending[4], pending[9:size], pending[size:]
            if kind in (SETTINGS, PING) and not flags & ACK:
                connection.sendall(_frame(kind, ACK, 0, payload if kind == PING else b""))
            elif kind == HEADERS:
                good = _ok(flags, payload) if good is None else good
                ended = bool(flags & END_STREAM)
            elif kind == DATA:
                octets += len(payload)
            elif kind not in (SETTINGS, PING, 8):
                raise Failed(f"sent a frame of type {kind} instead of an answer")
    if not good or octets != SIZES[scenario.path]:
        raise Failed("answered a call on a connection to be idle wrong")


def _ok(flags, payload):
    """Whether a head begins with `:status: 200` as the static table has it."""
    block = payload[bool(flags & PADDED) + 5 * bool(flags & PRIORITY):]
    # Sizes of the table (RFC 7541 §6.3), of one octet or of several.
    while block and block[0] >> 5 == 1:
        several, block = block[0] & 31 == 31, block[1:]
        while several and block:
            several, block = block[0] >> 7 == 1, block[1:]
    return block[:1] == b"\x88"
