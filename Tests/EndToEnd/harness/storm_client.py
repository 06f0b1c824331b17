"""The client of the reload storm: unary calls, streams that come and go, and streams that stay; run as a program.

    python -m harness.storm_client ADDRESS SECONDS

prints one JSON object: calls and streams that went through, those that failed (with reasons), and how many different
policy marks the streams began with.
"""
import asyncio
import json
import sys
import time

import grpc

from .stubs import Order, probe_pb2_grpc

OPTIONS = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0)]
STREAM_LIFE = 4.0                      # seconds
STAYING = 8
UNARY_LOOPS = 6


class Storm:
    def __init__(self, address, seconds):
        self.channels = [grpc.aio.insecure_channel(address, options=OPTIONS) for _ in range(4)]
        self.stubs = [probe_pb2_grpc.ProbeStub(channel) for channel in self.channels]
        self.end = time.monotonic() + seconds
        self.calls = self.streams = 0
        self.marks = set()
        self.mixed = []                # streams whose two hooks belonged to different generations
        self.failures = []

    def stub(self, number):
        return self.stubs[number % len(self.stubs)]

    async def unary(self, number):
        while time.monotonic() < self.end:
            try:
                await self.stub(number).Unary(Order(payload=b"x" * 200, answer_bytes=200), timeout=10)
                self.calls += 1
            except grpc.aio.AioRpcError as error:
                self.failures.append(f"unary: {error.code().name}: {error.details()}")
            await asyncio.sleep(0.002)

    async def stream(self, number, life):
        """A bidi call with a message every half second."""
        try:
            call = self.stub(number).Bidi()
            until = min(time.monotonic() + life, self.end)
            index = 0
            while time.monotonic() < until:
                await call.write(Order(answer_bytes=10))
                report = await call.read()
                assert report is not grpc.aio.EOF and report.index == index, "a message is missing"
                if index == 0:
                    await self.note_mark(call, report)
                index += 1
                await asyncio.sleep(0.5)
            await call.done_writing()
            assert await call.read() is grpc.aio.EOF
            assert await call.code() is grpc.StatusCode.OK
            self.streams += 1
        except (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError) as error:
            self.failures.append(f"stream: {error!r}")

    async def note_mark(self, call, report):
        began = next((pair.value.decode() for pair in report.metadata if pair.key == "x-mark"), None)
        answered = dict(await call.initial_metadata()).get("x-mark")
        self.marks.add(began)
        if began != answered:
            self.mixed.append((began, answered))

    async def run(self):
        tasks = [asyncio.create_task(self.unary(number)) for number in range(UNARY_LOOPS)]
        tasks += [asyncio.create_task(self.stream(number, 3600)) for number in range(STAYING)]
        number = 0
        while time.monotonic() < self.end - 0.5:
            tasks.append(asyncio.create_task(self.stream(number, STREAM_LIFE)))
            number += 1
            await asyncio.sleep(0.1)
        await asyncio.gather(*tasks)
        return {"calls": self.calls, "streams": self.streams, "marks": len(self.marks), "mixed": self.mixed[:5],
                "failed": len(self.failures), "failures": self.failures[:10]}


async def main():
    storm = Storm(sys.argv[1], float(sys.argv[2]))
    print(json.dumps(await storm.run()))


if __name__ == "__main__":
    asyncio.run(main())
