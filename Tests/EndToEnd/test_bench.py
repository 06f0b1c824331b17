"""scripts/bench: rows, ratios and JSON, and what becomes of a proxy that does not do what it should. Never a time."""
import json
import os
import pathlib
import subprocess
import sys

import pytest

from harness.proxy import binary

BENCH = pathlib.Path(__file__).parents[2] / "scripts" / "bench" / "bench.py"

pytestmark = [pytest.mark.slow, pytest.mark.figures, pytest.mark.timeout(240)]


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, BENCH, *map(str, arguments)], capture_output=True, text=True,
        env=os.environ | {"MOONGATE_BIN": str(binary())} | environment)


def test_table_and_json_of_two_proxies(tmp_path):
    file = tmp_path / "bench.json"
    done = bench("--only", "envoy,moongate", "--scenario", "policy,idletls", "--seconds", 1, "--rounds", 1, "--json", file)
    assert done.returncode == 0, done.stdout + done.stderr
    data = json.loads(file.read_text(encoding="utf-8"))
    assert set(data["versions"]) == {"envoy", "moongate"}
    assert list(data["scenarios"]) == ["policy", "idletls"]
    for name, key in (("policy", "cpu"), ("idletls", "growth")):
        rows = data["scenarios"][name]["rows"]
        assert list(rows) == ["envoy", "moongate"]
        for row in rows.values():
            assert row["valid"] and not row["invalid"] and len(row["runs"]) == 1 and key in row["ratio"]
        assert rows["envoy"]["ratio"][key] == 1, "Moongate is never the best peer"
        lines = done.stdout.split(f"\n{name}: ")[1].splitlines()
        assert [line.split()[0] for line in lines[2:4]] == ["envoy", "moongate"]


def test_a_proxy_that_does_not_start_is_marked_and_the_others_are_measured(tmp_path):
    file = tmp_path / "bench.json"
    done = bench("--only", "envoy,moongate", "--scenario", "unary", "--seconds", 1, "--rounds", 1, "--json", file,
                 "--markdown", MOONGATE_BIN="/bin/false")
    assert done.returncode == 1, done.stdout + done.stderr
    rows = json.loads(file.read_text(encoding="utf-8"))["scenarios"]["unary"]["rows"]
    assert [row["valid"] for row in rows.values()] == [True, False]
    assert any(line.startswith("| moongate | -") and "INVALID" in line for line in done.stdout.splitlines())
