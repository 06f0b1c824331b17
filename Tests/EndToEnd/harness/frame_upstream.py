"""An upstream that answers what a test tells it to, frame by frame."""
import socket
import threading

from hyperframe.frame import SettingsFrame, WindowUpdateFrame

from .frame_client import TLSSocket
from .frames import PREFACE, FrameConnection, message
from .waiting import eventually

RESPONSE = [(":status", "200"), ("content-type", "application/grpc")]
OK = [("grpc-status", "0"), ("grpc-message", "")]


class UpstreamConnection(FrameConnection):
    """One connection that the proxy opened."""

    def __init__(self, sock, settings, refill, window, greet=True):
        super().__init__(sock, settings, refill)
        self.taken = set()
        if greet:
            self.greet(window)

    def greet(self, window=1 << 24):
        """Sends the server's SETTINGS."""
        frames = [SettingsFrame(0, settings=self.first_settings)]
        if window:
            frames.append(WindowUpdateFrame(0, window))
        self.send(*frames)

    def next_request(self, timeout=5.0):
        """The head of the next request that nobody took yet."""
        head = self.wait_for(
            lambda frame: frame.type == "Headers" and frame.stream not in self.taken, timeout, "new request")
        self.taken.add(head.stream)
        return head

    def untaken(self):
        """The same without waiting; `None` if there is none."""
        head = next((frame for frame in self.heads() if frame.stream not in self.taken), None)
        if head:
            self.taken.add(head.stream)
        return head

    def heads(self):
        """The heads of all requests on this connection, trailers left out."""
        with self.changed:
            return [frame for frame in self.frames if frame.type == "Headers" and frame.get(":method")]

    def wait_end(self, stream, timeout=5.0):
        """Waits until the client's side of the stream is done."""
        return self.wait_for(lambda frame: frame.stream == stream and frame.ends_stream, timeout, "end of request")

    def respond(self, stream, body=message(b""), headers=(), trailers=()):
        """A whole, well-formed gRPC answer. Threads may answer at the same time."""
        is_large = len(body) > min(self.allowance(stream), 16384)
        with self.answering:
            frames = self.headers_frames(stream, RESPONSE + list(headers))
            if not is_large:
                frames += [self.data_frame(stream, body)] if body else []
                frames += self.headers_frames(stream, OK + list(trailers), end_stream=True)
            self.send(*frames)
        if not is_large:
            return
        # Meanwhile others may be answered: this one may have to wait for a window.
        self.send_allowed(stream, body)
        with self.answering:
            self.send(*self.headers_frames(stream, OK + list(trailers), end_stream=True))


class FrameUpstream:
    """Listens on loopback; each connection of the proxy becomes an `UpstreamConnection`.

    With `script`, a function of connection and request head, every request is answered by calling it.
    """

    def __init__(self, script=None, settings=None, refill=True, window=1 << 24, greet=True, host="127.0.0.1", port=0,
                 tls=None):
        """`tls`: a context; `handshakes` remembers what came of each."""
        self.script = script
        self.options = (settings, refill, window, greet)
        self.tls = tls
        self.handshakes = []
        self.connections = []
        self.changed = threading.Condition()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.listener = socket.create_server((host, port), family=family, backlog=128)
        self.port = self.listener.getsockname()[1]
        self.address = f"[{host}]:{self.port}" if ":" in host else f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
                self.handshakes.append({"resumed": sock.session_reused, "version": sock.version(),
                                        "alpn": sock.selected_alpn_protocol(), "client": sock.getpeercert()})
                sock = TLSSocket(sock)
            connection = UpstreamConnection(sock, *self.options)
            if connection._exactly(len(PREFACE)) != PREFACE:  # noqa: SLF001
                return sock.close()
        except OSError:
            return sock.close()
        connection.start_reading()
        with self.changed:
            self.connections.append(connection)
            self.changed.notify_all()
        if self.script:
            self._answer_all(connection)

    def _answer_all(self, connection):
        while True:
            try:
                head = connection.next_request(timeout=3600)
                self.script(connection, head)
            except (AssertionError, OSError):
                return

    def connection(self, index=0, timeout=5.0):
        """The connection that the proxy opened as number `index`; waits for it."""
        with self.changed:
            if not self.changed.wait_for(lambda: len(self.connections) > index, timeout):
                raise AssertionError(f"the proxy opened {len(self.connections)} connections, not {index + 1}")
            return self.connections[index]

    def next_request(self, timeout=5.0):
        """Connection and head of the next request that nobody took yet, on whichever connection it came."""
        def find():
            for connection in list(self.connections):
                head = connection.untaken()
                if head:
                    return connection, head
            return None

        return eventually(find, timeout, interval=0.001, what="a new request at the upstream")

    def heads(self):
        """The heads of all requests so far."""
        return [frame for connection in list(self.connections) for frame in connection.heads()]

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)      # wakes the thread that accepts
        except OSError:
            pass
        self.listener.close()
        for connection in list(self.connections):
            connection.close()


def answer_ok(connection, head):
    """A script: every request succeeds, and the answer repeats the request's head as `x-seen-*` headers."""
    seen = [(f"x-seen-{name.lstrip(':')}", value) for name, value in head.headers]
    if not head.ends_stream:
        connection.wait_end(head.stream)
    connection.respond(head.stream, headers=seen)
