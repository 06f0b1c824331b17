"""A child process whose output is kept."""
import os
import signal
import subprocess
import threading
import time


class ManagedProcess:
    """Starts a program, collects its standard error (and output) by line, and ends it by its pid."""

    def __init__(self, arguments, cwd=None, env=None, stdout=None, cpus=None, pass_fds=()):
        """`stdout`: a file descriptor or file for standard output; by default it is collected like standard error."""
        self.lines = []
        self.changed = threading.Condition()
        before = (lambda: os.sched_setaffinity(0, cpus)) if cpus else None
        self.child = subprocess.Popen(
            [str(argument) for argument in arguments], cwd=cwd, env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if stdout is None else stdout,
            stderr=subprocess.PIPE, preexec_fn=before, pass_fds=pass_fds,
            start_new_session=True)
        self.readers = [self._collect(pipe) for pipe in (self.child.stdout, self.child.stderr) if pipe]

    @property
    def pid(self):
        return self.child.pid

    def _collect(self, pipe):
        def read():
            for raw in pipe:
                with self.changed:
                    self.lines.append(raw.decode(errors="replace").rstrip("\n"))
                    self.changed.notify_all()
            with self.changed:
                self.changed.notify_all()

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        return reader

    def output(self):
        with self.changed:
            return "\n".join(self.lines)

    def wait_for_line(self, wanted, timeout=10.0, after=0):
        """The first line from index `after` on for which `wanted(line)` is true, or that contains the text `wanted`."""
        matches = wanted if callable(wanted) else (lambda line: wanted in line)
        deadline = time.monotonic() + timeout
        with self.changed:
            seen = after
            while True:
                while seen < len(self.lines):
                    if matches(self.lines[seen]):
                        return self.lines[seen]
                    seen += 1
                if self.child.poll() is not None and not any(reader.is_alive() for reader in self.readers):
                    said = "\n".join(self.lines)
                    raise AssertionError(f"process ended ({self.child.returncode}) without {wanted!r}:\n{said}")
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"no line with {wanted!r} within {timeout} s:\n" + "\n".join(self.lines[-60:]))
                self.changed.wait(min(left, 0.1))

    def running(self):
        return self.child.poll() is None

    def signal(self, number):
        self.child.send_signal(number)

    def wait(self, timeout=10.0):
        """Waits for the end and returns the exit code."""
        code = self.child.wait(timeout)
        for reader in self.readers:
            reader.join(2)
        return code

    def stop(self, grace=3.0):
        """Ends the process: SIGTERM twice (the second means at once), then SIGKILL. Returns the exit code."""
        for number, patience in ((signal.SIGTERM, 0.2), (signal.SIGTERM, grace), (signal.SIGKILL, grace)):
            if not self.running():
                break
            self.signal(number)
            try:
                self.child.wait(patience)
            except subprocess.TimeoutExpired:
                continue
        return self.wait(grace)

    def resident_bytes(self):
        """The resident set as the kernel counts it."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self):
        """User and system time used so far."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
