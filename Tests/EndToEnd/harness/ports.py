"""Addresses on loopback."""
import socket

_held = []


def unused_port():
    """A port on which nothing listens for the length of the test run.

    The socket stays bound without listening, so connecting to it is refused and nobody else gets it.
    """
    holder = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    holder.bind(("127.0.0.1", 0))
    _held.append(holder)
    return holder.getsockname()[1]


def free_port():
    """A port that was free a moment ago, for something that the test starts (and perhaps restarts) on it."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def split(address):
    """`host:port` or `[v6]:port` as a pair that the socket module takes."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def refused(address):
    """Whether a new connection is closed before a byte of HTTP/2 comes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as attempt:
            return attempt.recv(1) == b""
    except ConnectionError:
        return True


def connects(address):
    """Whether somebody listens there."""
    try:
        with socket.create_connection(split(address), timeout=1):
            return True
    except OSError:
        return False
