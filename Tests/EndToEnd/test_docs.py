"""What the documents show: every example works, every command exists, every link leads somewhere."""
import os
import pathlib
import re
import shlex
import subprocess
import sys

import bcrypt
import pytest

from harness import documents, stubs
from harness.authority import Authority
from harness.certificates import Certificate
from harness.documents import REPOSITORY
from harness.proxy import run_command

ALL = documents.documents()
README = next(document for document in ALL if document.name == "README.md")
TOP_LEVEL = {"workers", "dns", "overload", "policies", "secrets", "upstreams", "routes", "admin", "access_log", "drain"}


# Configurations and policies

class Folder:
    """A folder in which the examples of one document stand."""

    def __init__(self, path, document):
        self.path = path
        self.blocks = next(other for other in ALL if other.name == document).blocks

    def write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_with_hashes(text), encoding="utf-8")
        return path

    def check(self, block, text):
        """`moongate check` of a configuration; the files that it names are those of the document, or made up."""
        self.write_named(block)
        self._make_missing(text)
        environment = {**os.environ, "PARTNER_TOKEN": "a secret"}
        return run_command("check", "--config", self.write("checked.yaml", text), env=environment)

    def write_named(self, block):
        """Named blocks, each as it was shown last before `block`, or first behind it."""
        shown = {}
        for other in self.blocks:
            if other.name and (other.line < block.line or other.name not in shown):
                shown[other.name] = other.text
        if block.name:
            shown[block.name] = block.text
        for name, text in shown.items():
            self.write(name, text)

    def _make_missing(self, text):
        for name in re.findall(r"[\w./-]+\.lua\b", text):
            self._make(name, "function on_request() end\n")
        for name in re.findall(r"\bendpoints_file: *([\w./-]+)", text):
            self._make(name, "- 127.0.0.1:50051\n")
        for name in re.findall(r"\busers: *([\w./-]+)", text):
            self._make(name, 'ada: {password: "$2b$10$…", allow: ["*"]}\n')
        for name in re.findall(r"\{file: *(secrets/[\w./-]+)", text):
            self._make(name, "a secret\n")
        for name in re.findall(r"[\w./-]+\.crt\b", text):
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Certificate(path.parent, path.stem, ["api.example.com"])
        for name in re.findall(r"[\w./-]+\.crl\b", text):
            self._make(name, Authority(self.path, "crl-authority").revocation_list().decode())
        lua = "".join(path.read_text(encoding="utf-8") for path in self.path.rglob("*.lua"))
        for name in re.findall(r"""moon\.(?:file|keys|lines)\(["']([^"']+)""", lua):
            self._make(name, "{}\n" if name.endswith((".yaml", ".yml", ".json")) else "# nothing\n")

    def _make(self, name, text):
        if not (self.path / name).exists():
            self.write(name, text)


def _with_hashes(text):
    """Documents cut password hashes short."""
    return text.replace("$2b$10$…", bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()) \
        .replace("$y$j9T$…", "$y$j75$0123456789abcdefghij0.$" + "a" * 42 + "1")


def configuration_of(block):
    """The text of a whole configuration: a block that is one, or one made around it."""
    text = block.text
    first = re.match(r"(?:#.*\n|\n)*(\w+):", text)
    key = first[1] if first else None
    if re.search(r"^listeners:", text, re.MULTILINE):
        return text
    assert key in TOP_LEVEL, f"{block}: neither a configuration nor a part of one: name the file that it shows"
    whole = "listeners:\n" + "".join(
        f'  - {{name: {name}, address: "127.0.0.1:{8000 + place}"}}\n' for place, name in enumerate(_listeners(text)))
    if key != "upstreams" and "\nupstreams:" not in text:
        whole += "upstreams:\n" + "".join(f'  {name}: {{endpoints: ["127.0.0.1:1"]}}\n' for name in _upstreams(text))
    if key == "policies" and re.search(r"^policies:\s*(\[|\n\s*(#.*\n\s*)*-)", text, re.MULTILINE):
        lines = "".join(f"    {line}\n" for line in text.splitlines())
        return f"{whole}routes:\n  - name: all\n    upstream: main\n{lines}"
    return whole + text


def _upstreams(text):
    return sorted({"main", *re.findall(r"\bupstream: *([\w.-]+)", text),
                   *re.findall(r"\{name: *([\w.-]+), weight", text)})


def _listeners(text):
    return sorted({"docs", *(name.strip() for found in re.findall(r"listeners: *\[([^]]*)\]", text)
                             for name in found.split(","))})


@pytest.mark.parametrize("block", [block for block in documents.blocks("yaml")
                                   if not block.name or block.name == "moongate.yaml"], ids=repr)
def test_configurations_are_good(block, tmp_path):
    done = Folder(tmp_path, block.document).check(block, configuration_of(block))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", [block for block in documents.blocks("lua") if not block.is_fragment], ids=repr)
