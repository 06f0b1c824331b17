"""docs/envoy-compatibility.md and the tests of this folder say the same."""
import pathlib
import re

from harness.proxy import REPOSITORY

FOLDER = pathlib.Path(__file__).parent
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("test_*.py")))
DOCUMENT = (REPOSITORY / "docs" / "envoy-compatibility.md").read_text(encoding="utf-8")


def rows(heading):
    """The first cells of the table below a heading, without code marks."""
    section = DOCUMENT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip().strip("`") for line in lines[1:]]


def test_every_number_has_a_test_or_is_listed_as_open():
    tested = set(re.findall(r"^def test_(C\d\d)_", TESTS, re.MULTILINE))
    assert tested | set(rows("Not there yet")) == {f"C{number:02}" for number in range(1, 94)}


def test_differences_are_those_that_are_listed():
    marked = re.findall(r'^@differs\("([\w.-]+)"\)', TESTS, re.MULTILINE)
    assert sorted(set(marked)) == sorted(rows("Deliberate differences"))
