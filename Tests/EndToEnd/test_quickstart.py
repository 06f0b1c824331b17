"""scripts/quickstart: what the README promises."""
import os
import pathlib
import re
import signal
import subprocess
import urllib.request

import pytest

from harness.proxy import REPOSITORY
from harness.waiting import eventually

pytestmark = [
    pytest.mark.slow, pytest.mark.timeout(600),
    pytest.mark.skipif(bool(os.environ.get("MOONGATE_SANITIZER")), reason="builds a release of its own"),
]
WORK = REPOSITORY / ".tmp" / "quickstart"


def run(*arguments):
    """Runs the quickstart with its output in a file: what `--keep` leaves running would hold a pipe open."""
    output = REPOSITORY / ".tmp" / "quickstart-output"
    output.parent.mkdir(exist_ok=True)
    with open(output, "wb") as file:
        code = subprocess.run(
            [REPOSITORY / "scripts" / "quickstart", *arguments], stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, timeout=580).returncode
    said = output.read_text(encoding="utf-8", errors="replace")
    output.unlink()
    return code, said


def test_quickstart_shows_its_four_steps_and_cleans_up():
    code, said = run()
    assert code == 0, said
    wanted = ["refused: UNAUTHENTICATED (16)", "answer: Hello, world!", "refused: UNAVAILABLE (14): closed",
              "opening-hours.lua:", "refused: UNAVAILABLE (14): closed", "answer: Hello, world!"]
    position = 0
    for text in wanted:
        position = said.find(text, position)
        assert position >= 0, f"no '{text}' (in this order) in:\n{said}"
        position += len(text)
    assert not WORK.exists()
    assert "quickstart" not in _commands()


def test_quickstart_keeps_running_if_asked_to():
    code, said = run("--keep")
    pids = [int(pid) for pid in re.search(r"To end it: kill ([\d ]+)", said).group(1).split()]
    try:
        assert code == 0, said
        address = re.search(r"curl (http://\S+)/metrics", said).group(1)
        assert urllib.request.urlopen(f"{address}/ready", timeout=5).status == 200
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGTERM)
    eventually(lambda: not any(pathlib.Path(f"/proc/{pid}").exists() for pid in pids), 15)


def _commands():
    commands = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            commands.append(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return "\n".join(command for command in commands if str(WORK) in command)
