"""Sends the corpus of path spellings through Moongate and other edges, and writes what arrives at a server as a table."""
import pathlib
import subprocess
import sys
import tempfile

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "Tests" / "EndToEnd"))

from harness.envoy import binary as envoy_binary  # noqa: E402
from harness.frame_client import FrameClient, request  # noqa: E402
from harness.frame_upstream import FrameUpstream, answer_ok  # noqa: E402
from harness.path_edges import EDGES  # noqa: E402
from harness.proxy import Moongate  # noqa: E402
from harness.settings import configuration  # noqa: E402
from harness.spellings import content_type, method, spellings  # noqa: E402

# The others belong to settings of Moongate's own.
TARGETS = ["rest", "grpc"]

PREFACE = """# Path spellings

The path that reaches a server for each of these ([Paths](routing.md#paths)): of requests without gRPC (GET) unless it says gRPC, all over
HTTP/2. The first column is as it was sent. Moongate has its default settings; Envoy those that its documentation recommends at an
edge (`normalize_path`, `merge_slashes`, `UNESCAPE_AND_REDIRECT`); nginx its defaults with `grpc_pass`; HAProxy has
`http-request normalize-uri` with all its normalisers. A number is the status of an answer of the edge itself, and `reset` the end of
the stream; `as sent` is the path as it stands in the first column. nginx chooses a `location` by a path that it has decoded, with
slashes merged and dot segments resolved, and passes on the one that was sent.

`scripts/bench/paths` writes this page. Versions: {versions}.
"""


def said(command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return (done.stdout + done.stderr).strip().splitlines()[0]


def versions():
    envoy = said([envoy_binary(), "--version"]).partition("version: ")[2].split("/")[1]
    nginx = said(["nginx", "-v"]).rpartition("/")[2]
    haproxy = said(["haproxy", "-v"]).split()[2].partition("-")[0]
    return f"Envoy {envoy}, nginx {nginx}, HAProxy {haproxy}"


def arrives(address, item):
    """What the server got, or how the edge answered. A connection for each: some edges end it for a bad path."""
    client = FrameClient(address)
    try:
        frames = client.call(request(path=item.path, method=method(item.target), content_type=content_type(item.target)))
    except AssertionError:
        return "reset"
    finally:
        client.close()
    head = frames[0]
    if head.type != "Headers":
        return "reset"
    status = head.get(":status")
    if head.get("x-seen-path") is None and head.get("grpc-status"):
        status = f"grpc-status {head.get('grpc-status')}"
    seen = head.get("x-seen-path")
    # The octets of the path, and of the header that repeats it, came as Latin-1.
    return seen.encode("latin-1").decode().encode("latin-1").decode() if seen else status


def cell(item, got):
    return "as sent" if got == item.path else code(got) if got.startswith(("/", "*")) else got


def code(text):
    """A path as a cell of a table."""
    ticks = "``" if "`" in text else "`"
    padding = " " if "`" in text else ""
    return f"{ticks}{padding}{text}{padding}{ticks}".replace("|", "\\|")


def table(items, columns):
    lines = ["| Path | " + " | ".join(columns) + " |", "|" + "---|" * (len(columns) + 1)]
    for item in items:
        cells = [cell(item, columns[name][item]) for name in columns]
        lines.append("| " + " | ".join([code(item.path), *cells]) + " |")
    return "\n".join(lines)


def main():
    items = [item for item in spellings() if item.target in TARGETS]
    upstream = FrameUpstream(answer_ok)
    columns = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        edges = {"Moongate": lambda at, server: Moongate(at, configuration(server)), **EDGES}
        for name, start in edges.items():
            edge = start(folder / name, upstream.address)
            try:
                columns[name] = {item: arrives(edge.address, item) for item in items}
            finally:
                edge.stop()
    families = dict.fromkeys(item.family for item in items)
    parts = [PREFACE.format(versions=versions())]
    parts += [f"## {family}\n\n" + table([item for item in items if item.family == family], columns) + "\n" for family in families]
    (REPOSITORY / "docs" / "path-spellings.md").write_text("\n".join(parts), encoding="utf-8")


if __name__ == "__main__":
    main()
