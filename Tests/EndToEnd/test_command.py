"""The command line: run, check, hash-password, --version, --help."""
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
