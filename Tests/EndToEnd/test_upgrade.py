"""A new process takes over the listening sockets while the old one drains; systemd hands them over and is told."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import threading
import time

import pytest

from harness.client import OpenMessages
from harness.frame_client import FrameClient
from harness.frame_upstream import answer_ok
from harness.process import ManagedProcess
from harness.proxy import Moongate, binary
from harness.settings import configuration, text
from harness.stubs import Order
from harness.waiting import eventually


def entry(proxy, message, timeout=30, after=0):
    """The first entry of the log with this message."""
    line = proxy.wait_for_line(lambda line: f'"message":"{message}"' in line, timeout, after)
    return json.loads(line)


@contextlib.contextmanager
def upgraded(proxy):
    """Upgrades, and ends the new process afterwards."""
    after = len(proxy.lines)
    proxy.signal(signal.SIGUSR2)
    process = int(entry(proxy, "upgrade: a new process starts", after=after)["process"])
    try:
        entry(proxy, "upgrade: the new process serves", after=after)
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
            time.sleep(0.3)


def test_calls_go_on_through_an_upgrade_and_open_streams_survive(moongate, backend, client):
    proxy = moongate(configuration(backend.address, drain={"delay": "5s", "grace": "60s"}) | {"workers": 2})
    caller = client(proxy.address)
    messages = OpenMessages(Order(answer_bytes=1))
    stream = caller.probe.Bidi(iter(messages), timeout=60)
    assert next(stream)
    stop, failures, calls = threading.Event(), [], [0]

    def call():
        fresh = client(proxy.address, retries=True)
        while not stop.is_set():
            try:
                fresh.unary(timeout=20)
                calls[0] += 1
            except Exception as error:
                failures.append(error)

    callers = [threading.Thread(target=call) for _ in range(3)]
    for thread in callers:
        thread.start()
    eventually(lambda: calls[0] > 20, 20, what="calls before the upgrade")
    with upgraded(proxy) as successor:
        before = calls[0]
        eventually(lambda: calls[0] > before + 50, 20, what="calls behind the upgrade")
        for _ in range(5):
            assert client(proxy.address).hello()
        messages.put(Order(answer_bytes=2))
        assert len(next(stream).payload) == 2
        assert proxy.running() and successor != proxy.pid
        # The admin listener is the new process's.
        assert proxy.metric("moongate_generation") == 1 and proxy.get("/ready")[0] == 200
        messages.close()
        list(stream)
        assert proxy.child.wait(20) == 0
        before = calls[0]
        eventually(lambda: calls[0] > before + 20, 20, what="calls of the new process alone")
        stop.set()
        for thread in callers:
            thread.join(20)
        assert failures == []


def _upgrades_under_new_connections(proxy, rounds):
    """Upgrades one process after the other while clients connect, each for one call. Returns the number of calls,
    and what went wrong with some."""
    stop, counts, failures = threading.Event(), [0] * 4, []

    def call(index):
        while not stop.is_set():
            try:
                with contextlib.closing(FrameClient(proxy.address)) as fresh:
                    end = fresh.end(fresh.open(end_stream=True), 20)
                    if end.get("grpc-status") != "0":
                        failures.append(end)
                counts[index] += 1
            except Exception as error:
                failures.append(error)

    callers = [threading.Thread(target=call, args=(index,)) for index in range(len(counts))]
    for thread in callers:
        thread.start()
    processes = [proxy.pid]
    try:
        for _ in range(rounds):
            before, after = sum(counts), len(proxy.lines)
            eventually(lambda: sum(counts) > before + 20, 20, what="calls")
            os.kill(processes[-1], signal.SIGUSR2)
            processes.append(int(entry(proxy, "upgrade: a new process starts", after=after)["process"]))
            entry(proxy, "upgrade: the new process serves", after=after)
    finally:
        stop.set()
        for thread in callers:
            thread.join(30)
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            for process in processes[1:]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, number)
            time.sleep(0.3)
    return sum(counts), failures


@pytest.mark.parametrize("rounds", [4, pytest.param(40, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_no_call_on_a_new_connection_is_lost(moongate, upstream, rounds):
    server = upstream(answer_ok)
    proxy = moongate(configuration(server.address, drain={"delay": "0s", "grace": "20s"}) | {"workers": 4})
    calls, failures = _upgrades_under_new_connections(proxy, rounds)
    assert failures == [] and calls > 20 * rounds


def test_no_successor_stays_a_zombie(tmp_path, monkeypatch, moongate, backend, client):
    """One that ends early, and one that does not end when it is asked to."""
    program = tmp_path / "bin" / "moongate"
    program.parent.mkdir()
    shutil.copy(binary(), program)
    monkeypatch.setenv("MOONGATE_BIN", str(program))
    proxy = moongate(configuration(backend.address, drain={"delay": "30s", "grace": "30s"}))

    def upgrade_to(script):
        fresh = program.with_name("new")
        fresh.write_text(script)
        fresh.chmod(0o755)
        os.replace(fresh, program)
        after = len(proxy.lines)
        proxy.signal(signal.SIGUSR2)
        return int(entry(proxy, "upgrade: a new process starts", after=after)["process"]), after

    process, after = upgrade_to("#!/bin/sh\nexit 7\n")
    assert "code 7" in entry(proxy, "upgrade failed, this process goes on", after=after)["error"]
    eventually(lambda: not os.path.exists(f"/proc/{process}"), what="the end of the process that ended early")
    # It closes everything it was given, and hears no signal.
    closes = "".join(f"exec {number}>&-\n" for number in range(3, 9))
    process, after = upgrade_to(f"#!/bin/sh\ntrap '' TERM\n{closes}while :; do sleep 1; done\n")
    try:
        entry(proxy, "upgrade failed, this process goes on", after=after)
        assert client(proxy.address).hello()
        eventually(lambda: not os.path.exists(f"/proc/{process}"), 12, what="the end of the process that would not end")
        assert client(proxy.address).hello() and proxy.running()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def test_a_configuration_that_is_bad_keeps_the_old_process(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    caller = client(proxy.address)
    proxy.configure("listeners: oops\n")
    proxy.signal(signal.SIGUSR2)
    assert "code 2" in entry(proxy, "upgrade failed, this process goes on")["error"]
    assert caller.hello() and client(proxy.address).hello() and proxy.running()
    proxy.configure(configuration(backend.address))
    # It may be tried again.
    with upgraded(proxy):
        assert client(proxy.address).hello()


def test_a_program_that_is_broken_keeps_the_old_process(tmp_path, monkeypatch, moongate, backend, client):
    program = tmp_path / "bin" / "moongate"
    program.parent.mkdir()
    shutil.copy(binary(), program)
    monkeypatch.setenv("MOONGATE_BIN", str(program))
    proxy = moongate(configuration(backend.address))
    broken = program.with_name("new")
    broken.write_text("#!/bin/sh\nexit 7\n")
    broken.chmod(0o755)
    os.replace(broken, program)
    proxy.signal(signal.SIGUSR2)
    assert "code 7" in entry(proxy, "upgrade failed, this process goes on")["error"]
    program.unlink()
    after = len(proxy.lines)
    proxy.signal(signal.SIGUSR2)
    assert "No such file" in entry(proxy, "upgrade failed, this process goes on", after=after)["error"]
    assert client(proxy.address).hello()


def test_a_new_configuration_comes_with_the_new_process(moongate, backend, client):
    def listeners(*names):
        return [{"name": name, "address": "127.0.0.1:0"} for name in names]

    proxy = moongate(configuration(backend.address, listeners=listeners("kept", "gone"), reload={"max_generations": 8}))
    gone = proxy.bound["gone"]
    # Not seen by the old process before it is asked to go.
    proxy.signal(signal.SIGSTOP)
    proxy.configure(configuration(backend.address, listeners=listeners("kept", "fresh")))
    with contextlib.ExitStack() as stack:
        after = len(proxy.lines)
        os.kill(proxy.pid, signal.SIGUSR2)
        os.kill(proxy.pid, signal.SIGCONT)
        stack.enter_context(_ended(proxy))
        ready = entry(proxy, "ready", after=after)
        assert ready["listener.kept"] == proxy.bound["kept"] and ready["admin"] == proxy.admin
        assert client(ready["listener.fresh"]).hello() and client(proxy.bound["kept"]).hello()
        assert proxy.child.wait(20) == 0
        with pytest.raises(ConnectionRefusedError):
            _connect(gone)


@contextlib.contextmanager
def _ended(proxy):
    process = int(entry(proxy, "upgrade: a new process starts")["process"])
    try:
        yield process
    finally:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, number)
            time.sleep(0.3)


def _connect(address):
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout=5).close()


# systemd

class Manager:
    """Hears what a service says about itself."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(20)

    def next(self):
        return self.socket.recv(4096).decode().split("\n")


