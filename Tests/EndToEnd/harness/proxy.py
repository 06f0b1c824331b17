"""A running Moongate."""
import json
import os
import pathlib
import signal
import subprocess
import urllib.error
import urllib.request

from prometheus_client.parser import text_string_to_metric_families

from . import settings
from .process import ManagedProcess
from .waiting import eventually

REPOSITORY = pathlib.Path(__file__).resolve().parents[3]
SHIPPED_POLICIES = REPOSITORY / "policies"


def binary():
    """The program under test: `MOONGATE_BIN`, else the newest build."""
    given = os.environ.get("MOONGATE_BIN")
    if given:
        return given
    built = [REPOSITORY / ".build" / kind / "moongate" for kind in ("release", "debug")]
    found = sorted((path for path in built if path.exists()), key=lambda path: path.stat().st_mtime)
    if not found:
        raise FileNotFoundError("no moongate binary: run `swift build -c release` or set MOONGATE_BIN")
    return str(found[-1])


def run_command(*arguments, **options):
    """Runs `moongate ARGUMENTS` to its end."""
    return subprocess.run([binary(), *map(str, arguments)], capture_output=True, text=True, timeout=30,
                          stdin=options.pop("stdin", subprocess.DEVNULL), **options)


class Moongate(ManagedProcess):
    """Runs the proxy with a configuration in a folder of its own, and waits until it listens."""

    def __init__(self, folder, configuration, policies=None, files=None, stdout=None, cpus=None, wait=True):
        """`policies`: Lua texts by file name, put into `policies/`; `files`: other files by relative path."""
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.file = self.folder / "moongate.yaml"
        for name, text in (policies or {}).items():
            self.write(f"policies/{name}", text)
        for name, text in (files or {}).items():
            self.write(name, text)
        self.configuration = configuration
        self.configure(configuration)
        super().__init__([binary(), "run", "--config", self.file], cwd=self.folder, stdout=stdout, cpus=cpus)
        self.bound = {}
        self.admin = None
        if wait:
            self.read_ready(self.wait_for_line(_is_ready, timeout=20))

    def read_ready(self, line):
        said = json.loads(line)
        bound = {key.removeprefix("listener."): value for key, value in said.items() if key.startswith("listener.")}
        if isinstance(self.configuration, dict):       # in the order of the configuration
            names = [listener.get("name", listener["address"]) for listener in self.configuration["listeners"]]
            bound = {name: bound[name] for name in names}
        self.bound = bound
        self.admin = said.get("admin")

    @property
    def address(self):
        """Of the first listener."""
        return next(iter(self.bound.values()))

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    # Files

    def write(self, name, text):
        """Writes a file below the folder as editors do: a new file, renamed over the old one."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(path.name + ".new")
        fresh.write_text(text, encoding="utf-8")
        os.replace(fresh, path)
        return path

    def overwrite(self, name, text):
        """Writes a file in place."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def configure(self, configuration):
        self.configuration = configuration
        if configuration is not None:
            self.write("moongate.yaml", settings.text(configuration))

    # Reloading

    def reload(self, timeout=10):
        """Sends SIGHUP and waits until the files are in force: by a new generation, unless the watch was faster."""
        before, start = self.generation(), len(self.lines)
        self.signal(signal.SIGHUP)
        eventually(
            lambda: self.generation() > before or any("nothing to reload" in line for line in self.lines[start:]),
            timeout, what=f"generation {before + 1}")

    def refused_reload(self, timeout=10):
        """Sends SIGHUP, waits until the reload has been refused, and returns what the log says about it."""
        failures, start = self.failed_reloads(), len(self.lines)
        self.signal(signal.SIGHUP)
        eventually(lambda: self.failed_reloads() > failures, timeout, what="the reload is refused")
        return eventually(lambda: "\n".join(self.lines[start:]), 2, what="the log says why")

    def generation(self):
        """Number of the newest generation; it grows by one with each applied reload."""
        return int(self.metric("moongate_generation"))

    def wait_generation(self, number, timeout=10):
        eventually(lambda: self.generation() >= number, timeout, what=f"generation {number}")

    def failed_reloads(self):
        return int(self.metric("moongate_reloads_total", result="failure"))

    # Admin

    def get(self, path, timeout=5):
        """Status and body of an admin page."""
        try:
            with urllib.request.urlopen(f"http://{self.admin}{path}", timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def samples(self):
        """All samples of `/metrics`, read by Prometheus's own parser."""
        status, text = self.get("/metrics")
        assert status == 200, text
        return [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def metric(self, name, **labels):
        """Sum of the samples with this name whose labels include these; 0 if there is none."""
        wanted = {key: str(value) for key, value in labels.items()}
        return sum(sample.value for sample in self.samples()
                   if sample.name == name and wanted.items() <= sample.labels.items())

    # Log

    def log_entries(self, after=0):
        """The lines of the log that are JSON objects."""
        entries = []
        for line in self.lines[after:]:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict):
                entries.append(entry)
        return entries

    def wait_entries(self, wanted, count=1, timeout=5):
        """The entries of the log with the message `wanted`, or for which `wanted(entry)` is true, as soon as there are
        `count`: lines reach us a moment after what they tell of."""
        matches = wanted if callable(wanted) else (lambda entry: entry.get("message") == wanted)

        def found():
            return [entry for entry in self.log_entries() if matches(entry)]

        eventually(lambda: len(found()) >= count, timeout, what=f"{count} entries with {wanted!r} in the log")
        return found()


def _is_ready(line):
    try:
        return json.loads(line).get("message") == "ready"
    except (ValueError, AttributeError):
        return False
