"""Waiting for something to become true."""
import contextlib
import threading
import time


def eventually(check, timeout=5.0, interval=0.02, what=None):
    """Calls `check` until it returns something true, and returns that; fails after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while True:
        result = check()
        if result:
            return result
        if time.monotonic() >= deadline:
            raise AssertionError(f"not within {timeout} s: {what or getattr(check, '__doc__', None) or check}")
        time.sleep(interval)


def stays_true(check, duration, interval=0.05, what=None):
    """Fails as soon as `check` returns something false within `duration` seconds."""
    deadline = time.monotonic() + duration
    while time.monotonic() < deadline:
        assert check(), what or "did not stay true"
        time.sleep(interval)


@contextlib.contextmanager
def background(*functions):
    """Runs functions in threads while the block runs; each gets an event that tells it to stop."""
    stop = threading.Event()
    threads = [threading.Thread(target=function, args=(stop,), daemon=True) for function in functions]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(10)
