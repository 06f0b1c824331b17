"""SECURITY.md says what the configuration's reference says, and names tests that exist."""
import re

import pytest

from harness.proxy import REPOSITORY

SECURITY = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
REFERENCE = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| [^|]+ \| `(\w+)` of \[([\w ]+)\]\(docs/configuration\.md#([\w-]+)\) \| (.+) \|$", re.MULTILINE)
CLAIM = re.compile(r"^\| ([^|]+) \| ((?:`[\w.:]+`(?:, )?)+) \|$", re.MULTILINE)
CLAIMS = CLAIM.findall(SECURITY)
SWIFT = [path.read_text(encoding="utf-8") for path in (REPOSITORY / "Tests").rglob("*Tests.swift")]
LIMITS = ROW.findall(SECURITY)


def section(title):
    """The keys of a section of the reference, with their defaults."""
    text = REFERENCE.split(f"\n## {title[0].upper()}{title[1:]}\n", 1)[1].split("\n## ", 1)[0]
    rows = [[cell.strip() for cell in line.split(" | ")] for line in text.splitlines() if line.startswith("| `")]
    return {row[0].strip("|` "): row[2] for row in rows}


def test_every_limit_with_a_setting_is_read():
    table = SECURITY.split("## Limits", 1)[1]
    assert len(LIMITS) == table.count("docs/configuration.md#") > 10


@pytest.mark.parametrize("key, title, anchor, default", LIMITS, ids=[f"{row[1]}.{row[0]}" for row in LIMITS])
def test_defaults_are_those_of_the_reference(key, title, anchor, default):
    assert anchor == title.replace(" ", "-")
    assert section(title)[key] == default


def test_settings_that_are_named_exist():
    for key, title in (("trusted", "proxy protocol"), ("trusted", "forwarded"), ("sandbox", "process"),
                       ("allow_new_privileges", "process"), ("core_dumps", "process"), ("allow_remote", "admin"),
                       ("never_index", "listener")):
        assert f"`{key}" in SECURITY and key in section(title)


def test_every_claim_names_its_tests():
    table = SECURITY.split("## What is shown", 1)[1].split("\n## ", 1)[0]
    assert len(CLAIMS) == table.count("\n| ") - 1 > 20


def exists(name):
    """Whether there is such a test: `test_file.py::test_function` or `Suite.function`."""
    if "::" in name:
        file, function = name.split("::")
        path = REPOSITORY / "Tests" / "EndToEnd" / file
        return path.exists() and f"def {function}(" in path.read_text(encoding="utf-8")
    suite, function = name.split(".")
    return any(re.search(rf"\b(struct|class|extension) {suite}\b", text)
               and re.search(rf"@Test[^\n]*(\n[^\n]*)?\bfunc {function}\b", text) for text in SWIFT)


@pytest.mark.parametrize("claim, names", CLAIMS, ids=[row[0][:40] for row in CLAIMS])
def test_the_tests_of_a_claim_exist(claim, names):
    missing = [name for name in re.findall(r"`([^`]+)`", names) if not exists(name)]
    assert not missing, claim
