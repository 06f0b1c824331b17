"""The tools for people who write policies: test, check, types, new policy."""
import pathlib
import re
import xml.etree.ElementTree as ElementTree

import pytest

from harness.documents import REPOSITORY
from harness.proxy import run_command

POLICY = """
function on_init(config)
  if not config.header then error("header is missing", 0) end
end
function on_request(handle)
  if handle:headers():has(handle:config().header) then return end
  handle:respond({ [":status"] = "403" }, "no")
end
function on_response(handle)
  handle:headers():add("x-seen", "1")
end
"""
SPEC = """
describe("guard", function()
  it("lets in", function()
    local result = load_policy("guard", { header = "x" }):request { grpc = "/a.B/C", headers = { x = "1" } }
    expect(result.verdict):to_equal("proceeded")
  end)
  it("keeps out", function()
    expect(load_policy("guard", { header = "x" }):request({ grpc = "/a.B/C" }).grpc_status):to_equal(%s)
  end)
  skip("one day")
end)
"""


@pytest.fixture
def folder(tmp_path):
    """A folder with a policy, and a spec that passes."""
    write(tmp_path / "guard" / "init.lua", POLICY)
    write(tmp_path / "guard" / "guard_spec.lua", SPEC % 7)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


# moongate test

def test_specs_that_pass(folder):
    done = run_command("test", folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ok       guard › lets in\n" in done.stdout
    assert done.stdout.endswith("\n2 passed, 1 skipped\n")


def test_a_failing_spec_fails_the_command(folder):
    write(folder / "guard" / "guard_spec.lua", SPEC % 16)
    done = run_command("test", folder)
    assert done.returncode == 1
    assert "FAILED   guard › keeps out\n" in done.stdout
    assert f"{folder}/guard/guard_spec.lua:7: guard › keeps out\n" in done.stdout
    assert "    guard_spec.lua:8: expected 7 to equal 16\n" in done.stdout
    assert done.stdout.endswith("\n1 passed, 1 failed, 1 skipped\n")


def test_a_policy_that_breaks_fails_its_spec_with_a_traceback(folder):
    write(folder / "guard" / "init.lua", POLICY.replace("handle:headers()", "handle:heders()", 1))
    done = run_command("test", folder)
    assert done.returncode == 1
    assert re.search(r"guard/init.lua:6: attempt to call a nil value \(method 'heders'\)", done.stdout), done.stdout
    assert "stack traceback:" in done.stdout


@pytest.mark.parametrize("spec, said", [
    ("it(", "unexpected symbol near <eof>"), ("error('at the top')", "at the top"), ("local x = nil; x.y = 1", "attempt to index")])
def test_a_spec_that_cannot_be_run_is_told_apart(folder, spec, said):
    write(folder / "broken_spec.lua", spec)
    done = run_command("test", folder)
    assert done.returncode == 2
    assert said in done.stdout
    assert "2 passed, 1 skipped, 1 not run" in done.stdout


def test_nothing_to_run_is_no_success(tmp_path):
    assert run_command("test", tmp_path).returncode == 2
    assert run_command("test", tmp_path / "none").returncode == 2


def test_the_filter_chooses(folder):
    done = run_command("test", folder, "--filter", "lets")
    assert (done.returncode, done.stdout.count("ok  ")) == (0, 1)
    done = run_command("test", folder, "--filter", "nothing like it")
    assert done.returncode == 2 and "no test matches" in done.stderr


def test_tap(folder):
    write(folder / "guard" / "guard_spec.lua", SPEC % 16)
    done = run_command("test", folder, "--format", "tap")
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[:4] == ["TAP version 13", "1..3", "ok 1 - guard › lets in", "not ok 2 - guard › keeps out"]
    assert "    guard_spec.lua:8: expected 7 to equal 16" in lines
    assert lines[-1] == "ok 3 - guard › one day # SKIP"


def test_junit(folder):
    write(folder / "guard" / "guard_spec.lua", SPEC % 16)
    write(folder / "broken_spec.lua", "error('<&\"')")
    done = run_command("test", folder, "--format", "junit")
    assert done.returncode == 2
    root = ElementTree.fromstring(done.stdout)
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    cases = {case.get("name"): case for case in root.iter("testcase")}
    assert "expected 7 to equal 16" in cases["keeps out"].find("failure").get("message")
    assert cases["one day"].find("skipped") is not None
    assert cases["lets in"].get("classname") == "guard" and len(cases["lets in"]) == 0
    assert '<&"' in cases["load"].find("error").get("message")


def test_upstreams_are_stubs_and_time_is_the_specs(tmp_path):
    write(tmp_path / "guard" / "init.lua", """
local moon = require "moon"
local allowed = "nobody"
local function refresh() allowed = moon.http.get("list", "/").body end
function on_init() moon.timer.every(60, refresh) end
function on_request(handle)
  local answer, reason = moon.http.post("auth", "/check", moon.secret "key")
  if answer and answer.body == allowed then return end
  handle:respond({ [":status"] = "403" }, reason or "no")
end
""")
    spec = write(tmp_path / "guard" / "guard_spec.lua", """
local function load()
  return load_policy("guard", {}, { upstreams = { "auth", "list" }, secrets = { key = "k" } })
end
it("asks", function()
  local policy = load()
  http.stub("auth", function(call) return { body = call.body == "k" and "ada" or "eve" } end)
  http.stub("list", { body = "ada" })
  expect(policy:request({ path = "/" }).status):to_equal(403)
  clock.advance(60)
  expect(policy:request({ path = "/" }).verdict):to_equal("proceeded")
  http.stub("auth", { failure = "timeout" })
  expect(policy:request({ path = "/" }).response.body):to_equal("timeout")
  expect(#http.calls("list")):to_equal(1)
end)
""")
    done = run_command("test", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_command("check", "--strict", spec).returncode == 0
    write(spec, "it(\"asks\", function() load_policy(\"guard\", {}, "
                "{ upstreams = { \"auth\" }, secrets = { key = \"k\" } }):request {} end)\n")
    done = run_command("test", tmp_path)
    assert done.returncode == 1
    assert "the policy calls auth, but the spec has no http.stub for it" in done.stdout + done.stderr


def test_coverage_names_the_lines_that_did_not_run(folder):
    done = run_command("test", folder, "--coverage", "--filter", "lets in")
    assert done.returncode == 0
    assert re.search(r"  50\.0 %  \S*guard/init\.lua \(2 of 4\)\n +not: 7, 10\n", done.stdout), done.stdout
    assert run_command("test", folder, "--filter", "lets in", "--coverage-min", 50).returncode == 0
    done = run_command("test", folder, "--filter", "lets in", "--coverage-min", 51)
    assert done.returncode == 1 and "is less than --coverage-min" in done.stderr
    done = run_command("test", folder, "--coverage-min", 100, "--format", "tap")
    assert done.returncode == 0, done.stderr
    assert "100.0 %" in done.stderr and "%" not in done.stdout


# moongate check

@pytest.mark.parametrize("line, said", [
    ("handle:header()", "a Handle has no method header (hint: did you mean \"headers\"?)"),
    ("moon.hsh('x')", "there is no moon.hsh (hint: did you mean \"hash\"?)"),
    ("unpack({})", "unpack is gone since Lua 5.1 (hint: use table.unpack)"),
    ("local unused = 1", "the local unused is never used"), ("nobody()", "there is no nobody")])
def test_check_warns_of_what_does_not_exist(tmp_path, line, said):
    path = write(tmp_path / "p.lua", f"function on_request(handle)\n  print(handle)\n  {line}\nend\n")
    done = run_command("check", path)
    assert done.returncode == 0
    assert done.stderr.startswith(f"warning: {path}:3: {said}"), done.stderr
    assert run_command("check", "--strict", path).returncode == 2


def test_check_refuses_what_is_no_lua(tmp_path):
    path = write(tmp_path / "p.lua", "function on_request(handle)\n  x = = 1\nend\n")
    done = run_command("check", path)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{path}:2: unexpected symbol near '='"), done.stderr
    assert run_command("check", tmp_path / "none.lua").returncode == 2
    assert run_command("check").returncode not in (0, 2)


def test_check_looks_at_the_policies_of_a_configuration(tmp_path):
    write(tmp_path / "p.lua", "function on_request(handle) handle:respnd({}) end")
    config = write(tmp_path / "moongate.yaml", """
listeners: [{name: main, address: "127.0.0.1:0"}]
upstreams: {main: {endpoints: ["127.0.0.1:1"]}}
routes: [{name: all, policies: [p.lua, strip-port], upstream: main}]
""")
    done = run_command("check", "--config", config)
    assert done.returncode == 0
    assert re.search(r"^warning: \S*/p\.lua:1: a Handle has no method respnd", done.stderr), done.stderr
    assert done.stderr.count("warning") == 1
    assert run_command("check", "--strict", "--config", config).returncode == 2


def test_check_names_lines_of_policies_within_the_configuration(tmp_path):
    config = write(tmp_path / "moongate.yaml", """
listeners: [{name: main, address: "127.0.0.1:0"}]
upstreams: {main: {endpoints: ["127.0.0.1:1"]}}
routes:
  - name: all
    upstream: main
    policies:
      - name: shown
        lua: |
          function on_request(handle)
            handle:respnd({})
          end
""")
    done = run_command("check", "--config", config)
    assert done.returncode == 0
    line = next(number for number, text in enumerate(config.read_text().splitlines(), 1) if "respnd" in text)
    assert done.stderr.startswith(f"warning: {config}:{line}: a Handle has no method respnd"), done.stderr


def test_everything_that_ships_is_sound():
    files = sorted((REPOSITORY / "policies").rglob("*.lua")) + sorted((REPOSITORY / "examples").rglob("*.lua"))
    done = run_command("check", "--strict", *files)
    assert (done.returncode, done.stderr) == (0, "")


# moongate types

def test_types_are_lua_with_every_function(tmp_path):
    done = run_command("types", "--output", tmp_path / "library")
    assert done.returncode == 0, done.stderr
    path = tmp_path / "library" / "moon.lua"
    text = path.read_text(encoding="utf-8")
    assert run_command("types").stdout == text
    spec = tmp_path / "library" / "spec.lua"
    assert run_command("check", path, spec).returncode == 0
    for line in ["function load_policy(name, settings, options) end", "function http.stub(upstream, answer) end",
                 "function clock.advance(seconds) end", "function Expectation:to_equal(other) end"]:
        assert spec.read_text(encoding="utf-8").splitlines().count(line) == 1, line
    assert text.startswith("---@meta moon\n") and text.endswith("return moon\n")
    for line in ["---@class Handle", "function Handle:headers() end", "function moon.hash(text, seed) end",
                 "function on_request(handle) end", "function envoy_on_response(handle) end"]:
        assert text.splitlines().count(line) == 1, line


# moongate new policy

def test_a_new_policy_passes_its_spec_and_the_check(tmp_path):
    folder = tmp_path / "policies"
    done = run_command("new", "policy", "team-only", "--directory", folder)
    assert done.returncode == 0, done.stderr
    files = [pathlib.Path(line) for line in done.stdout.splitlines()]
    assert [file.name for file in files] == ["init.lua", "team-only_spec.lua", "README.md"]
    done = run_command("test", folder, "--coverage-min", 100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert run_command("check", "--strict", *files[:2]).returncode == 0
    before = files[0].read_text(encoding="utf-8")
    write(files[0], before + "-- mine\n")
    assert run_command("new", "policy", "team-only", "--directory", folder).returncode != 0
    assert files[0].read_text(encoding="utf-8") == before + "-- mine\n"


@pytest.mark.parametrize("name", ["Team", "../x", "a b", "1st", "", "a.lua"])
def test_names_that_cannot_be_policies_are_refused(tmp_path, name):
    done = run_command("new", "policy", name, "--directory", tmp_path / "policies")
    assert done.returncode != 0 and not (tmp_path / "policies").exists()
