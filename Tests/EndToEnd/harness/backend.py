"""A real grpcio server that does what each call asks for and remembers what it saw."""
import concurrent.futures
import threading
import time

import grpc

from .stubs import HelloReply, Order, Pair, Report, helloworld_pb2_grpc, probe_pb2_grpc

CODES = {code.value[0]: code for code in grpc.StatusCode}


class Seen:
    """One call as the backend saw it."""

    def __init__(self, context, method):
        self.method = method
        self.metadata = list(context.invocation_metadata())
        self.peer = context.peer()
        self.began = time.monotonic()
        self.ended = None
        self.cancelled = False
        self.orders = 0
        self.bytes = 0
        self.done = threading.Event()
        context.add_callback(self._finish)

    def _finish(self):
        self.ended = time.monotonic()
        self.done.set()

    def values(self, key):
        return [value for name, value in self.metadata if name == key]


class _Probe(probe_pb2_grpc.ProbeServicer):
    def __init__(self, backend):
        self.backend = backend

    def Unary(self, order, context):
        return self._one(order, context, "Unary")

    def UnaryTwo(self, order, context):
        return self._one(order, context, "UnaryTwo")

    def _one(self, order, context, method):
        seen = self.backend.began(context, method)
        seen.orders, seen.bytes = 1, len(order.payload)
        _send_initial(order, context)
        report = self._report(order, context, seen)
        _finish(order, context)
        return report

    def ClientStream(self, orders, context):
        seen = self.backend.began(context, "ClientStream")
        order = Order()
        for order in orders:
            seen.orders += 1
            seen.bytes += len(order.payload)
            time.sleep(order.read_delay_ms / 1000)
        _send_initial(order, context)
        report = self._report(order, context, seen)
        _finish(order, context)
        return report

    def ServerStream(self, order, context):
        seen = self.backend.began(context, "ServerStream")
        _send_initial(order, context)
        for index in range(order.count):
            if not context.is_active():
                seen.cancelled = True
                return
            yield self._report(order, context, seen, index)
        _finish(order, context)

    def Bidi(self, orders, context):
        seen = self.backend.began(context, "Bidi")
        for index, order in enumerate(orders):
            seen.orders += 1
            seen.bytes += len(order.payload)
            if index == 0:
                _send_initial(order, context)
            yield self._report(order, context, seen, index)
            if order.finish:
                break
        else:
            return
        _finish(order, context)

    def _report(self, order, context, seen, index=0):
        if order.delay_ms:
            seen.cancelled = seen.done.wait(order.delay_ms / 1000)
        remaining = context.time_remaining()
        return Report(
            payload=bytes(order.answer_bytes), backend=self.backend.name, method=seen.method,
            received_bytes=seen.bytes, received_orders=seen.orders,
            time_remaining=-1 if remaining is None else remaining, index=index,
            metadata=[Pair(key=key, value=_bytes(value)) for key, value in seen.metadata])


class _OtherProbe(probe_pb2_grpc.OtherProbeServicer):
    def __init__(self, probe):
        self.probe = probe

    def Unary(self, order, context):
        return self.probe._one(order, context, "OtherProbe.Unary")  # noqa: SLF001


class _Greeter(helloworld_pb2_grpc.GreeterServicer):
    def __init__(self, backend):
        self.backend = backend

    def SayHello(self, request, context):
        self.backend.began(context, "SayHello")
        return HelloReply(message=f"Hello, {request.name}!")


def _bytes(value):
    return value if isinstance(value, bytes) else value.encode()


def _metadata(pairs):
    return [(pair.key, pair.value if pair.key.endswith("-bin") else pair.value.decode()) for pair in pairs]


def _send_initial(order, context):
    if order.initial_metadata:
        context.send_initial_metadata(_metadata(order.initial_metadata))


def _finish(order, context):
    trailing = _metadata(order.trailing_metadata)
    if order.details:
        trailing.append(("grpc-status-details-bin", order.details))
    if trailing:
        context.set_trailing_metadata(trailing)
    if order.code:
        context.abort(CODES[order.code], order.message)


class Backend:
    """A server on loopback. `stop()` and `start()` may be called again: the port stays the same."""

    def __init__(self, name="a", address="127.0.0.1:0", options=(), threads=64, credentials=None):
        """`credentials`: of grpcio, for TLS."""
        self.name = name
        self.address = address
        self.options = [("grpc.so_reuseport", 0), ("grpc.max_receive_message_length", -1),
                        ("grpc.max_metadata_size", 1 << 20), ("grpc.absolute_max_metadata_size", 1 << 20), *options]
        self.threads = threads
        self.credentials = credentials
        self.calls = []
        self.lock = threading.Lock()
        self.server = None
        self.start()

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    def start(self):
        self.server = grpc.server(
            concurrent.futures.ThreadPoolExecutor(self.threads), options=self.options, maximum_concurrent_rpcs=None)
        probe = _Probe(self)
        probe_pb2_grpc.add_ProbeServicer_to_server(probe, self.server)
        probe_pb2_grpc.add_OtherProbeServicer_to_server(_OtherProbe(probe), self.server)
        helloworld_pb2_grpc.add_GreeterServicer_to_server(_Greeter(self), self.server)
        if self.credentials:
            port = self.server.add_secure_port(self.address, self.credentials)
        else:
            port = self.server.add_insecure_port(self.address)
        self.address = f"{self.address.rpartition(':')[0]}:{port}"
        self.server.start()
        return self

    def stop(self, grace=None):
        if self.server:
            self.server.stop(grace).wait(5)
            self.server = None

    def began(self, context, method):
        seen = Seen(context, method)
        with self.lock:
            self.calls.append(seen)
        return seen

    def last(self):
        with self.lock:
            return self.calls[-1]

    def count(self):
        with self.lock:
            return len(self.calls)

    def forget(self):
        with self.lock:
            self.calls.clear()
