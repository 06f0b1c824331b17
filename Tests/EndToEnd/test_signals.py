"""Signals that steer the process, those that must not end it, and the descriptors that it is born with."""
import json
import os
import pathlib
import resource
import signal
import subprocess
import time

import pytest

from harness.client import Client
from harness.proxy import binary
from harness.settings import configuration, text
from harness.waiting import eventually

HARMLESS = [
    signal.SIGPIPE, signal.SIGXFSZ, signal.SIGALRM, signal.SIGVTALRM, signal.SIGPROF, signal.SIGIO, signal.SIGPWR,
    signal.SIGSTKFLT, signal.SIGTTIN, signal.SIGTTOU, signal.SIGURG, signal.SIGCHLD, signal.SIGWINCH, signal.SIGCONT,
    signal.SIGRTMIN, signal.SIGRTMIN + 5, signal.SIGRTMAX]


def test_signals_that_nobody_means_end_nothing(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    for number in HARMLESS:
        proxy.signal(number)
    assert client(proxy.address).hello() and proxy.running()
    with open(f"/proc/{proxy.pid}/stat", encoding="ascii") as file:
        assert file.read().rpartition(")")[2].split()[0] != "T", "stopped"


def test_usr1_reopens_logs_and_reloads_nothing(tmp_path, moongate, backend, client):
    log = tmp_path / "access.log"
    settings = configuration(backend.address, access_log={"path": str(log)})
    proxy = moongate(settings)
    client(proxy.address).hello()
    eventually(lambda: log.exists() and log.read_text(), what="the first line")
    log.rename(tmp_path / "old.log")
    generation = proxy.generation()
    proxy.signal(signal.SIGUSR1)
    eventually(log.exists, what="a new file")
    client(proxy.address).hello()
    assert json.loads(eventually(log.read_text, what="a line in the new file").splitlines()[0])
    assert proxy.generation() == generation and not proxy.wait_entries("ready")[1:]
    assert not [entry for entry in proxy.log_entries() if "reload" in entry["message"]]


def test_a_full_log_file_costs_lines_and_not_the_process(tmp_path, moongate, backend, client):
    log = tmp_path / "access.log"
    proxy = moongate(configuration(backend.address, access_log={"path": str(log)}))
    caller = client(proxy.address)
    caller.hello()
    eventually(lambda: log.exists() and log.read_text(), what="the first line")
    resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))

    def dropped():
        caller.hello()
        return proxy.metric("moongate_access_log_dropped_total") > 0

    eventually(dropped, 10, what="lines that are counted as dropped")
    assert log.stat().st_size <= 2000
    assert proxy.running() and caller.hello()
    resource.prlimit(proxy.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    caller.hello()
    eventually(lambda: log.stat().st_size > 2000, what="lines again")
    # The line that was cut is the only one that is not whole.
    lines = log.read_text().splitlines()
    assert json.loads(lines[-1]) and len([line for line in lines if not line.endswith("}")]) <= 1


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_descriptors_are_not_used_for_anything_else(tmp_path, backend, closed):
    (tmp_path / "moongate.yaml").write_text(text(
        configuration(backend.address, access_log={"path": "-"}) | {"admin": {"address": "127.0.0.1:0"}}))
    child = subprocess.Popen(
        ["sh", "-c", f'exec "$0" run --config moongate.yaml {closed}', binary()], cwd=tmp_path,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        address = eventually(lambda: _listening(child.pid), 20, what="listening sockets")
        for _ in range(3):
            for port in address:
                try:
                    with Client(f"127.0.0.1:{port}") as caller:
                        caller.hello(timeout=2)
                        served = port
                except Exception:
                    continue
        assert served, "a call through the listener"
        for number in range(3):
            target = os.readlink(f"/proc/{child.pid}/fd/{number}")
            assert target == "/dev/null" or target.startswith("pipe:"), (number, target)
        # What steers the process still does.
        child.send_signal(signal.SIGTERM)
        assert child.wait(10) == 0
    finally:
        if child.poll() is None:
            child.kill()
            child.wait()
        for pipe in (child.stdout, child.stderr):
            pipe.close()


def _listening(pid):
    """The ports on which a process listens on IPv4, once there are two: a listener's and that of the admin listener."""
    inodes = set()
    for entry in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        try:
            inodes.add(os.readlink(entry))
        except OSError:
            continue
    ports = []
    for line in pathlib.Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes:
            ports.append(int(fields[1].rpartition(":")[2], 16))
    return ports if len(ports) == 2 else None
