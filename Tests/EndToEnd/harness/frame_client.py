"""A client that sends what a test tells it to, frame by frame."""
import select
import socket
import ssl
import threading
import time

from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from .frames import PREFACE, FrameConnection
from .ports import split

REQUEST = [
    (":method", "POST"), (":scheme", "http"), (":path", "/moongate.test.Probe/Unary"), (":authority", "test.example"),
    ("content-type", "application/grpc"), ("te", "trailers"),
]


def request(path=None, authority=None, extra=(), method=None, content_type="application/grpc"):
    """The head of a gRPC request with some of its fields changed; `None` leaves a field as it is, "" leaves it out."""
    changes = {":path": path, ":authority": authority, ":method": method, "content-type": content_type}
    fields = [(name, value if changes.get(name) is None else changes[name]) for name, value in REQUEST]
    return [(name, value) for name, value in fields if value != ""] + list(extra)


class TLSSocket:
    """A TLS socket whose reader and writer take turns: OpenSSL's objects are not made for two threads at a time."""

    def __init__(self, sock):
        sock.setblocking(False)
        self.sock = sock
        self.turn = threading.Lock()

    def __getattr__(self, name):
        return getattr(self.sock, name)

    def recv(self, count):
        while True:
            with self.turn:
                try:
                    return self.sock.recv(count)
                except ssl.SSLWantReadError:
                    pass
            self._wait(select.POLLIN)

    def sendall(self, octets):
        left = memoryview(octets)
        while left:
            with self.turn:
                try:
                    left = left[self.sock.send(left):]
                    continue
                except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
                    pass
            self._wait(select.POLLOUT)

    def shutdown(self, how):
        # That of SSLSocket forgets TLS, and a reader would take what still comes for frames.
        socket.socket.shutdown(self.sock, how)

    def _wait(self, event):
        # Not select, which knows no descriptors beyond 1023: a whole run of the tests has more open.
        poll = select.poll()
        poll.register(self.sock, event)
        poll.poll(500)


class FrameClient(FrameConnection):
    """Connects, sends preface and SETTINGS, and hands out stream numbers."""

    def __init__(self, address, settings=None, refill=True, tls=None, server_name=None, window=1 << 24,
                 before=b"", piecewise=False, session=None, meanwhile=None, receive_buffer=None):
        """`window`: octets that the connection window is opened by, beyond the 65,535 it begins with; `before`: sent
        before TLS and HTTP/2, with `piecewise` octet by octet; `session`: of TLS, to be resumed; `meanwhile`: called when
        the connection is there and nothing was said; `receive_buffer`: octets that the kernel may keep for us."""
        sock = _connect(split(address), receive_buffer)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if meanwhile:
            meanwhile()
        for part in [before[place:place + 1] for place in range(len(before))] if piecewise else [before]:
            sock.sendall(part)
            if piecewise:
                time.sleep(0.002)
        if tls:
            sock = TLSSocket(tls.wrap_socket(sock, server_hostname=server_name, session=session))
        else:
            sock.settimeout(None)
        super().__init__(sock, settings, refill)
        self.next_stream = 1
        opening = PREFACE + SettingsFrame(0, settings=self.first_settings).serialize()
        if window:
            opening += WindowUpdateFrame(0, window).serialize()
        self.send_raw(opening)
        self.start_reading()

    def new_stream(self):
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        return stream

    def open(self, headers=None, end_stream=False, **options):
        """Begins a request and returns its stream."""
        stream = self.new_stream()
        self.send_headers(stream, headers or request(), end_stream, **options)
        return stream

    def call(self, headers=None, body=None, timeout=5.0):
        """A whole request; returns the frames of the answer up to its end."""
        stream = self.open(headers, end_stream=body is None)
        if body is not None:
            self.send_data(stream, body, end_stream=True)
        return self.answer(stream, timeout)

    def end(self, stream, timeout=5.0):
        """Waits for the frame that ends the answer: END_STREAM or a reset. (A reset may follow END_STREAM.)"""
        return self.wait_for(
            lambda frame: frame.stream == stream and (frame.ends_stream or frame.type == "RstStream"), timeout,
            f"end of stream {stream}")

    def answer(self, stream, timeout=5.0):
        """Waits until the answer has ended, and returns its frames up to its end."""
        last = self.end(stream, timeout)
        frames = self.of_stream(stream)
        return frames[:frames.index(last) + 1]


class SlowClient(FrameClient):
    """A client with a small receive buffer that reads a little at a time, and nothing as long as `reading` is not set."""

    def __init__(self, address, piece=4096, pause=0.005, **options):
        self.piece, self.pause = piece, pause
        self.reading = threading.Event()
        self.reading.set()
        super().__init__(address, receive_buffer=8192, **options)

    def _exactly(self, count):
        octets = b""
        while len(octets) < count:
            self.reading.wait()
            more = self.sock.recv(min(self.piece, count - len(octets)))
            if not more:
                raise ConnectionError("closed")
            octets += more
            time.sleep(self.pause)
        return octets

    def close(self):
        self.reading.set()
        self.pause = 0
        super().close()


def _connect(address, receive_buffer):
    if receive_buffer is None:
        return socket.create_connection(address, timeout=10)
    sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)       # before the window is agreed on
    sock.settimeout(10)
    sock.connect(address)
    return sock


class DeafClient(FrameClient):
    """Lets what comes wait in its socket, which takes little, until `listen`."""

    def __init__(self, address, **options):
        super().__init__(address, settings={SettingsFrame.INITIAL_WINDOW_SIZE: 1 << 24}, **options)

    def start_reading(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def listen(self):
        super().start_reading()


def trusting_context(protocols=("h2",), minimum=None, maximum=None):
    """A TLS context that takes any certificate, for tests that look at it themselves."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(list(protocols))
    if minimum:
        context.minimum_version = minimum
    if maximum:
        context.maximum_version = maximum
    return context
