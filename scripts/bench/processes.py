"""Backend and proxies as processes on their cores, and what the kernel tells about them."""
import os
import signal
import socket
import subprocess
import time

from scenarios import SIZES

TICK = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """What is wrong with a proxy; its row is not valid."""


def message(size, byte):
    """A gRPC message without compression, `size` octets with its prefix."""
    return b"\0" + (size - 5).to_bytes(4, "big") + byte * (size - 5)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A program on one core, with its own process group, that is gone when the block ends."""

    def __init__(self, argv, core, log, port):
        self.log, self.port = log, port
        with open(log, "wb") as out:
            self.child = subprocess.Popen(
                [str(argument) for argument in argv], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, {core}))
        try:
            self._await()
        except BaseException:
            self.stop()
            raise

    def _await(self):
        deadline = time.monotonic() + 15
        while not _accepts(self.port):
            if not self.running() or time.monotonic() > deadline:
                raise Failed("did not start: " + self.last_words())
            time.sleep(0.05)

    def last_words(self):
        return " / ".join(self.log.read_text(errors="replace").strip().splitlines()[-4:])[-500:]

    def running(self):
        return self._ended() is None

    def _ended(self):
        """Without reaping: while its number is taken, the group's is nobody else's."""
        if self.child.returncode is not None:
            return True
        return os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)

    def stop(self):
        if self.child.returncode is not None:
            return
        os.killpg(self.child.pid, signal.SIGTERM)
        deadline = time.monotonic() + 3
        while self.running() and time.monotonic() < deadline:
            time.sleep(0.02)
        # What is left of it: workers that outlive their master, too.
        os.killpg(self.child.pid, signal.SIGKILL)
        self.child.wait(5)

    def cpu_seconds(self):
        """User and system time of the process and those it started."""
        return sum(seconds for seconds, _ in map(_cpu_seconds, family(self.child.pid)))

    def memory(self, field="VmRSS"):
        """KiB of it and those it started: `VmRSS` now, `VmHWM` at the most."""
        total = 0
        for pid in family(self.child.pid):
            for line in _read(f"/proc/{pid}/status").splitlines():
                if line.startswith(field + ":"):
                    total += int(line.split()[1])
        return total

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


def _accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def _read(path):
    """Nothing of what has ended."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def family(pid):
    """A process and all that descend from it."""
    found = [pid]
    for parent in found:
        try:
            tasks = os.listdir(f"/proc/{parent}/task")
        except OSError:
            continue
        for task in tasks:
            found += map(int, _read(f"/proc/{parent}/task/{task}/children").split())
    return found


def _cpu_seconds(pid):
    """Its CPU time, and that of children it has waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split() or ["0"] * 15
    return (int(fields[11]) + int(fields[12])) / TICK, (int(fields[13]) + int(fields[14])) / TICK


class Watch:
    """How much of the two cores others took meanwhile: programs of this machine, and guests of the same host."""

    def __init__(self, cores):
        self.cores, self.began = cores, time.monotonic()
        self.ticks, self.rest = self._ticks(), self._rest()

    def _ticks(self):
        """Seconds that the cores were busy with anything, and that the host took."""
        busy = stolen = 0
        for line in _read("/proc/stat").splitlines():
            name, *fields = line.split()
            if name in {f"cpu{core}" for core in self.cores}:
                user, nice, system, _, _, irq, soft, steal = map(int, fields[:8])
                busy, stolen = busy + user + nice + system + irq + soft, stolen + steal
        return busy / TICK, stolen / TICK

    def _rest(self):
        ours = set(family(os.getpid()))
        return {pid: _cpu_seconds(pid)[0] for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if pid not in ours}

    def others(self, ours):
        """As a part of one core. `ours`: CPU seconds of what is measured."""
        took = time.monotonic() - self.began
        busy, stolen = (now - then for now, then in zip(self._ticks(), self.ticks, strict=True))
        rest = sum(max(seconds - self.rest.get(pid, 0), 0) for pid, seconds in self._rest().items())
        # Both are too much: the kernel works for the proxy in nobody's account, and the rest may run on other cores.
        return (max(min(busy - ours, rest), 0) + stolen) / took


class Backend(Process):
    """nghttpd: a gRPC message and the trailer `grpc-status: 0`."""

    def __init__(self, work, core, talks=False):
        for path, size in SIZES.items():
            file = work / "htdocs" / path.strip("/")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(message(size, b"a"))
        (work / "mime.types").write_text("application/grpc grpc\n")
        port = free_port()
        super().__init__(
            ["nghttpd", *["-v"] * talks, "-a", "127.0.0.1", "-d", work / "htdocs", "-m", "1000", "--trailer",
             "grpc-status: 0", "--no-content-length", "--mime-types-file", work / "mime.types", "--no-tls", port],
            core, work / f"nghttpd-{port}.log", port)


class Proxy(Process):
    def __init__(self, peer, scenario, work, back, core):
        self.peer, self.scenario, port = peer, scenario, free_port()
        folder, argv = peer.prepare(scenario, work, port, back)
        super().__init__(argv, core, folder / "log", port)
