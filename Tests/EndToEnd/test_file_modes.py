"""Files of a configuration: whoever may write one lets himself in, and none of them stops or fills the process."""
import hashlib
import json
import os

import bcrypt
import pytest

from harness.authority import Authority
from harness.certificates import Certificate
from harness.proxy import run_command
from harness.settings import configuration, route, text
from harness.waiting import eventually

SECRET = "0123456789abcdef0123456789abcdef"
SCRIPT = """
local moon = require "moon"
local shared = require "shared"
local known = {}
for _, name in ipairs(moon.file "data.txt") do known[name] = true end
function on_request(handle) shared.check(handle, known) end
"""
MODULE = "return { check = function(handle, known) end }\n"

# Name of the file -> the use by which it is refused.
USES = {
    "moongate.yaml": "a configuration",
    "endpoints.yaml": "a list of endpoints",
    "policies/guard.lua": "a policy",
    "policies/shared.lua": "a policy",
    "policies/data.txt": "data of a policy",
    "keys.yaml": "data of a policy",
    "users.yaml": "data of a policy",
    "jwks.json": "data of a policy",
    "idp.pem": "data of a policy",
    "hmac": "a secret",
    "edge.crt": "a certificate",
    "edge.key": "a private key",
    "own.crt": "a certificate",
    "own.key": "a private key",
    "clients.pem": "certificates of authorities",
    "clients.crl": "a revocation list",
    "servers.pem": "certificates of authorities",
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The contents of every file, by name."""
    folder = tmp_path_factory.mktemp("made")
    edge, own = Certificate(folder, "edge", ["a.example"]), Certificate(folder, "own", ["b.example"])
    clients = Authority(folder, "clients")
    hashed = bcrypt.hashpw(b"lovelace", bcrypt.gensalt(4)).decode()
    policies = [
        "policies/guard.lua", {"api-key": {"keys": "keys.yaml"}}, {"basic-auth": {"users": "users.yaml"}},
        {"jwt-auth": {"jwks": "jwks.json"}}, {"jwt-auth": {"key": "idp.pem"}}, {"jwt-auth": {"secret": "hmac"}},
    ]
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    return {
        "moongate.yaml": text(configuration(
            routes=[route(policies=policies)], policies={"path": ["policies"]}, secrets={"hmac": {"file": "hmac"}},
            listeners=[{"name": "main", "address": "127.0.0.1:0", "tls": {
                "certificates": [{"certificate": "edge.crt", "key": "edge.key"}],
                "client_certificates": {"ca": "clients.pem", "crl": "clients.crl"}}}],
            upstreams={"main": {"endpoints_file": "endpoints.yaml", "tls": {
                "ca": "servers.pem", "certificate": "own.crt", "key": "own.key"}}})),
        "endpoints.yaml": "[127.0.0.1:1]\n",
        "policies/guard.lua": SCRIPT.replace("data.txt", "policies/data.txt"),
        "policies/shared.lua": MODULE,
        "policies/data.txt": "a\n",
        "keys.yaml": json.dumps({"ci": hashlib.sha256(b"k1").hexdigest()}),
        "users.yaml": json.dumps({"ada": hashed}),
        "jwks.json": json.dumps({"keys": [jwk]}),
        "idp.pem": edge.pem.decode(),
        "hmac": SECRET,
        "edge.crt": edge.certificate.read_text(),
        "edge.key": edge.key.read_text(),
        "own.crt": own.certificate.read_text(),
        "own.key": own.key.read_text(),
        "clients.pem": clients.pem.decode(),
        "clients.crl": clients.revocation_list().decode(),
        "servers.pem": edge.pem.decode(),
    }


@pytest.fixture
def files(tmp_path, whole):
    """A folder with all of them, which only their owner may read; gives their paths by name."""
    paths = {}
    for name, content in whole.items():
        paths[name] = path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(content)
    return paths


def check(files):
    return run_command("check", "--config", files["moongate.yaml"])


def refusal(path, use):
    mode = "o-rwx" if use in ("a secret", "a private key") else "o-w"
    return f"{use} that everybody may write (hint: chmod {mode} {path})"


def test_all_files_are_good_as_they_are(files):
    done = check(files)
    assert (done.returncode, done.stderr) == (0, "")
    for path in files.values():
        path.chmod(0o620)
    assert check(files).returncode == 0, "what a group may do is the operator's choice"


@pytest.mark.parametrize("name, use", USES.items(), ids=USES)
def test_every_file_that_everybody_may_write_is_refused(files, name, use):
    files[name].chmod(0o602)
    for command in ("check", "run"):
        done = run_command(command, "--config", files["moongate.yaml"])
        assert done.returncode == 2
        assert refusal(files[name], use) in done.stderr
        assert done.stderr.count("everybody may write") == 1, "one line for one file"


def test_a_link_does_not_hide_the_mode(files):
    real = files["jwks.json"].rename(files["jwks.json"].with_name("real.json"))
    files["jwks.json"].symlink_to(real)
    assert check(files).returncode == 0, "the mode of a link means nothing"
    real.chmod(0o606)
    assert refusal(files["jwks.json"], "data of a policy") in check(files).stderr


def test_a_script_that_everybody_may_write_does_not_run(files):
    files["policies/guard.lua"].write_text('error("it has run")')
    files["policies/guard.lua"].chmod(0o602)
    said = check(files).stderr
    assert "everybody may write" in said and "it has run" not in said


@pytest.mark.parametrize("statement", ['pcall(moon.file, "policies/data.txt")', 'pcall(require, "shared")'])
def test_a_script_cannot_hide_that_a_file_was_refused(files, statement):
    files["policies/guard.lua"].write_text(f'local moon = require "moon"\n{statement}\nfunction on_request() end\n')
    name = "policies/data.txt" if "data" in statement else "policies/shared.lua"
    files[name].chmod(0o602)
    done = check(files)
    assert done.returncode == 2 and refusal(files[name], USES[name]) in done.stderr
    files[name].chmod(0o600)
    assert check(files).returncode == 0


@pytest.mark.parametrize("name", ["keys.json", "policies/guard.lua"])
def test_a_reload_refuses_a_file_that_everybody_may_write(moongate, backend, client, name):
    keys = json.dumps({"ci": hashlib.sha256(b"k1").hexdigest()})
    proxy = moongate(
        configuration(backend.address, routes=[route(
            policies=["policies/guard.lua", {"api-key": {"keys": "keys.json"}}])]),
        policies={"guard.lua": "function on_request() end\n"}, files={"keys.json": keys})
    path = proxy.folder / name
    path.chmod(0o666)
    eventually(lambda: proxy.failed_reloads() > 0, 10, what="the reload is refused")
    proxy.wait_for_line("that everybody may write")
    assert client(proxy.address).hello(metadata=[("x-api-key", "k1")]), "the old generation goes on"
    path.chmod(0o600)
    proxy.wait_for_line("the files say what they said")


@pytest.mark.parametrize("name", USES)
def test_no_file_is_larger_than_16_MiB(files, name):
    size = files[name].stat().st_size
    files[name].write_bytes(files[name].read_bytes() + b"\n" * ((16 << 20) + 1 - size))
    done = check(files)
    assert done.returncode == 2 and "larger than 16 MiB" in done.stderr and str(files[name]) in done.stderr


@pytest.mark.parametrize("name", ["edge.key", "clients.pem", "servers.pem", "idp.pem"])
def test_a_large_hole_is_not_read(files, name):
    os.truncate(files[name], 1 << 40)
    done = check(files)
    assert done.returncode == 2 and "larger than 16 MiB" in done.stderr


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize("name", USES)
def test_what_is_no_file_does_not_stop_the_start(files, name, kind):
    files[name].unlink()
    if kind == "pipe":
        os.mkfifo(files[name], 0o600)
    elif kind == "device":
        files[name].symlink_to("/dev/zero")
    else:
        files[name].mkdir()
    done = check(files)     # gives up by itself after half a minute
    assert done.returncode == 2 and "it is no regular file" in done.stderr and str(files[name]) in done.stderr
