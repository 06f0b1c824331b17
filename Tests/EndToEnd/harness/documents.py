"""The documents of the repository: their examples, links and headings."""
import pathlib
import re

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
PATHS = sorted([
    *REPOSITORY.glob("*.md"), *REPOSITORY.glob("docs/**/*.md"), *REPOSITORY.glob("policies/*/README.md"),
    *REPOSITORY.glob("scripts/**/*.md")])

_FENCE = re.compile(r" {0,3}(`{3,})([^`]*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"(`+)(.+?)\1")


class Block:
    """A fenced block. What stands behind the language is a mark (`fragment`) or the name of the file that it shows."""

    def __init__(self, document, line, info, text):
        words = info.split()
        self.document = document
        self.line = line
        self.language = words[0] if words else ""
        self.is_fragment = "fragment" in words[1:]
        self.name = next((word for word in words[1:] if word != "fragment"), None)
        self.text = text

    def __repr__(self):
        return f"{self.document}:{self.line}"


class Document:
    """A Markdown file, taken apart."""

    def __init__(self, path):
        self.path = path
        self.name = str(path.relative_to(REPOSITORY))
        self.blocks = []
        self.prose = []         # (line, text), blocks left out
        self._read(path.read_text(encoding="utf-8").splitlines())

    def __repr__(self):
        return self.name

    def _read(self, lines):
        fence, began, collected = None, 0, []
        for number, line in enumerate(lines, 1):
            match = _FENCE.fullmatch(line)
            if fence is None and match:
                fence, info, began, collected = match[1], match[2], number, []
            elif fence is None:
                self.prose.append((number, line))
            elif match and match[1].startswith(fence) and not match[2].strip():
                self.blocks.append(Block(self.name, began, info, "\n".join(collected) + "\n"))
                fence = None
            else:
                collected.append(line)
        assert fence is None, f"{self.name}:{began}: a block without an end"

    def links(self):
        """(line, target) of each link."""
        return [(number, match[1]) for number, line in self.prose for match in _LINK.finditer(_CODE.sub("", line))]

    def code_spans(self):
        """(line, text) of each code span."""
        return [(number, match[2].strip()) for number, line in self.prose for match in _CODE.finditer(line)]

    def anchors(self):
        """What links to headings may name."""
        headings = [line.lstrip("#").strip() for _, line in self.prose if re.match(r"#+ ", line)]
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def documents():
    return [Document(path) for path in PATHS]


def blocks(*languages):
    return [block for document in documents() for block in document.blocks if block.language in languages]


def commands(block):
    """The commands of a shell block, one text each; of a session (`console`) those behind `$`."""
    text = block.text.replace("\\\n", " ")
    lines = text.splitlines()
    if block.language == "console":
        return [line[2:] for line in lines if line.startswith("$ ")]
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]


def session(block):
    """(command, what it prints) of a `console` block."""
    steps = []
    for line in block.text.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return [(command, "\n".join(said)) for command, said in steps]
