"""Load generators as processes of their own."""
import atexit
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from .frames import message

ROOT = pathlib.Path(__file__).resolve().parent.parent


class Running:
    """A generator at work; `result()` waits for its JSON."""

    def __init__(self, arguments, limit, cpus=None):
        self.limit = limit
        self.child = subprocess.Popen(
            [str(argument) for argument in arguments], cwd=ROOT, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            preexec_fn=(lambda: os.sched_setaffinity(0, cpus)) if cpus else None)
        # A test that fails does not wait for the result.
        atexit.register(self.child.kill)

    def result(self):
        try:
            out, err = self.child.communicate(timeout=self.limit)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise
        assert self.child.returncode == 0, err
        return json.loads(out)


def raw_load(address, seconds, headers=(), **options):
    """Starts `raw_load`; see there for the options."""
    arguments = [sys.executable, "-m", "harness.raw_load", address, "--seconds", seconds]
    for name, value in options.items():
        arguments += [f"--{name}", value]
    for header in headers:
        arguments += ["--header", header]
    return Running(arguments, limit=seconds + 30)


def storm_client(address, seconds):
    """Starts the client of the reload storm."""
    return Running([sys.executable, "-m", "harness.storm_client", address, seconds], limit=seconds + 60)


def h2load(address, path, requests, connections=8, streams=16):
    """Runs h2load to its end and returns what it says."""
    with tempfile.NamedTemporaryFile() as body:
        body.write(message(b"q" * 64))
        body.flush()
        done = subprocess.run(
            ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams),
             "-H", "content-type: application/grpc", "-H", "te: trailers", "-d", body.name,
             f"http://{address}{path}"], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout


def chaos_client(address, seconds, authority):
    """Starts the clients of the chaos run, who trust the authority's certificate."""
    return Running([sys.executable, "-m", "harness.chaos_client", address, seconds, authority], limit=seconds + 90)
