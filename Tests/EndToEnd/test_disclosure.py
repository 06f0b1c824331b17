"""People on the machine, clients and terminals get to see no secrets, no addresses and no hidden characters."""
import json
import socket
import subprocess

import grpc
import pytest

from harness.frame_client import request
from harness.frames import MAX_HEADER_LIST_SIZE
from harness.ports import free_port, split
from harness.proxy import run_command
from harness.settings import configuration, route
from harness.waiting import eventually

SECRET = "tOp-SeCrEt-42"
HIDDEN = "\x9b31m\u202e\u2066\u200f\u061c\u2028"
ESCAPED = r"\u009b31m\u202e\u2066\u200f\u061c\u2028"


def told(proxy):
    """Everything that the edge says to people."""
    pages = ("/metrics", "/policies", "/policies?format=text", "/generations", "/upstreams", "/upstreams?format=text",
             "/explain?host=a&path=/b", "/explain?host=a&path=/b&format=text")
    return [proxy.output(), *(proxy.get(page)[1] for page in pages)]


# Configuration values

def guarded(address):
    return configuration(address, routes=[
        route(name="closed", match={"headers": [{"name": "x-key", "exact": SECRET}]}),
        route(name="begins", match={"headers": [{"name": "x-key", "prefix": SECRET}]}),
        route(name="matches", match={"headers": [{"name": "x-key", "regex": SECRET}]}),
        route(request_headers={"set": {"authorization": f"Bearer {SECRET}"}, "add": {"x-more": SECRET}},
              response_headers={"set": {"x-out": SECRET}}, metadata={"space": {SECRET: SECRET}},
              filter_context={"key": SECRET, "list": [SECRET]}, timeout="7s",
              policies=[{"name": "own", "lua": "function on_request() end", "settings": {"key": SECRET}}])])


def test_explain_and_all_pages_show_no_values(moongate, backend, client):
    proxy = moongate(guarded(backend.address))
    assert client(proxy.address).unary()
    for said in told(proxy):
        assert SECRET not in said, said
    status, page = proxy.get("/explain?host=a&path=/b")
    [section] = json.loads(page)["listeners"]
    settings = section["settings"]
    assert settings["timeout"] == "7s"
    assert settings["request_headers"]["set"] == [{"authorization": "<hidden>"}]
    assert settings["metadata"] == [{"space": "<mapping of 1>"}] and settings["filter_context"] == "<mapping of 2>"
    text = run_command("explain", "--config", proxy.file, "--host", "a", "--path", "/b").stdout
    assert "header x-key: exactly <hidden>" in text and SECRET not in text
    assert "begins with <hidden>" in text and "matches <hidden>" in text


@pytest.mark.parametrize("secrets", [
    {"s": SECRET}, {"s": {"file": SECRET}}, {"s": {"env": SECRET.replace("-", "_")}}, {"s": [SECRET]}, {"s": {SECRET: 1}}])
def test_a_secret_written_by_mistake_is_quoted_nowhere(moongate, backend, client, secrets):
    good = configuration(backend.address)
    proxy = moongate(good, policies={"p.lua": "function on_request() end"})
    proxy.configure({**good, "secrets": secrets})
    eventually(lambda: proxy.failed_reloads() > 0, 10, what="the reload is refused")
    for said in [*told(proxy), run_command("check", "--config", proxy.file).stderr,
                 run_command("run", "--config", proxy.file).stderr]:
        assert SECRET not in said and SECRET.replace("-", "_") not in said, said
    assert "moongate.yaml" in run_command("check", "--config", proxy.file).stderr


def test_a_token_that_a_script_passes_by_mistake_is_quoted_nowhere(moongate, backend, client):
    policy = """
        local moon = require "moon"
        local calls = { moon.network, moon.secret, moon.cidr, moon.methods, require, moon.upstream, moon.http.get,
          moon.jwt.verify, moon.time.format, moon.dict, moon.metrics.counter }
        function on_request(handle)
          local token = handle:headers():get("x-token")
          calls[tonumber(handle:headers():get("x-call"))](token, token)
          error("none")
        end
    """
    proxy = moongate(configuration(backend.address, routes=[route(policies=[{"name": "own", "lua": policy}])]))
    caller = client(proxy.address)
    for number in range(1, 12):
        error = caller.refused(metadata=[("x-call", str(number)), ("x-token", SECRET)])
        assert error.code() == grpc.StatusCode.INTERNAL and SECRET not in error.details()
    for said in told(proxy):
        assert SECRET not in said, said


