"""One HTTP/2 connection in the tests' own hands, frame by frame.

The peer under test sees exactly the frames that a test sends, in the order it sends them. Frames that arrive are
kept in order, with the time of their arrival.
"""
import collections
import socket
import threading
import time
from dataclasses import dataclass, field

import hpack
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0x0, 0x1, 0x2, 0x3
STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0x5, 0x7, 0x8, 0xB

HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 0x1, 0x2, 0x3, 0x4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 0x5, 0x6


@dataclass
class Received:
    """A frame that arrived; CONTINUATION frames are part of the HEADERS they continue."""
    type: str
    stream: int
    flags: set = field(default_factory=set)
    headers: list = None
    never_indexed: set = field(default_factory=set)       # names (RFC 7541 §6.2.3)
    data: bytes = b""
    padding: int = 0
    code: int = None
    last_stream: int = None
    settings: dict = None
    increment: int = None
    blocks: int = 0
    at: float = 0.0

    @property
    def ends_stream(self):
        return "END_STREAM" in self.flags

    def get(self, name, default=None):
        """The first value of a header."""
        return next((value for key, value in self.headers or [] if key == name), default)

    def all(self, name):
        return [value for key, value in self.headers or [] if key == name]


class FrameConnection:
    """Sends frames and collects those that arrive.

    Settings and pings are acknowledged; with `refill`, received DATA is given back to both windows at once. Everything
    else is up to the test.
    """

    def __init__(self, sock, settings=None, refill=True):
        self.sock = sock
        self.refill = refill
        self.frames = []
        self.changed = threading.Condition()
        self.closed = False
        self.sending = threading.Lock()
        # Header blocks are sent in the order in which they are encoded, or the peer's table differs from ours.
        self.answering = threading.Lock()
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.decoder.max_header_list_size = 1 << 22
        self.sent = collections.Counter()          # flow-controlled octets by stream, 0: the connection
        self.granted = collections.Counter()       # window updates by stream, 0: the connection
        self.peer_initial_window = 65535
        self.hold_settings_ack = self.hold_ping_ack = False
        self.first_settings = settings or {}
        self._block = None
        self.reader = None

    # Sending

    def send(self, *frames):
        """Sends the frames in one write."""
        octets = b"".join(frame.serialize() for frame in frames)
        for frame in frames:
            if isinstance(frame, DataFrame):
                self.sent[frame.stream_id] += frame.flow_controlled_length
                self.sent[0] += frame.flow_controlled_length
        self.send_raw(octets)

    def send_raw(self, octets):
        with self.sending:
            self.sock.sendall(octets)

    def headers_frames(self, stream, headers, end_stream=False, huffman=True, split=0):
        """HEADERS for these fields; with `split`, each frame carries at most that many octets."""
        block = self.encoder.encode(headers, huffman=huffman)
        limit = split or 16384
        parts = [block[i:i + limit] for i in range(0, len(block), limit)] or [b""]
        first = HeadersFrame(stream, parts[0], flags=["END_STREAM"] if end_stream else [])
        frames = [first] + [ContinuationFrame(stream, part) for part in parts[1:]]
        frames[-1].flags.add("END_HEADERS")
        return frames

    def send_headers(self, stream, headers, end_stream=False, **options):
        self.send(*self.headers_frames(stream, headers, end_stream, **options))

    def data_frame(self, stream, data=b"", end_stream=False, padding=None):
        flags = ["END_STREAM"] if end_stream else []
        if padding is not None:
            return DataFrame(stream, data, pad_length=padding, flags=flags + ["PADDED"])
        return DataFrame(stream, data, flags=flags)

    def send_data(self, stream, data=b"", end_stream=False, **options):
        """Sends one or more DATA frames of at most 16,384 octets; takes no notice of the peer's windows."""
        parts = [data[i:i + 16384] for i in range(0, len(data), 16384)] or [b""]
        frames = [self.data_frame(stream, part, **options) for part in parts]
        if end_stream:
            frames[-1].flags.add("END_STREAM")
        self.send(*frames)

    def allowance(self, stream):
        """Octets of DATA that both of the peer's windows have room for."""
        own = self.peer_initial_window + self.granted[stream] - self.sent[stream]
        return min(own, 65535 + self.granted[0] - self.sent[0])

    def send_allowed(self, stream, data, end_stream=False, timeout=5.0, piece=16384):
        """Sends DATA as fast as the peer's windows allow; fails if they do not open in time."""
        if not data:
            return self.send(self.data_frame(stream, b"", end_stream))
        while data:
            with self.changed:
                if not self.changed.wait_for(lambda: self.allowance(stream) > 0, timeout):
                    raise AssertionError(f"no window for {len(data)} octets on stream {stream} within {timeout} s")
                count = min(piece, self.allowance(stream), len(data))
            part, data = data[:count], data[count:]
            self.send(self.data_frame(stream, part, end_stream and not data))

    def pour(self, bodies, ended=None, quiet=1.5, piece=16384):
        """Sends of bodies, by stream, as much as the peer's windows allow, in turns, until nothing goes any more; returns what is
        left of each. `ended` is called with a stream once all of its body is out."""
        left = {stream: memoryview(body) for stream, body in bodies.items()}
        open_ = set(left)
        moved = time.monotonic()
        while open_ and time.monotonic() - moved < quiet:
            for stream in sorted(open_):
                count = min(len(left[stream]), max(0, self.allowance(stream)), piece)
                if count > 0:
                    self.send(self.data_frame(stream, bytes(left[stream][:count])))
                    left[stream] = left[stream][count:]
                    moved = time.monotonic()
                if not left[stream]:
                    open_.remove(stream)
                    if ended:
                        ended(stream)
            time.sleep(0.001)
        return {stream: bytes(rest) for stream, rest in left.items()}

    def reset(self, stream, code=CANCEL):
        self.send(RstStreamFrame(stream, code))

    def go_away(self, last_stream, code=NO_ERROR, text=b""):
        self.send(GoAwayFrame(0, last_stream, code, text))

    def ping(self, payload=b"12345678"):
        self.send(PingFrame(0, payload))

    def acknowledge_pings(self):
        """Answers the pings that came while `hold_ping_ack` was set."""
        self.hold_ping_ack = False
        held = [frame.data for frame in self.frames if frame.type == "Ping" and "ACK" not in frame.flags]
        self.send(*[PingFrame(0, data, flags=["ACK"]) for data in held])

    def grant(self, stream, octets):
        """Lets the peer send so many octets more on a stream (0: the connection)."""
        self.send(WindowUpdateFrame(stream, octets))

    def change_settings(self, settings):
        self.send(SettingsFrame(0, settings=settings))

    def close(self):
        """Closes the connection as a well-behaved peer does."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        # Whoever still read from the descriptor would read from the next connection that gets it, and TLS would answer there.
        if self.reader and self.reader is not threading.current_thread():
            self.reader.join(10)
        self.sock.close()

    def abort(self):
        """Closes the connection with a TCP reset."""
        try:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        except OSError:
            pass
        self.close()

    # Receiving

    def start_reading(self):
        self.reader = threading.Thread(target=self._read_all, daemon=True)
        self.reader.start()

    def _exactly(self, count):
        octets = b""
        while len(octets) < count:
            more = self.sock.recv(count - len(octets))
            if not more:
                raise ConnectionError("closed")
            octets += more
        return octets

    def _read_all(self):
        try:
            while True:
                head = memoryview(self._exactly(9))
                frame, length = Frame.parse_frame_header(head)
                frame.parse_body(memoryview(self._exactly(length)))
                self._arrived(frame, time.monotonic())
        except (OSError, ConnectionError, ValueError):
            pass
        finally:
            with self.changed:
                self.closed = True
                self.closed_at = time.monotonic()
                self.changed.notify_all()

    def _arrived(self, frame, now):
        if isinstance(frame, (HeadersFrame, ContinuationFrame)):
            return self._block_arrived(frame, now)
        received = Received(type(frame).__name__.removesuffix("Frame"), frame.stream_id, set(frame.flags), at=now)
        if isinstance(frame, DataFrame):
            received.data, received.padding = bytes(frame.data), frame.pad_length
            if self.refill and frame.flow_controlled_length:
                updates = [WindowUpdateFrame(0, frame.flow_controlled_length)]
                if "END_STREAM" not in frame.flags:
                    updates.append(WindowUpdateFrame(frame.stream_id, frame.flow_controlled_length))
                self._answer(*updates)
        elif isinstance(frame, RstStreamFrame):
            received.code = frame.error_code
        elif isinstance(frame, GoAwayFrame):
            received.code, received.last_stream = frame.error_code, frame.last_stream_id
            received.data = bytes(frame.additional_data)
        elif isinstance(frame, WindowUpdateFrame):
            received.increment = frame.window_increment
            self.granted[frame.stream_id] += frame.window_increment
        elif isinstance(frame, SettingsFrame):
            received.settings = dict(frame.settings)
            self.peer_initial_window = frame.settings.get(INITIAL_WINDOW_SIZE, self.peer_initial_window)
            if HEADER_TABLE_SIZE in frame.settings:
                self.encoder.header_table_size = frame.settings[HEADER_TABLE_SIZE]
            if "ACK" not in frame.flags and not self.hold_settings_ack:
                self._answer(SettingsFrame(0, flags=["ACK"]))
        elif isinstance(frame, PingFrame):
            received.data = frame.opaque_data
            if "ACK" not in frame.flags and not self.hold_ping_ack:
                self._answer(PingFrame(0, frame.opaque_data, flags=["ACK"]))
        self._add(received)

    def _block_arrived(self, frame, now):
        if isinstance(frame, HeadersFrame):
            self._block = Received("Headers", frame.stream_id, set(frame.flags), at=now)
        self._block.data += bytes(frame.data)
        self._block.blocks += 1
        if "END_HEADERS" in frame.flags:
            block, self._block = self._block, None
            fields = self.decoder.decode(block.data, raw=True)
            block.headers = [(_text(name), _text(value)) for name, value in fields]
            block.never_indexed = {_text(field[0]) for field in fields if not field.indexable}
            block.data = b""
            self._add(block)

    def _answer(self, *frames):
        try:
            self.send(*frames)
        except OSError:
            pass

    def _add(self, received):
        with self.changed:
            self.frames.append(received)
            self.changed.notify_all()

    # Looking at what came

    def wait_for(self, condition, timeout=5.0, what="frame"):
        """The first frame for which `condition` is true; waits for it if it has not come yet."""
        deadline = time.monotonic() + timeout
        seen = 0
        with self.changed:
            while True:
                while seen < len(self.frames):
                    if condition(self.frames[seen]):
                        return self.frames[seen]
                    seen += 1
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    state = "closed" if self.closed else f"nothing within {timeout} s"
                    raise AssertionError(f"no {what} ({state}); got:\n" + self.transcript())
                self.changed.wait(left)

    def expect(self, type, stream=None, timeout=5.0):
        """The first frame of a type (on a stream)."""
        return self.wait_for(
            lambda frame: frame.type == type and (stream is None or frame.stream == stream), timeout,
            f"{type} on stream {stream}")

    def wait_closed(self, timeout=5.0):
        with self.changed:
            if not self.changed.wait_for(lambda: self.closed, timeout):
                raise AssertionError(f"connection still open after {timeout} s; got:\n" + self.transcript())

    def of_stream(self, stream):
        """Frames of a stream that matter to it: no window updates."""
        with self.changed:
            return [frame for frame in self.frames if frame.stream == stream and frame.type != "WindowUpdate"]

    def body(self, stream):
        return b"".join(frame.data for frame in self.of_stream(stream) if frame.type == "Data")

    def transcript(self):
        lines = []
        for frame in self.frames[-80:]:
            detail = frame.headers or frame.settings or (f"{len(frame.data)} octets" if frame.data else "")
            code = "" if frame.code is None else f" code {frame.code}"
            lines.append(f"  {frame.type} {frame.stream} {sorted(frame.flags)}{code} {detail}")
        return "\n".join(lines)


def _text(value):
    return value.decode("latin-1") if isinstance(value, (bytes, bytearray, memoryview)) else value


def is_refusal(frames):
    """Do the frames of an answer say that the request was refused? By reset, HTTP status or grpc-status."""
    for frame in frames:
        if frame.type == "RstStream" or int(frame.get(":status", "0")) >= 400:
            return True
        if frame.get("grpc-status") not in (None, "0"):
            return True
    return False


def message(payload=b"", compressed=0):
    """A gRPC message: flag, length, payload."""
    return bytes([compressed]) + len(payload).to_bytes(4, "big") + payload
