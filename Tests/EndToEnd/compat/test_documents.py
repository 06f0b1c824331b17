"""docs/envoy-compatibility.md and the tests of this folder say the same."""
import pathlib
import re

from harness.compat import lua
from harness.proxy import REPOSITORY

FOLDER = pathlib.Path(__file__).parent
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("test_*.py")))
DOCUMENT = (REPOSITORY / "docs" / "envoy-compatibility.md").read_text(encoding="utf-8")


def rows(heading):
    """The first cells of the table below a heading, without code marks."""
    section = DOCUMENT.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [line.split("|")[1].strip().strip("`") for line in lines[1:]]


# How a script comes by the objects of the table, in its order; those of TLS are asked for in test_C85.
OBJECTS = [
    "h", "h:headers()", "h:body(true)", "h:metadata()", "h:virtualHost()", "h:route()", "h:streamInfo()",
    "h:streamInfo():dynamicMetadata()", "h:streamInfo():filterState()", "h:connectionStreamInfo()", "h:connection()",
    "h:stats()", 'h:stats():counter("any.counter")', 'h:stats():gauge("any.gauge")', 'h:stats():histogram("any.times")',
    'h:importPublicKey("x", 1)']


def surface():
    """(the expression of an object, its methods)."""
    section = DOCUMENT.split("\n## What scripts can call\n", 1)[1].split("\n## ", 1)[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    methods = [re.findall(r"`(\w+)`", line.split("|")[2]) for line in lines]
    return list(zip(OBJECTS, methods, strict=False))


@lua("function envoy_on_request(h)\n  local missing, count = {}, 0\n" + "".join(f"""
  for _, name in ipairs{{{", ".join(f'"{name}"' for name in methods)}}} do
    count = count + 1
    if type(({expression})[name]) ~= "function" then missing[#missing + 1] = "{number}." .. name end
  end
""" for number, (expression, methods) in enumerate(surface())) + """
  h:headers():add("x-missing", table.concat(missing, " "))
  h:headers():add("x-count", count)
end
""")
def test_what_scripts_can_call_is_there(both):
    seen = both.call().seen
    assert seen["x-missing"] == "" and int(seen["x-count"]) == sum(len(methods) for _, methods in surface())
    assert len(surface()) == len(OBJECTS)


def test_every_number_has_a_test_or_is_listed_as_open():
    tested = set(re.findall(r"^def test_(C\d\d)_", TESTS, re.MULTILINE))
    assert tested | set(rows("Not there yet")) == {f"C{number:02}" for number in range(1, 94)}


def test_differences_are_those_that_are_listed():
    marked = re.findall(r'^@differs\("([\w.-]+)"\)', TESTS, re.MULTILINE)
    assert sorted(set(marked)) == sorted(rows("Deliberate differences"))
