"""A server that takes what it is sent only when a test lets it, so that the proxy's socket fills."""
import socket
import struct
import threading

PREFACE_LENGTH = 24
HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
ACK = 1


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


class SlowServer:
    """Announces windows without an end and reads from a small socket buffer. `heads` are the streams of requests that it has read, in
    order, over all connections."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.reads = threading.Event()
        self.reads.set()
        self.heads = []
        self.sock = None
        self.octets = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def send(self, octets):
        self.sock.sendall(octets)

    def close(self):
        self.reads.set()
        for sock in (self.listener, self.sock):
            if sock:
                try:
                    sock.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
                sock.close()
        self.thread.join(5)

    def _serve(self):
        try:
            while True:
                self.sock, _ = self.listener.accept()
                self._converse(self.sock)
        except OSError:
            pass

    def _converse(self, sock):
        sock.sendall(frame(SETTINGS, 0, 0, struct.pack(">HIHI", 4, 0x7fffffff, 3, 10_000))
                     + frame(8, 0, 0, struct.pack(">I", 0x7fffffff - 65535)))
        rest, preface = b"", PREFACE_LENGTH
        while True:
            self.reads.wait()
            octets = sock.recv(1 << 18)
            if not octets:
                return
            self.octets += len(octets)
            cut = min(preface, len(octets))
            preface -= cut
            rest += octets[cut:]
            while len(rest) >= 9 and len(rest) >= 9 + int.from_bytes(rest[:3], "big"):
                length, kind, flags = int.from_bytes(rest[:3], "big"), rest[3], rest[4]
                stream = int.from_bytes(rest[5:9], "big")
                rest = rest[9 + length:]
                if kind == HEADERS:
                    self.heads.append(stream)
                elif kind == SETTINGS and not flags & ACK:
                    sock.sendall(frame(SETTINGS, ACK, 0))
