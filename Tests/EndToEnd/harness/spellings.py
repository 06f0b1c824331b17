"""The corpus of path spellings (`paths/spellings.txt`)."""
import pathlib

FILE = pathlib.Path(__file__).resolve().parents[1] / "paths" / "spellings.txt"
REFUSED = "refused"


class Spelling:
    def __init__(self, family, target, path, result):
        self.family = family
        self.target = target        # rest, grpc, keep, parameters or lenient
        self.path = path
        self.result = result        # what the upstream gets, or REFUSED


def spellings(target=None):
    """All of them, or those that are sent as `target`."""
    found, family, sent_as = [], "", ""
    for line in FILE.read_text(encoding="utf-8").split("\n"):
        if " => " in line:
            path, _, result = line.rpartition(" => ")
            found.append(Spelling(family, sent_as, path, result))
        elif line.startswith("# "):
            family = line[2:]
        elif line.startswith("@ "):
            sent_as = line[2:]
    return [item for item in found if target in (None, item.target)]


def content_type(target):
    return "application/grpc" if target == "grpc" else ""


def method(target):
    return "POST" if target == "grpc" else "GET"