def test_a_pattern_that_is_none_is_told_without_its_text(tmp_path):
    path = tmp_path / "moongate.yaml"
    path.write_text(json.dumps(configuration("127.0.0.1:1", routes=[
        route(match={"headers": [{"name": "x-key", "regex": f"({SECRET}"}]})])))
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and "x-key" in done.stderr and SECRET not in done.stderr, done.stderr


# The admin listener

def ask(proxy, host, path="/metrics", version="1.1"):
    """The status of an admin page that is asked for by a name."""
    line = "" if host is None else f"Host: {host}\r\n"
    with socket.create_connection(split(proxy.admin), timeout=5) as plain:
        plain.sendall(f"GET {path} HTTP/{version}\r\n{line}Connection: close\r\n\r\n".encode("latin-1"))
        return int(plain.makefile("rb").readline().split()[1])


def test_the_admin_listener_is_asked_by_its_own_names_alone(moongate, backend):
    settings = configuration(backend.address)
    settings["admin"] = {**settings["admin"], "hosts": ["edge.internal", "*.ops.example"]}
    proxy = moongate(settings)
    port = proxy.admin.rpartition(":")[2]
    for host in (f"127.0.0.1:{port}", "127.0.0.1", "10.9.8.7:9901", "[::1]:9901", f"localhost:{port}", "LOCALHOST.",
                 "edge.internal", f"a.ops.example:{port}"):
        assert ask(proxy, host) == 200, host
    for host in ("evil.example", f"evil.example:{port}", "localhost.evil.example", "127.0.0.1.nip.example", "ops.example"):
        for path in ("/metrics", "/live", "/ready", "/policies", "/explain?host=a&path=/b", "/none"):
            assert ask(proxy, host, path) == 421, host
    assert ask(proxy, None) == 400 and ask(proxy, "") == 400 and ask(proxy, "a b") == 400
    assert ask(proxy, None, version="1.0") == 200
    assert ask(proxy, "evil.example", version="1.0") == 421
    for command in ("policies", "upstreams"):
        assert run_command(command, "--admin", proxy.admin).returncode == 0
    settings["admin"]["hosts"] = ["evil.example"]
    proxy.configure(settings)
    eventually(lambda: ask(proxy, "evil.example") == 200, 10, what="the new names")
    assert ask(proxy, "edge.internal") == 421


# Hidden characters

def test_hidden_characters_are_escaped_in_logs_and_tables(moongate, backend, client, connect, tmp_path):
    access = tmp_path / "access.log"
    policy = f'function on_request(handle) handle:logErr("{HIDDEN}") if handle:headers():get("x-fail") then error("{HIDDEN}\\xff", 0) end end'
    proxy = moongate(configuration(
        backend.address, routes=[route(policies=[{"name": "own", "lua": policy}])], access_log={"path": str(access)}))
    caller = client(proxy.address)
    caller.unary()
    caller.refused(metadata=[("x-fail", "1")])
    stream = connect(proxy.address)
    stream.call(request(authority="a", extra=[("user-agent", HIDDEN.encode())]))
    eventually(lambda: access.exists() and len(access.read_text().splitlines()) == 3, 10, what="3 lines")
    eventually(lambda: ESCAPED in proxy.output(), 5, what="the policy's line")
    table = run_command("policies", "--admin", proxy.admin).stdout
    page = proxy.get("/policies")[1]
    for said in (proxy.output(), access.read_text(), table, page, proxy.get("/policies?format=text")[1]):
        for character in HIDDEN.replace("31m", ""):
            assert character not in said, repr(said)
    assert r"\u{009B}31m\u{202E}" in table and ESCAPED in page


