"""A grpcio server in a process of its own, which can be stopped, killed and started again on its port.

Run as a program it serves on the address that it is given until it is ended.
"""
import pathlib
import signal
import sys
import time

from .ports import free_port
from .process import ManagedProcess

FOLDER = pathlib.Path(__file__).resolve().parents[1]


class BackendProcess:
    def __init__(self, port=None):
        self.address = f"127.0.0.1:{port or free_port()}"
        self.process = None
        self.start()

    def start(self):
        self.process = ManagedProcess([sys.executable, "-m", "harness.backend_process", self.address], cwd=FOLDER)
        self.process.wait_for_line("serving", timeout=30)

    def kill(self):
        """Ends the process at once, as a crash does."""
        self.process.signal(signal.SIGKILL)
        self.process.wait()

    def hang(self):
        """The process takes connections (its kernel does) and does nothing."""
        self.process.signal(signal.SIGSTOP)

    def wake(self):
        self.process.signal(signal.SIGCONT)

    def stop(self):
        if self.process.running():
            self.process.signal(signal.SIGCONT)
            self.kill()


def main():
    from .backend import Backend
    Backend(address=sys.argv[1])
    print("serving", flush=True)
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    main()
