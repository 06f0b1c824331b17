"""A load generator that sends small gRPC calls at a fixed rate and resets some of them; run as a program.

h2load cannot cancel, and a Python gRPC client is too slow: this one writes frames that were encoded beforehand and
looks only at frame headers, and at header blocks it has not seen before. The peer is told to use no dynamic HPACK
table, so that equal fields are equal octets.

    python -m harness.raw_load ADDRESS --rate 5000 --seconds 60 --cancel 0.05

prints one JSON object: calls sent, finished by grpc-status, cancelled, reset by the peer, unanswered, and latencies in
milliseconds.
"""
import argparse
import asyncio
import collections
import json
import random
import struct
import time

import hpack

from .ports import split

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1
BODY = b"\0\0\0\0\x40" + b"q" * 64
VARYING = "@" * 12                     # replaced by a number of the same length in each request


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def literal(name, value):
    """A field in HPACK without table and Huffman; lengths below 127."""
    return b"\0" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()


class Connection(asyncio.Protocol):
    """Calls over one connection, and what became of them."""

    def __init__(self, load):
        self.load = load
        self.pending = {}              # stream -> time of its request
        self.cancelled = set()
        self.next_stream = 1
        self.buffer = b""
        self.out = []
        self.lost = False
        self.decoder = hpack.Decoder()
        self.blocks = {}               # header block -> grpc-status or None

    def connection_made(self, transport):
        self.transport = transport
        settings = struct.pack(">HIHIHI", 1, 0, 2, 0, 4, 1 << 20)
        transport.write(PREFACE + frame(SETTINGS, 0, 0, settings) + frame(WINDOW_UPDATE, 0, 0, b"\x7f\xff\0\0"))

    def connection_lost(self, _):
        self.lost = True

    def call(self, whole=True):
        """Begins a call; one that is not whole never ends by itself."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        self.out.append(frame(HEADERS, END_HEADERS, stream, self.load.head()))
        self.out.append(frame(DATA, END_STREAM if whole else 0, stream, BODY))
        self.pending[stream] = time.perf_counter()
        return stream

    def cancel(self, stream):
        if self.pending.pop(stream, None) is not None:
            self.cancelled.add(stream)
            self.out.append(frame(RST_STREAM, 0, stream, b"\0\0\0\x08"))
            self.load.cancelled += 1
        else:
            self.load.too_late += 1

    def flush(self):
        if self.out and not self.lost:
            self.transport.write(b"".join(self.out))
        self.out.clear()

    def data_received(self, octets):
        buffer = self.buffer + octets
        position, end = 0, len(buffer)
        while end - position >= 9:
            length = int.from_bytes(buffer[position:position + 3], "big")
            if end - position < 9 + length:
                break
            stream = int.from_bytes(buffer[position + 5:position + 9], "big")
            self.arrived(buffer[position + 3], buffer[position + 4], stream, buffer[position + 9:position + 9 + length])
            position += 9 + length
        self.buffer = buffer[position:]

    def arrived(self, kind, flags, stream, payload):
        if kind == HEADERS:
            status = self.status(payload)
            if flags & END_STREAM:
                self.ended(stream, status)
        elif kind == DATA:
            if flags & END_STREAM:
                self.ended(stream, "none")
        elif kind == RST_STREAM:
            self.ended(stream, f"reset {int.from_bytes(payload, 'big')}")
        elif kind == SETTINGS and not flags & ACK:
            self.transport.write(frame(SETTINGS, ACK, 0))
        elif kind == PING and not flags & ACK:
            self.transport.write(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            self.load.outcomes["goaway"] += 1

    def status(self, block):
        if block not in self.blocks:
            fields = dict(self.decoder.decode(block))
            self.blocks[block] = fields.get("grpc-status")
        return self.blocks[block]

    def ended(self, stream, outcome):
        began = self.pending.pop(stream, None)
        if began is None:
            if stream in self.cancelled:
                self.cancelled.discard(stream)
            return
        self.load.outcomes[str(outcome)] += 1
        self.load.latencies.append(time.perf_counter() - began)


class Load:
    def __init__(self, options):
        self.options = options
        self.outcomes = collections.Counter()
        self.latencies = []
        self.cancelled = self.too_late = self.sent = 0
        fields = [(":method", "POST"), (":scheme", "http"), (":path", options.path), (":authority", options.authority),
                  ("content-type", "application/grpc"), ("te", "trailers")]
        fields += [tuple(text.split(": ", 1)) for text in options.header]
        self.block = b"".join(literal(*field) for field in fields)
        self.random = random.Random(7)

    def head(self):
        if VARYING.encode() not in self.block:
            return self.block
        return self.block.replace(VARYING.encode(), b"%012d" % self.sent)

    async def run(self):
        host, port = split(self.options.address)
        loop = asyncio.get_running_loop()
        connections = [
            (await loop.create_connection(lambda: Connection(self), host, port))[1]
            for _ in range(self.options.connections)]
        began = time.perf_counter()
        while (now := time.perf_counter()) - began < self.options.seconds:
            self.send_due(loop, connections, int((now - began) * self.options.rate))
            await asyncio.sleep(0.002)
        took = time.perf_counter() - began
        deadline = time.perf_counter() + 5
        while any(c.pending for c in connections) and time.perf_counter() < deadline:
            await asyncio.sleep(0.02)
        return self.result(connections, took)

    def send_due(self, loop, connections, due):
        while self.sent < due:
            connection = connections[self.sent % len(connections)]
            self.sent += 1
            if self.random.random() >= self.options.cancel:
                connection.call()
                continue
            # In the same write, while the call waits for more of the request, or when the answer may be there already.
            delay, whole = self.random.choice(((0, True), (0.002, False), (0.0005, True)))
            stream = connection.call(whole)
            if delay:
                loop.call_later(delay, self.cancel_later, connection, stream)
            else:
                connection.cancel(stream)
        for connection in connections:
            connection.flush()

    @staticmethod
    def cancel_later(connection, stream):
        connection.cancel(stream)
        connection.flush()

    def result(self, connections, took):
        ordered = sorted(self.latencies)

        def percentile(share):
            return round(ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000, 3) if ordered else None

        return {
            "sent": self.sent, "rate": round(self.sent / took), "outcomes": dict(self.outcomes),
            "cancelled": self.cancelled, "too_late_to_cancel": self.too_late,
            "unanswered": sum(len(c.pending) for c in connections), "lost": sum(c.lost for c in connections),
            "p50": percentile(0.5), "p99": percentile(0.99),
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("address")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--cancel", type=float, default=0)
    parser.add_argument("--path", default="/bench.Echo/Unary.grpc")
    parser.add_argument("--authority", default="bench.example")
    parser.add_argument("--header", action="append", default=[], help="name: value; @@@@@@@@@@@@ becomes a number")
    print(json.dumps(asyncio.run(Load(parser.parse_args()).run())))


if __name__ == "__main__":
    main()