def test_names_of_the_configuration_are_escaped_by_check(tmp_path):
    path = tmp_path / "moongate.yaml"
    text = "".join(f"\\u{ord(character):04x}" for character in HIDDEN)
    path.write_text(f'listeners: [{{address: ":1"}}]\nroutes: [{{name: "a{text}", upstream: "b{text}"}}]\n"x{text}": 1\n')
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and r"\u{009B}31m\u{202E}" in done.stderr
    for character in HIDDEN.replace("31m", ""):
        assert character not in done.stderr, repr(done.stderr)


# Faults that clients see: test_failures.py has those of servers that fail

@pytest.mark.parametrize("case", ["head too large", "nothing listens", "no healthy endpoint"])
def test_faults_name_the_upstream_and_no_address(moongate, upstream, client, case):
    port = free_port()
    settings = {"endpoints": [f"127.0.0.1:{port}"]}
    if case == "head too large":
        settings = {"endpoints": [upstream(lambda connection, head: None, settings={MAX_HEADER_LIST_SIZE: 8192}).address]}
    if case == "no healthy endpoint":
        settings |= {"panic_threshold": 0, "health_check": {"tcp": {}, "interval": "50ms", "unhealthy_threshold": 1}}
    proxy = moongate(configuration(upstreams={"main": settings}, routes=[route(timeout="5s")]))
    error = client(proxy.address).refused(metadata=[("x-large", "x" * 9000)], timeout=10)
    assert "main" in error.details()
    for address in ("127.0.0.1", str(port), ":" + settings["endpoints"][0].rpartition(":")[2]):
        assert address not in error.details(), error.details()
    page = proxy.get("/upstreams")[1]
    assert settings["endpoints"][0] in page, "operators see the address"


# Guards that guard nothing

MISSPELT = """--- Guards nothing.
function on_reqest(handle)
  handle:respond({ [":status"] = "403" }, "no")
end
"""
NOTHING = "local function on_request(handle) handle:respond({}) end\nreturn on_request\n"


@pytest.mark.parametrize("text, line, said", [
    (MISSPELT, 2, 'there is no hook on_reqest (hint: did you mean "on_request"?)'),
    (NOTHING, 1, "the file has no hooks, so nothing of it ever runs (hint: on_request is local: hooks are global"),
])
def test_a_guard_that_guards_nothing_is_refused_by_check_run_and_reload(moongate, backend, client, tmp_path, text, line, said):
    settings = configuration(backend.address, routes=[route(policies=["policies/guard.lua"])])
    proxy = moongate(settings, policies={"guard.lua": 'function on_request(h) h:respond({ [":status"] = "403" }, "no") end'})
    proxy.write("policies/guard.lua", text)
    wanted = f"guard.lua:{line}: {said}"
    eventually(lambda: proxy.failed_reloads() > 0, 10, what="the reload is refused")
    assert wanted.replace('"', '\\"') in proxy.output()
    assert client(proxy.address).refused().code() == grpc.StatusCode.PERMISSION_DENIED, "the old guard stays"
    for command in ("check", "run"):
        done = run_command(command, "--config", proxy.file)
        assert done.returncode == 2 and wanted in done.stderr, done.stderr


def test_check_of_a_file_refuses_a_misspelt_hook(tmp_path):
    path = tmp_path / "misspelt-hook.lua"
    path.write_text(MISSPELT)
    done = run_command("check", path)
    assert done.returncode == 2 and f'{path}:2: there is no hook on_reqest (hint: did you mean "on_request"?)' in done.stderr
    path.write_text("x = 1\n")
    assert run_command("check", path).returncode == 2
    path.write_text("return { word = 'a module' }\n")
    assert run_command("check", path).returncode == 0


@pytest.mark.parametrize("source", [
    {"lua": "function on_reqest() end", "name": "own"}, {"lua": "function envoy_on_respons() end", "name": "own"},
    {"lua": "local x = 1", "name": "own"}])
def test_sources_within_the_configuration_are_held_to_the_same(tmp_path, source):
    path = tmp_path / "moongate.yaml"
    path.write_text(json.dumps(configuration("127.0.0.1:1", routes=[route(policies=[source])])))
    done = run_command("check", "--config", path)
    assert done.returncode == 2 and "hook" in done.stderr, done.stderr


