"""What the process may do and who may see what: files that let somebody in, the sandbox, the admin listener, no root."""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile

import pytest

from harness.certificates import Certificate
from harness.proxy import binary, run_command
from harness.settings import configuration, route, text
from harness.waiting import eventually

HASH = "$2b$04$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
HEADER_AUTH = [route(policies=[{"header-auth": {"users": "users.yaml"}}])]
USERS = f'ada: {{password: "{HASH}", allow: ["*"]}}\n'


def status(process, thread=None):
    """Lines of /proc/…/status by name."""
    path = f"/proc/{process}/status" if thread is None else f"/proc/{process}/task/{thread}/status"
    lines = pathlib.Path(path).read_text(encoding="ascii").splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


# Files


@pytest.fixture
def files(tmp_path):
    """A configuration with a private key, a secret and a users file, which only their owner may read; gives paths."""
    certificate = Certificate(tmp_path, "edge", ["a.example"])
    secret, users = tmp_path / "session-key", tmp_path / "users.yaml"
    for path, content in ((secret, "hidden"), (users, USERS)):
        path.touch(mode=0o600)
        path.write_text(content)
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration(
        "127.0.0.1:1", routes=HEADER_AUTH, secrets={"session-key": {"file": "session-key"}},
        listeners=[{"name": "main", "address": "127.0.0.1:0", "tls": {"certificates": [certificate.setting()]}}])))
    return {"config": path, "key": certificate.key, "secret": secret, "users": users}


KINDS = [("key", "a private key"), ("secret", "a secret"), ("users", "password hashes")]


@pytest.mark.parametrize("name, kind, mode", [
    ("key", "a private key", "o-rwx"), ("secret", "a secret", "o-rwx"), ("users", "data of a policy", "o-w")])
def test_a_file_that_lets_in_and_that_everybody_may_write_is_refused(files, name, kind, mode):
    files[name].chmod(0o602)
    for arguments in (["check", "--config", files["config"]], ["run", "--config", files["config"]]):
        done = run_command(*arguments)
        assert done.returncode == 2
        assert f"{files[name]}: {kind} that everybody may write (hint: chmod {mode} {files[name]})" in done.stderr


@pytest.mark.parametrize("name, kind", KINDS)
def test_a_file_that_lets_in_and_that_everybody_may_read_is_warned_about(files, name, kind):
    good = run_command("check", "--config", files["config"])
    assert (good.returncode, good.stderr) == (0, "")
    files[name].chmod(0o644)
    done = run_command("check", "--config", files["config"])
    assert done.returncode == 0
    assert f"warning: {files[name]}: {kind} that everybody may read (hint: chmod o-r {files[name]})" in done.stderr
    assert run_command("check", "--strict", "--config", files["config"]).returncode == 2


def test_a_hash_in_the_configuration_makes_it_such_a_file(tmp_path):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration("127.0.0.1:1")) + f"# {HASH}\n")
    path.chmod(0o644)
    assert "password hashes that everybody may read" in run_command("check", "--config", path).stderr


def test_a_reload_refuses_such_a_file_and_takes_it_when_it_is_mended(moongate, backend):
    proxy = moongate(configuration(backend.address, routes=HEADER_AUTH), files={"users.yaml": USERS})
    proxy.wait_for_line("password hashes that everybody may read")
    path = proxy.write("users.yaml", USERS.replace("ada", "eve"))
    path.chmod(0o666)
    eventually(lambda: proxy.failed_reloads() > 0, 10, what="the reload is refused")
    proxy.wait_for_line("data of a policy that everybody may write")
    generation = proxy.generation()
    path.chmod(0o600)
    proxy.wait_generation(generation + 1)


# The process


def test_every_thread_is_in_the_sandbox(moongate, backend, client):
    proxy = moongate(configuration(backend.address))
    for thread in os.listdir(f"/proc/{proxy.pid}/task"):
        fields = status(proxy.pid, thread)
        assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2"), fields["Name"]
    assert client(proxy.address).hello() == "Hello, world!"


@pytest.mark.skipif(bool(os.environ.get("MOONGATE_SANITIZER")), reason="sanitizers set the limit themselves")
def test_core_dumps_are_off_unless_wanted(moongate, backend):
    def limit(proxy):
        lines = pathlib.Path(f"/proc/{proxy.pid}/limits").read_text(encoding="ascii").splitlines()
        return next(line.split()[4] for line in lines if line.startswith("Max core file size"))

    assert limit(moongate(configuration(backend.address))) in ("0", "1")
    own = pathlib.Path("/proc/self/limits").read_text(encoding="ascii")
    wanted = next(line.split()[4] for line in own.splitlines() if line.startswith("Max core file size"))
    assert limit(moongate(configuration(backend.address, process={"core_dumps": True}))) == wanted


def test_without_a_sandbox_nothing_is_refused(moongate, backend):
    proxy = moongate(configuration(backend.address, process={"sandbox": "off", "allow_new_privileges": True}))
    own, fields = status("self"), status(proxy.pid)
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == (own["NoNewPrivs"], own["Seccomp"])


def test_a_strict_sandbox_starts_no_program(moongate, backend, client):
    proxy = moongate(configuration(backend.address, process={"sandbox": "strict"}))
    proxy.signal(signal.SIGUSR2)
    line = proxy.wait_for_line("Operation not permitted")
    assert "upgrade" in line
    assert client(proxy.address).hello() == "Hello, world!"


def test_the_sandbox_stays_as_it_is_until_a_restart(moongate, backend):
    proxy = moongate(configuration(backend.address))
    proxy.configure(proxy.configuration | {"process": {"sandbox": "off"}})
    proxy.wait_for_line("process cannot change while the edge runs")


@pytest.mark.skipif(os.geteuid() != 0, reason="the other tests run without root already")
def test_nothing_needs_root(backend, client):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="moongate-"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    folder.chmod(0o755)
    # The folders above the build may be closed to others.
    program = shutil.copy(binary(), folder / "moongate")
    path = folder / "moongate.yaml"
    path.write_text(text(configuration(
        backend.address, listeners=[{"name": "main", "address": f"127.0.0.1:{port}"}])))
    child = subprocess.Popen(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", "--bounding-set=-all",
         program, "run", "--config", path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True)
    try:
        ready = next((line for line in child.stderr if '"message":"ready"' in line), None)
        assert ready
        assert int(status(child.pid)["CapEff"], 16) == 0 and status(child.pid)["Uid"].split()[1] == "65534"
        assert client(f"127.0.0.1:{port}").hello() == "Hello, world!"
    finally:
        child.terminate()
        child.terminate()
        child.wait(20)
        child.stderr.close()
        shutil.rmtree(folder)


# The admin listener


@pytest.mark.parametrize("address", ["0.0.0.0:9901", ":9901", "[::]:9901", "192.0.2.1:9901"])
def test_the_admin_listener_is_for_this_host_unless_somebody_says_otherwise(tmp_path, address):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration("127.0.0.1:1", admin={"address": address})))
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and "is not loopback" in done.stderr and "allow_remote: true" in done.stderr
    path.write_text(text(configuration("127.0.0.1:1", admin={"address": address, "allow_remote": True})))
    assert run_command("check", "--config", path).returncode == 0


@pytest.mark.parametrize("address", ["127.0.0.1:9901", "127.8.9.10:9901", "[::1]:9901", "[::ffff:127.0.0.1]:9901"])
def test_loopback_addresses_need_no_permission(tmp_path, address):
    path = tmp_path / "moongate.yaml"
    path.write_text(text(configuration("127.0.0.1:1", admin={"address": address})))
    assert run_command("check", "--config", path).returncode == 0