def test_systemd_hands_sockets_over_and_is_told(tmp_path, backend, client):
    listening, spare = socket.create_server(("127.0.0.1", 0)), socket.create_server(("127.0.0.1", 0))
    address = "127.0.0.1:%d" % listening.getsockname()[1]
    manager = Manager(tmp_path / "notify")
    file = tmp_path / "moongate.yaml"
    settings = configuration(backend.address, listeners=[{"name": "main", "address": address}])
    file.write_text(text(settings))
    start = (f"exec 8<&{listening.fileno()} 9<&{spare.fileno()}; exec 3<&8 4<&9 8<&- 9<&-; "
             f'LISTEN_FDS=2 LISTEN_PID=$$ exec "{binary()}" run --config "{file}"')
    process = _Passing(["bash", "-c", start], (listening.fileno(), spare.fileno()), str(tmp_path / "notify"))
    try:
        assert "READY=1" in manager.next()
        listening.close()
        assert client(address).hello()
        entry(process, "no listener for an inherited socket")
        file.write_text(text(settings | {"drain": {"delay": "0s", "grace": "1s"}}))
        process.signal(signal.SIGHUP)
        said = manager.next()
        assert said[0] == "RELOADING=1" and said[1].startswith("MONOTONIC_USEC=")
        eventually(lambda: "READY=1" in manager.next(), 20, what="the reload is over")
        process.signal(signal.SIGUSR2)
        successor = int(entry(process, "upgrade: a new process starts")["process"])
        said = []
        eventually(lambda: said.append(manager.next()) or [f"MAINPID={successor}"] in said, 20, what="the new process")
        # Also where the old process has accepted it a moment before it leaves.
        assert client(address).hello()
        assert process.child.wait(20) == 0
        os.kill(successor, signal.SIGTERM)
        eventually(lambda: manager.next() == ["STOPPING=1"], 20, what="it says that it stops")
        eventually(lambda: not pathlib.Path(f"/proc/{successor}/exe").exists(), 20, what="the new process ends")
    finally:
        process.stop()


def test_sockets_that_are_meant_for_another_process_are_left_alone(tmp_path, backend, client):
    proxy = None
    os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"] = "1", "1"
    try:
        proxy = Moongate(tmp_path / "moongate", configuration(backend.address))
        assert client(proxy.address).hello()
    finally:
        del os.environ["LISTEN_FDS"], os.environ["LISTEN_PID"]
        if proxy:
            proxy.stop()


class _Passing(ManagedProcess):
    """A process that inherits descriptors."""

    def __init__(self, arguments, descriptors, notify):
        for descriptor in descriptors:
            os.set_inheritable(descriptor, True)
        self.descriptors = descriptors
        super().__init__(arguments, env={"NOTIFY_SOCKET": notify}, pass_fds=descriptors)
