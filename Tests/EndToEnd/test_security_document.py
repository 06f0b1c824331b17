"""SECURITY.md says what the configuration's reference says."""
import re

import pytest

from harness.proxy import REPOSITORY

SECURITY = (REPOSITORY / "SECURITY.md").read_text(encoding="utf-8")
REFERENCE = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| [^|]+ \| `(\w+)` of \[([\w ]+)\]\(docs/configuration\.md#([\w-]+)\) \| (.+) \|$", re.MULTILINE)
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
    for key, title in (("trusted", "proxy protocol"), ("trusted_hops", "forwarded"), ("sandbox", "process"),
                       ("allow_new_privileges", "process"), ("core_dumps", "process"), ("allow_remote", "admin"),
                       ("never_index", "listener")):
        assert f"`{key}" in SECURITY and key in section(title)
