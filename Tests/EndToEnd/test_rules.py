"""Every numbered rule of docs/grpc-rules.md has a test that names it."""
import pathlib
import re

from harness.documents import REPOSITORY

FOLDER = pathlib.Path(__file__).parent


def test_every_rule_has_a_test():
    text = (REPOSITORY / "docs" / "grpc-rules.md").read_text(encoding="utf-8")
    rules = re.findall(r"^\| ([A-Z]\d+) \|", text, re.MULTILINE)
    assert len(rules) == len(set(rules)) > 40
    tests = "\n".join(file.read_text(encoding="utf-8") for file in FOLDER.glob("test_*.py"))
    named = {rule for names in re.findall(r"def test_((?:[A-Z]\d+_)+)", tests) for rule in names.rstrip("_").split("_")}
    assert not set(rules) - named, "rules without a test"
