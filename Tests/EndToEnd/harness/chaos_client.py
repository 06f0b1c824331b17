"""The clients of the chaos run: unary calls and streams of all kinds that check what they get; run as a program.

    python -m harness.chaos_client ADDRESS SECONDS CA_FILE

prints one JSON object: by kind of call how many ended with which status, and what ended wrongly.
"""
import asyncio
import collections
import json
import pathlib
import random
import sys
import time

import grpc
from grpc._cython.cygrpc import ExecuteBatchError

from .stubs import Order, probe_pb2_grpc

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0), ("grpc.max_receive_message_length", -1),
           ("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 500)]
# How a call may end while servers are killed and hung: what the edge cannot save, in the words of gRPC.
RIGHT = {"OK", "UNAVAILABLE", "DEADLINE_EXCEEDED"}
# What a client calls the end of a call that it has given up itself.
GIVEN_UP = "given up"
HIDDEN = "not told by the library"
# How the library says that a call has ended while it was written to.
ENDED = (grpc.aio.AioRpcError, asyncio.InvalidStateError, ExecuteBatchError)
SIZES = [0, 10, 1000, 40_000, 300_000]
# A call that outlives its deadline by more has hung. The machine is busy.
PATIENCE = 5.0


class Chaos:
    def __init__(self, address, seconds, authority):
        trust = grpc.ssl_channel_credentials(pathlib.Path(authority).read_bytes())
        self.connect = lambda: grpc.aio.secure_channel(address, trust, options=OPTIONS)
        self.end = time.monotonic() + seconds
        self.ended = collections.defaultdict(collections.Counter)
        self.wrong = []

    def note(self, kind, began, limit, status, details):
        # So the library calls a status that it has lost, because a write failed before it was read.
        if (status, details) == ("INTERNAL", "Internal error from Core"):
            status = HIDDEN
        self.ended[kind][status] += 1
        took = time.monotonic() - began
        # A message that was cut off cannot be followed by a status.
        is_cut = status == "INTERNAL" and "RST_STREAM with error code 2" in details
        if status not in RIGHT and not is_cut and status not in (GIVEN_UP, HIDDEN):
            self.wrong.append(f"{kind}: {status}: {details}")
        if took > limit + PATIENCE:
            self.wrong.append(f"{kind}: {took:.1f} s with a deadline of {limit:.1f} s")

    async def calls(self, kind, one):
        """Calls one after the other, with a new connection now and then."""
        channel = self.connect()
        while time.monotonic() < self.end:
            if random.random() < 0.01:
                await channel.close()
                channel = self.connect()
            began, limit = time.monotonic(), random.uniform(1, 4)
            try:
                status, details = await one(probe_pb2_grpc.ProbeStub(channel), limit)
                self.note(kind, began, limit, status, details)
            except grpc.aio.AioRpcError as error:
                self.note(kind, began, limit, error.code().name, error.details())
            except ENDED:
                self.note(kind, began, limit, HIDDEN, "")
            except AssertionError as error:
                self.wrong.append(f"{kind}: {error}")
            await asyncio.sleep(random.uniform(0, 0.02))
        await channel.close()

    async def unary(self, stub, limit):
        size, answer = random.choice(SIZES), random.choice(SIZES)
        report = await stub.Unary(Order(payload=bytes(size), answer_bytes=answer), timeout=limit)
        assert (report.received_bytes, len(report.payload)) == (size, answer), "a message is not whole"
        return "OK", ""

    async def download(self, stub, limit):
        count, answer = random.randint(0, 30), random.choice(SIZES)
        index = 0
        async for report in stub.ServerStream(Order(count=count, answer_bytes=answer), timeout=limit):
            assert (report.index, len(report.payload)) == (index, answer), "a message is missing or not whole"
            index += 1
        assert index == count, f"{index} of {count} messages and OK"
        return "OK", ""

    async def upload(self, stub, limit):
        sizes = [random.choice(SIZES) for _ in range(random.randint(1, 20))]
        call = stub.ClientStream(timeout=limit)
        try:
            for size in sizes:
                await call.write(Order(payload=bytes(size)))
            await call.done_writing()
            report = await call
        except ENDED:
            # What the library says of a write into a call that has ended is not the call's status.
            code = await call.code()
            return code.name, await call.details()
        assert (report.received_bytes, report.received_orders) == (sum(sizes), len(sizes)), "a message is missing"
        return "OK", ""

    async def talk(self, stub, limit):
        """A message there and one back, again and again; every fifth call is given up in the middle."""
        call = stub.Bidi(timeout=limit)
        count = random.randint(1, 20)
        leaves = random.randrange(count) if random.random() < 0.2 else None
        for index in range(count):
            if index == leaves:
                call.cancel()
                return GIVEN_UP, ""
            try:
                await call.write(Order(payload=bytes(random.choice(SIZES)), answer_bytes=10))
            except ENDED:
                break
            report = await call.read()
            if report is grpc.aio.EOF:
                break
            assert report.index == index, "a message is missing"
            await asyncio.sleep(random.uniform(0, 0.1))
        else:
            try:
                await call.done_writing()
                assert await call.read() is grpc.aio.EOF, "one message too many"
            except ENDED:
                pass
        code = await call.code()
        return code.name, await call.details()

    async def run(self):
        kinds = {"unary": (self.unary, 6), "server stream": (self.download, 4), "client stream": (self.upload, 4),
                 "bidi stream": (self.talk, 8)}
        await asyncio.gather(*(self.calls(kind, one) for kind, (one, count) in kinds.items() for _ in range(count)))
        return {"ended": self.ended, "wrong": len(self.wrong), "examples": self.wrong[:10]}


async def main():
    chaos = Chaos(sys.argv[1], float(sys.argv[2]), sys.argv[3])
    print(json.dumps(await chaos.run()))


if __name__ == "__main__":
    asyncio.run(main())
