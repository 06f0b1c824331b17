"""A small DNS server on loopback, over UDP and TCP, that answers what a test tells it to."""
import collections
import socket
import struct
import threading

A, NS, CNAME, SOA, AAAA, SRV = 1, 2, 5, 6, 28, 33
NXDOMAIN, SERVFAIL = 3, 2


class DNSServer:
    """Records by name and type. `silence`, `fail` and `truncate` make it misbehave; `questions` counts what was asked."""

    def __init__(self):
        self.records = {}
        self.silent = set()
        self.failing = {}
        self.truncating = False
        self.questions = collections.Counter()
        self.over_tcp = 0
        self.lock = threading.Lock()
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._bind()
        self.tcp.listen(16)
        for target in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=target, daemon=True).start()

    def _bind(self):
        """The same port for both."""
        for _ in range(50):
            self.udp.bind(("127.0.0.1", 0))
            self.port = self.udp.getsockname()[1]
            try:
                self.tcp.bind(("127.0.0.1", self.port))
                return
            except OSError:
                self.udp.close()
                self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        raise OSError("no port that is free for UDP and TCP")

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    # What it says

    def set(self, name, *addresses, ttl=60):
        """The addresses of a host, IPv4 and IPv6."""
        with self.lock:
            self.records[name, A] = [(ttl, socket.inet_aton(text)) for text in addresses if ":" not in text]
            self.records[name, AAAA] = [
                (ttl, socket.inet_pton(socket.AF_INET6, text)) for text in addresses if ":" in text]

    def set_alias(self, name, target, ttl=60):
        with self.lock:
            self.records[name, CNAME] = [(ttl, encode(target), target)]

    def set_services(self, name, *services, ttl=60):
        """Each service: (priority, weight, port, target)."""
        with self.lock:
            self.records[name, SRV] = [
                (ttl, struct.pack("!HHH", priority, weight, port) + encode(target))
                for priority, weight, port, target in services]

    def remove(self, name):
        with self.lock:
            for key in [key for key in self.records if key[0] == name]:
                del self.records[key]

    def silence(self, *names):
        """Names that get no answer; none: every name gets one."""
        self.silent = set(names)

    def fail(self, code=SERVFAIL, *names):
        self.failing = {name: code for name in names}

    def asked(self, name, kind=A):
        with self.lock:
            return self.questions[name, kind]

    # Serving

    def answer(self, query, over_udp):
        number, flags = struct.unpack("!HH", query[:4])
        name, end = decode(query, 12)
        kind = struct.unpack("!H", query[end:end + 2])[0]
        question = query[12:end + 4]
        with self.lock:
            self.questions[name, kind] += 1
            if name in self.silent:
                return None
            code = self.failing.get(name)
            answers = []
            known = any(key[0] == name for key in self.records)
            owner = name
            if code is None:
                for _ in range(8):
                    alias = self.records.get((owner, CNAME))
                    if not alias or kind == CNAME:
                        break
                    ttl, data, target = alias[0]
                    answers.append((owner, CNAME, ttl, data))
                    owner = target
                answers += [(owner, kind, ttl, data) for ttl, data, *_ in self.records.get((owner, kind), [])]
                code = 0 if known else NXDOMAIN
        if over_udp and self.truncating and answers:
            return struct.pack("!HHHHHH", number, 0x8380 | (flags & 0x100), 1, 0, 0, 0) + question
        body = b"".join(
            encode(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data for owner, kind, ttl, data in answers)
        return struct.pack("!HHHHHH", number, 0x8180 | code, 1, len(answers), 0, 0) + question + body

    def _serve_udp(self):
        while True:
            try:
                query, peer = self.udp.recvfrom(4096)
                # `shutdown` wakes the thread with nothing.
                if not query:
                    return
                reply = self.answer(query, True)
                if reply:
                    self.udp.sendto(reply, peer)
            except OSError:
                return

    def _serve_tcp(self):
        while True:
            try:
                connection, _ = self.tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._serve_connection, args=(connection,), daemon=True).start()

    def _serve_connection(self, connection):
        with connection:
            stream = connection.makefile("rb")
            while head := stream.read(2):
                if len(head) < 2:
                    return
                self.over_tcp += 1
                reply = self.answer(stream.read(struct.unpack("!H", head)[0]), False)
                if reply:
                    connection.sendall(struct.pack("!H", len(reply)) + reply)

    def close(self):
        for sock in (self.udp, self.tcp):
            # A thread that waits in accept or recvfrom does not notice close alone.
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            sock.close()


def encode(name):
    labels = [label.encode() for label in name.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def decode(message, place):
    labels = []
    while message[place]:
        labels.append(message[place + 1:place + 1 + message[place]].decode())
        place += 1 + message[place]
    return ".".join(labels).lower(), place + 1
