"""What is measured. What the columns of each kind are says `table.py`."""
from dataclasses import dataclass

UNARY, LARGE = "/bench.Echo/Unary.grpc", "/bench.Echo/Large.grpc"
# The body of an answer: one gRPC message, its prefix included.
SIZES = {UNARY: 128, LARGE: 1 << 20}
# What the latency is measured at, as a part of the slowest proxy's most.
RATE_PART = 0.6


@dataclass(frozen=True)
class Scenario:
    name: str
    about: str
    # calls, stream, idle or latency
    kind: str = "calls"
    connections: int = 8
    streams: int = 16
    path: str = UNARY
    tls: bool = False
    # Port strip and password check in Lua.
    policy: bool = False

    def flags(self):
        """What templates may ask for by `@?flag@`."""
        return {name for name, on in (("tls", self.tls), ("policy", self.policy), ("large", self.path == LARGE)) if on}


SCENARIOS = [
    Scenario("unary", "small calls, 8 connections x 16 streams"),
    Scenario("policy", "the same with port strip and password check in the proxy's Lua", policy=True),
    Scenario("tls", "the same over TLS 1.3 (ECDSA P-256, TLS_AES_128_GCM_SHA256)", tls=True),
    Scenario("lowconc", "small calls, 1 connection x 1 stream", connections=1, streams=1),
    Scenario("manyconn", "small calls, 256 connections x 1 stream", connections=256, streams=1),
    Scenario("stream", "responses of 1 MiB, 4 connections x 4 streams", "stream", 4, 4, LARGE),
    Scenario("idle", "memory of 1,000 idle connections after a call each", "idle"),
    Scenario("idletls", "memory of 1,000 idle TLS connections after a call each", "idle", tls=True),
    # More streams than wait at a time at such a rate: h2load hands them out every 10 ms.
    Scenario("latency", "small calls at a fixed rate, 8 connections", "latency", streams=64),
]