def test_policies_load(block, tmp_path):
    """As one of the document's configurations uses the policy, or without settings where none does."""
    folder = Folder(tmp_path, block.document)
    name = block.name or "policies/example.lua"
    folder.write(name, block.text)
    tried = [configuration_of(other) for other in folder.blocks
             if other.language == "yaml" and other.name in (None, "moongate.yaml") and name in other.text]
    simple = documents.Block(block.document, block.line, "yaml", f"policies: [{name}]\n")
    said = ""
    for text in [configuration_of(simple), *tried]:
        done = folder.check(block, text)
        if done.returncode == 0:
            return
        said += done.stderr
    raise AssertionError(said)


def test_the_guides_spec_passes(tmp_path):
    """The spec beside the policy as it was shown last before."""
    folder = Folder(tmp_path, "docs/policy-guide.md")
    specs = [block for block in folder.blocks if (block.name or "").endswith("_spec.lua")]
    assert specs
    for block in specs:
        folder.write_named(block)
        done = run_command("test", folder.path / block.name)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", documents.blocks("lua"), ids=repr)
def test_lua_is_sound(block):
    """luacheck knows the names that policies may use."""
    options = ["--read-globals", "handle", "moon", *sorted(spec_names())] if block.is_fragment else []
    done = subprocess.run(
        ["luacheck", "-", "--no-color", "--no-unused-args", "--filename", "examples/shown.lua", *options],
        cwd=REPOSITORY, input=block.text, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("block", documents.blocks("lua"), ids=repr)
def test_the_check_finds_nothing_in_examples(block, tmp_path):
    """What `moongate check` says about policies; fragments are bodies of hooks, or of tests."""
    text = block.text
    is_body = block.is_fragment and not re.search(r"^(local )?function ", text, re.MULTILINE)
    if is_body:
        text = f"function on_request(handle)\nprint(handle)\n{text}\nend\n"
    path = tmp_path / ("shown_spec.lua" if block.is_fragment else "shown.lua")
    path.write_text(text, encoding="utf-8")
    done = run_command("check", path)
    said = [line for line in done.stderr.splitlines()
            if not (block.is_fragment and re.search(r"is never used|there is no handle\b", line))]
    assert done.returncode == 0 and not said, done.stderr


def bindings():
    """The names of all functions that Swift gives to policies."""
    sources = (REPOSITORY / "Sources" / "Moongate" / "Policies" / "Bindings").glob("*.swift")
    return {name for path in sources
            for name in re.findall(r'LuaBinding\(\s*"([\w.]+)"', path.read_text(encoding="utf-8"))}


def spec_names():
    """The functions and methods of specs."""
    prelude = REPOSITORY / "Sources" / "Moongate" / "Testing" / "SpecPrelude.swift"
    text = prelude.read_text(encoding="utf-8")
    return set(re.findall(r"(?:function (?:spec\.|[A-Z]\w+:)|spec\.(?=\w+ =)|^ +(?=to_\w+ =))(\w+)", text, re.MULTILINE))


@pytest.mark.parametrize("block", documents.blocks("lua"), ids=repr)
def test_methods_in_examples_exist(block):
    """Methods of texts aside, what is called with a colon is a function that Swift gives to policies."""
    of_texts = {"match", "gmatch", "gsub", "sub", "find", "format", "lower", "upper", "rep", "byte", "len", "reverse"}
    called = set(re.findall(r"[\w\])]:([A-Za-z_]\w*)\s*[({\"']", block.text))
    assert called <= of_texts | spec_names() | {name.rpartition(".")[2] for name in bindings()}


# The first policy

def test_first_policy_of_the_readme_does_what_is_shown(moongate, backend):
    shown = {block.name: block.text for block in README.blocks if block.name}
    policy = shown["policies/plan.lua"]
    settings = shown["moongate.yaml"].replace("127.0.0.1:8081", "127.0.0.1:0")
    settings = settings.replace("127.0.0.1:50051", backend.address) + "admin: {address: 127.0.0.1:0}\n"
    assert len(policy.splitlines()) <= 10 and backend.address in settings
    proxy = moongate(settings, policies={"plan.lua": policy})

    steps = [(shlex.split(command), said) for block in README.blocks if block.language == "console"
             for command, said in documents.session(block) if "say_hello.py" in command]
    assert len(steps) == 2
    for words, said in steps:
        assert words[2] == "localhost:8081"
        assert say_hello(proxy.address, *words[3:]) == said

    generation = proxy.generation()
    proxy.write("policies/plan.lua", policy.replace('"pro"', '"team"'))
    proxy.wait_generation(generation + 1)
    assert say_hello(proxy.address, "x-plan=team") == "answer: Hello, world!"
    assert say_hello(proxy.address, "x-plan=pro").startswith("refused: PERMISSION_DENIED")


def say_hello(address, *metadata):
    """Runs the quickstart's caller; gives what it prints."""
    caller = REPOSITORY / "examples" / "quickstart" / "say_hello.py"
    done = subprocess.run([sys.executable, str(caller), address, *metadata], capture_output=True, text=True, timeout=30,
                          env={**os.environ, "PYTHONPATH": str(stubs.GENERATED)})
    return done.stdout.strip() or done.stderr


# Commands

def shown_commands():
    """(where, command) of everything in the documents that a shell could run."""
    found = [(repr(block), command) for block in documents.blocks("sh", "console")
             for command in documents.commands(block)]
    for document in ALL:
        found += [(f"{document}:{line}", text) for line, text in document.code_spans()
                  if re.match(r"(\S*/)?moongate\s|scripts/[\w/-]+\b", text) and "…" not in text and "<" not in text]
        found += [(f"{document}:{line}", text.replace("[", "").replace("]", "")) for line, text in document.prose
                  if re.match(r" {4}(moongate|scripts/)", text)]
    return found


def test_commands_and_their_options_exist():
    usage, seen = {}, 0
    for where, command in shown_commands():
        words = shlex.split(command, comments=True)
        if not words or not (words[0].startswith("scripts/") or pathlib.PurePath(words[0]).name == "moongate"):
            continue
        seen += 1
        options = [re.match(r"--?[\w-]+", word)[0] for word in words[1:] if re.match(r"--?\w", word)]
        if words[0].startswith("scripts/"):
            text = script_text(where, words[0])
            options = [option for option in options if option.startswith("--")]
        else:
            name = words[1] if len(words) > 1 and not words[1].startswith("-") else None
            if name not in usage:
                usage[name] = run_command(*([name] if name else []), "--help").stdout
            text = usage[name]
            assert not name or re.search(rf"USAGE: moongate {name}\b", text), f"{where}: no command {name}"
        for option in options:
            assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", text), f"{where}: {words[0]} has no {option}"
    assert seen > 10


def script_text(where, name):
    """The text of a script, and of the programs beside it that it runs."""
    path = REPOSITORY / name
    assert path.exists(), f"{where}: there is no {name}"
    if not path.is_file():
        return ""
    beside = path.parent.glob("*.py") if path.parent.name != "scripts" else []
    return "".join(file.read_text(encoding="utf-8") for file in [path, *beside])


def test_types_and_files_that_are_mentioned_exist():
    """In what is written about the code. Names of other libraries' types stand in `foreign`."""
    foreign = {"Mutex", "Atomic", "Regex", "Codable", "Sendable", "Synchronization", "Unmanaged", "String", "Array",
               "Dictionary"}
    folders = [REPOSITORY / "Sources", REPOSITORY / "Tests"]
    files = folders + [path for folder in folders for path in folder.rglob("*")]
    code = "".join(path.read_text(encoding="utf-8") for path in files if path.suffix in (".swift", ".h"))
    known = foreign | {path.name.split(".")[0] for path in files} | set(
        re.findall(r"\b(?:struct|class|enum|protocol|typealias|func) (\w+)", code))
    seen = 0
    for document in ALL:
        if document.name != "ARCHITECTURE.md" and not document.name.startswith("docs/decisions/"):
            continue
        for line, text in document.code_spans():
            if re.fullmatch(r"(Sources|Tests|docs|policies|scripts|examples)(/[\w.+-]+)+", text):
                assert (REPOSITORY / text).exists(), f"{document}:{line}: there is no {text}"
            elif match := re.fullmatch(r"([A-Z][A-Za-z0-9]*[a-z][A-Za-z0-9+]*)(?:\.([a-z]\w*))?", text):
                seen += 1
                assert match[1] in known, f"{document}:{line}: there is no {text}"
                member = rf"\b(func|var|let|case) {match[2]}\b"
                assert not match[2] or re.search(member, code), f"{document}:{line}: there is no {text}"
    assert seen > 50


def test_metrics_that_are_mentioned_exist():
    sources = (REPOSITORY / "Sources" / "Moongate" / "Observability").glob("*.swift")
    names = {name for path in sources
             for name in re.findall(r'"(moongate_\w+|process_\w+)"', path.read_text(encoding="utf-8"))}
    text = "".join(path.read_text(encoding="utf-8") for path in documents.PATHS)
    mentioned = {re.sub(r"_(bucket|sum|count)$", "", name) for name in re.findall(r"\bmoongate_[a-z_]*[a-z]\b", text)}
    assert len(mentioned) > 10 and mentioned <= names


# Links

@pytest.mark.parametrize("document", ALL, ids=repr)
def test_links_lead_somewhere(document):
    for line, target in document.links():
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (document.path.parent / name).resolve() if name else document.path
        assert path.exists(), f"{document}:{line}: there is no {target}"
        assert path.is_relative_to(REPOSITORY), f"{document}:{line}: {target} is outside of the repository"
        if anchor:
            assert anchor in documents.Document(path).anchors(), f"{document}:{line}: no heading for {target}"


def test_every_document_is_linked_from_the_readme():
    reached, waiting = set(), [README.path]
    while waiting:
        path = waiting.pop()
        if path.is_dir():
            path = path / "README.md"
        if path in reached or path.suffix != ".md" or not path.exists():
            continue
        reached.add(path)
        waiting += [(path.parent / target.partition("#")[0]).resolve()
                    for _, target in documents.Document(path).links() if not re.match(r"[a-z]+:|#", target)]
    folders = [path for path in documents.PATHS if path.is_relative_to(REPOSITORY / "docs")]
    assert set(folders) <= reached