def test_run_and_reload_log_what_the_linter_finds(moongate, backend):
    first = "function on_request(handle) if false then handle:respond(403, 'no') end end"
    proxy = moongate(configuration(backend.address, routes=[route(policies=["policies/p.lua"])]), policies={"p.lua": first})
    found = "argument 1 of respond is a number, and must be a table"
    proxy.wait_entries(lambda entry: entry["level"] == "warning" and f"p.lua:1: {found}" in entry["message"])
    proxy.write("policies/p.lua", "\nfunction on_request(handle) handle:headers():get(1) end")
    proxy.wait_generation(2)
    proxy.wait_entries(lambda entry: entry["level"] == "warning" and "p.lua:2: argument 1 of get" in entry["message"])


# Commands started elsewhere

@pytest.fixture
def edge(tmp_path):
    """A configuration with a data file, a policy by path and a spec, in a folder of its own."""
    folder = tmp_path / "conf"
    (folder / "policies").mkdir(parents=True)
    (folder / "data.txt").write_text("one\n")
    (folder / "policies" / "p.lua").write_text(
        'local moon = require "moon"\nlocal data = moon.file("data.txt")\nfunction on_request(h) h:headers():add("x", data[1]) end\n')
    (folder / "policies" / "p_spec.lua").write_text(
        'it("loads", function() local p = load_policy("p.lua", {}, { files = { ["data.txt"] = "one" } })\n'
        '  expect(p:request { grpc = "/a.B/C" }.verdict):to_equal("proceeded") end)\n')
    settings = configuration("127.0.0.1:1", routes=[route(policies=["policies/p.lua"])])
    settings["admin"] = {"address": f"127.0.0.1:{free_port()}"}
    (folder / "moongate.yaml").write_text(json.dumps(settings))
    return folder


@pytest.mark.parametrize("place, given", [
    (".", "moongate.yaml"), (".", "./moongate.yaml"), ("policies", "../moongate.yaml"), ("..", "conf/moongate.yaml"),
    ("../link", "moongate.yaml"), ("../other", "../conf/moongate.yaml")])
def test_every_command_takes_relative_paths_from_any_folder(edge, place, given):
    (edge.parent / "link").symlink_to(edge)
    (edge.parent / "other").mkdir()
    here = edge / place
    done = run_command("check", "--config", given, cwd=here)
    assert done.returncode == 0, done.stderr
    assert f"{given}: good" in done.stdout
    policies = given.replace("moongate.yaml", "policies")
    for command in (["explain", "--host", "a", "--path", "/b", "--config", given], ["check", f"{policies}/p.lua"],
                    ["test", policies], ["test", f"{policies}/p_spec.lua", "--path", policies],
                    ["types", "--output", f"{policies}/types"], ["new", "policy", "fresh", "--directory", policies]):
        done = run_command(*command, cwd=here)
        assert done.returncode == 0, (command, done.stdout, done.stderr)
    assert (edge / "policies" / "types" / "moon.lua").exists() and (edge / "policies" / "fresh" / "init.lua").exists()
    for command in ("policies", "upstreams"):
        done = run_command(command, "--config", given, cwd=here)
        assert done.returncode == 1 and "no answer from 127.0.0.1" in done.stderr, "the file was read, nobody answers"
    assert run_command("check", "--config", "none.yaml", cwd=here).returncode == 2


def test_run_takes_a_relative_path_and_reloads_by_it(edge):
    from harness.process import ManagedProcess
    from harness.proxy import binary
    process = ManagedProcess([binary(), "run", "--config", "../moongate.yaml"], cwd=edge / "policies")
    try:
        process.wait_for_line(lambda line: '"ready"' in line, timeout=20)
        (edge / "data.txt").write_text("two\n")
        process.wait_for_line(lambda line: "generation" in line and "2" in line and "reload" in line.lower(), timeout=20)
    finally:
        process.stop()


def test_a_folder_that_is_gone_is_told(edge):
    gone = edge.parent / "gone"
    script = f'mkdir {gone} && cd {gone} && rmdir {gone} && exec "$0" check --config moongate.yaml'
    from harness.proxy import binary
    done = subprocess.run(["sh", "-c", script, binary()], capture_output=True, text=True, timeout=30)
    assert done.returncode not in (0, 2) and "moongate.yaml" in done.stderr
