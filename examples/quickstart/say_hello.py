"""Calls the greeter: `python say_hello.py ADDRESS [NAME=VALUE ...]`; names and values become metadata."""
import sys

import grpc
from helloworld_pb2 import HelloRequest
from helloworld_pb2_grpc import GreeterStub

address, *pairs = sys.argv[1:]
metadata = [tuple(pair.split("=", 1)) for pair in pairs]
with grpc.insecure_channel(address) as channel:
    try:
        reply = GreeterStub(channel).SayHello(HelloRequest(name="world"), metadata=metadata, timeout=10)
        print(f"answer: {reply.message}")
    except grpc.RpcError as error:
        print(f"refused: {error.code().name} ({error.code().value[0]}): {error.details()}")
        sys.exit(1)
