"""The command line: run, check, explain, hash-password, --version, --help."""
import json
import re

import bcrypt
import pytest

from harness.proxy import run_command
from harness.settings import configuration, text


@pytest.fixture
def file(tmp_path):
    """Writes a configuration and gives its path."""
    def write(content, name="moongate.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(content))
        return path

    return write


def test_check_of_a_good_configuration_is_0(file):
    done = run_command("check", "--config", file(configuration("127.0.0.1:1")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_tells_every_problem_with_its_place(file):
    path = file("""listeners:
  - name: main
    adress: 127.0.0.1:0
upstreams:
  main:
    endpoints: ["127.0.0.1:99999"]
routes:
  - name: all
    upstream: mian
    timeout: soon
""")
    done = run_command("check", "--config", path)
    said = done.stdout + done.stderr
    assert done.returncode == 2
    assert re.search(r"moongate\.yaml:3:5: .*adress", said) and "address" in said
    assert re.search(r"moongate\.yaml:6:\d+: .*99999", said)
    assert re.search(r"moongate\.yaml:9:\d+: .*mian", said) and re.search(r"moongate\.yaml:10:\d+: .*soon", said)


def test_check_finds_broken_policies(file):
    file("function on_request(", "policies/bad.lua")
    path = file(configuration("127.0.0.1:1", routes=[
        {"name": "all", "upstream": "main", "policies": [{"policy": "policies/bad.lua"}]}]))
    done = run_command("check", "--config", path)
    assert done.returncode == 2
    assert "bad.lua:1" in done.stdout + done.stderr


@pytest.mark.parametrize("content", ["listners: []\n", "{", "", "listeners: []\n"])
def test_run_with_a_bad_configuration_refuses_to_start_with_the_message_of_check(file, content):
    path = file(content)
    checked, ran = run_command("check", "--config", path), run_command("run", "--config", path)
    assert checked.returncode == ran.returncode == 2
    message = next(line for line in (checked.stdout + checked.stderr).splitlines() if "moongate.yaml" in line)
    place, _, what = message.partition("moongate.yaml")
    assert what.strip() in (ran.stdout + ran.stderr).replace('\\"', '"').replace("\\/", "/")


def test_missing_configuration_file_is_2(tmp_path):
    done = run_command("run", "--config", tmp_path / "none.yaml")
    assert done.returncode == 2 and "none.yaml" in done.stdout + done.stderr


def test_hash_password_makes_a_bcrypt_hash(tmp_path):
    (tmp_path / "password").write_text("correct horse\n")
    with open(tmp_path / "password", encoding="ascii") as file:
        done = run_command("hash-password", "--cost", "4", stdin=file)
    hashed = done.stdout.strip()
    assert done.returncode == 0 and re.fullmatch(r"\$2[by]\$04\$[./A-Za-z0-9]{53}", hashed)
    assert bcrypt.checkpw(b"correct horse", hashed.encode())


def test_version_and_help():
    assert re.search(r"\d+\.\d+\.\d+", run_command("--version").stdout)
    usage = run_command("--help").stdout
    for command in ("run", "check", "hash-password"):
        assert command in usage


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "--speed", "9"]])
def test_wrong_usage_is_told(arguments):
    done = run_command(*arguments)
    assert "USAGE" in (done.stdout + done.stderr).upper()
    if arguments:
        assert done.returncode == 64


EXPLAINED = """
listeners:
  - {name: plain, address: "127.0.0.1:0", policies: [{name: stamp, lua: "function on_request() end"}]}
  - {name: secure, address: "[::1]:0"}
upstreams:
  greeter: {endpoints: ["127.0.0.1:1"], connect_timeout: 2s}
  canary: {endpoints: ["127.0.0.1:2"]}
routes:
  - name: greeter
    match: {hosts: [api.example.com], service: helloworld.Greeter}
    policies: [{policy: stamp, disabled: true}, {name: audit, lua: "function on_request() end"}]
    upstreams: [{name: greeter, weight: 9}, {name: canary, weight: 1}]
    listeners: [plain]
    timeout: 30s
  - {name: pro, match: {hosts: [api.example.com], headers: [{name: x-plan, exact: pro}]}, upstream: canary}
  - {name: all, upstream: canary}
admin: {address: "127.0.0.1:0"}
"""
ASKED = ["--host", "api.example.com:443", "--path", "/helloworld.Greeter/SayHello", "--header", "x-plan=free"]


def test_explain_says_where_a_request_goes_and_why(file):
    done = run_command("explain", "-c", file(EXPLAINED), *ASKED)
    assert done.returncode == 0, done.stderr
    plain, secure = done.stdout.split("\n\n")
    assert "greeter (host api.example.com, service helloworld.Greeter): its host is the most specific" in plain
    assert "stamp (listener, disabled by the route), audit (route)" in plain
    assert "greeter 90 %" in plain and "canary 10 %" in plain
    assert "timeout: 30s" in plain and "connect_timeout: 2s" in plain
    assert "pro (host api.example.com, header x-plan: exactly <hidden>): the header x-plan: exactly <hidden> does not fit" in plain
    assert "all (every request): fits, but greeter has a more specific host" in plain
    assert "belongs to other listeners" in secure and "all (every request): nothing else fits" in secure


def test_explain_as_json_for_one_listener_and_by_the_admin_listener(file, moongate):
    arguments = ["--listener", "plain", *ASKED]
    done = run_command("explain", "-c", file(EXPLAINED), "--json", *arguments)
    said = json.loads(done.stdout)
    [section] = said["listeners"]
    assert (section["route"], section["decided_by"]) == ("greeter", "host")
    assert section["settings"]["timeout"] == "30s"
    assert [(item["route"], item["fits"]) for item in section["alternatives"]] == [
        ("greeter", True), ("pro", False), ("all", True)]
    proxy = moongate(EXPLAINED)
    asked = run_command("explain", "--admin", proxy.admin, "--json", *arguments)
    assert json.loads(asked.stdout)["listeners"] == said["listeners"]
    asked = run_command("explain", "--admin", proxy.admin, *arguments)
    assert asked.stdout == run_command("explain", "-c", file(EXPLAINED), *arguments).stdout
    status, body = proxy.get("/explain?host=other.example&path=/x&header=x-a:%20b")
    assert status == 200 and json.loads(body)["listeners"][0]["route"] == "all"
    assert proxy.get("/explain?host=other.example")[0] == 400
    assert proxy.get("/explain?host=a&path=/&listener=none")[0] == 400


def test_explain_tells_what_is_wrong(file, tmp_path):
    assert run_command("explain", "-c", file("listeners: oops\n"), *ASKED).returncode == 2
    assert run_command("explain", "-c", tmp_path / "none.yaml", *ASKED).returncode == 2
    done = run_command("explain", "-c", file(EXPLAINED), *ASKED, "--listener", "none")
    assert done.returncode == 2 and "plain, secure" in done.stderr
