"""What gRPC proxies cost, side by side: CPU time per call and per GiB, memory of idle connections, latency.

The load is h2load, the backend nghttpd. Each proxy has one worker and a core of its own; load and backend share
another core. Proxies take turns within each scenario, several rounds, and the medians are shown; "x best" is the median
of the rounds' ratios to the best proxy that is not Moongate. CPU time is the figure to trust: calls per second mean
something only while the proxy's core is full. The exit code is 1 if a proxy answered wrong or calls failed.
"""
import argparse
import contextlib
import json
import os
import pathlib
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import answers
import idle
from measure import HOST, Load
from peers import PEERS, Unfit, find, version
from processes import Backend, Failed, Proxy
from scenarios import RATE_PART, SCENARIOS
from table import concluded, table


def arguments():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(
        prog="scripts/bench/run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenario", type=chosen(SCENARIOS), default=SCENARIOS, metavar="NAME,...",
                        help="of " + ", ".join(scenario.name for scenario in SCENARIOS) + " (default all)")
    parser.add_argument("--only", type=chosen(PEERS), default=PEERS, metavar="NAME,...",
                        help="proxies: " + ", ".join(peer.name for peer in PEERS) + " (default all)")
    # Some versions of h2load know no parts of a second.
    parser.add_argument("--seconds", type=positive, default=4, help="length of one run, a whole number (default 4)")
    parser.add_argument("--rounds", type=positive, default=3, help="runs of each proxy in each scenario (default 3)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write every run there")
    parser.add_argument("--markdown", action="store_true", help="print the tables as Markdown")
    parser.add_argument("--proxy-core", type=int, default=cores[0])
    parser.add_argument("--load-core", type=int, default=cores[-1])
    return parser.parse_args()


def chosen(known):
    """Names with commas between them, in the order of what is known."""
    def parse(text):
        names = set(text.split(","))
        if unknown := names - {one.name for one in known}:
            raise argparse.ArgumentTypeError("unknown: " + ", ".join(sorted(unknown)))
        return [one for one in known if one.name in names]
    return parse


def positive(text):
    if not re.fullmatch("[1-9][0-9]*", text):
        raise argparse.ArgumentTypeError("a whole number, 1 or more")
    return int(text)


def tell(text):
    """How far it is, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="\r" if not text else "", file=sys.stderr, flush=True)


class Session:
    """One scenario: who takes part, and their rows."""

    def __init__(self, scenario, options, work):
        self.scenario, self.options, self.work = scenario, options, work
        self.cores = (options.proxy_core, options.load_core)
        self.about, self.rows = scenario.about, {}

    def _row(self, peer):
        return self.rows.setdefault(peer.name, {"runs": [], "note": "", "invalid": ""})

    @contextlib.contextmanager
    def _noting(self, peer):
        """What is wrong with a proxy is written into its row, and the others go on."""
        try:
            yield
        except Unfit as reason:
            if str(reason):
                self._row(peer)["note"] = str(reason)
        except Failed as reason:
            self._row(peer)["invalid"] = str(reason) or "failed"

    def _sound(self, peers):
        return [peer for peer in peers if peer.name in self.rows and not self._row(peer)["invalid"]]

    def measure(self, peers):
        ready = []
        for peer in peers:
            tell(f"{self.scenario.name}: does {peer.name} answer right?")
            with self._noting(peer):
                answers.check(peer, self.scenario, self.work, self.cores)
                self._row(peer)
                ready.append(peer)
        with Backend(self.work, self.cores[1]) as backend:
            if self.scenario.kind == "idle":
                self._rounds(ready, lambda peer: self._idle(peer, backend))
            else:
                self._loaded(ready, backend)
        concluded(self.scenario, self.rows)
        return {"about": self.about, "rows": self.rows}

    def _rounds(self, peers, run):
        for number in range(self.options.rounds):
            for peer in self._sound(peers):
                tell(f"{self.scenario.name}: round {number + 1} of {self.options.rounds}, {peer.name}")
                with self._noting(peer):
                    self._row(peer)["runs"].append(run(peer))

    def _idle(self, peer, backend):
        """A proxy just started every time: memory that was used once is not given back."""
        with Proxy(peer, self.scenario, self.work, backend.port, self.cores[0]) as proxy:
            return idle.run(proxy)

    def _loaded(self, peers, backend):
        load, proxies = Load(self.work, backend, self.cores), {}
        seconds, rate = self.options.seconds, 0
        with contextlib.ExitStack() as stack:
            for peer in peers:
                tell(f"{self.scenario.name}: warming {peer.name}")
                with self._noting(peer):
                    proxies[peer.name] = stack.enter_context(
                        Proxy(peer, self.scenario, self.work, backend.port, self.cores[0]))
                    load.run(proxies[peer.name], 1)
            if self.scenario.kind == "latency":
                rate = self._rate(self._sound(peers), load, proxies)
            self._rounds(peers, lambda peer: load.run(proxies[peer.name], seconds, rate))

    def _rate(self, peers, load, proxies):
        """Calls per second of each connection: a part of what the slowest proxy can do, so that all can."""
        most = {}
        for peer in peers:
            tell(f"{self.scenario.name}: the most of {peer.name}")
            with self._noting(peer):
                run = load.run(proxies[peer.name], self.options.seconds)
                if run["failed"]:
                    raise Failed(run["why"])
                most[peer.name] = run["rate"]
        slowest = min(most, key=most.get, default="")
        rate = max(int(most.get(slowest, 0) * RATE_PART / self.scenario.connections), 1)
        self.about += f", {rate * self.scenario.connections:,} calls/s ({RATE_PART:.0%} of what {slowest} can do)"
        return rate


def certificate(work):
    """ECDSA P-256, signed by itself; certificate and key in one file too, as HAProxy wants them."""
    cert, key = work / "cert.pem", work / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", key,
                    "-out", cert], check=True, capture_output=True)
    (work / "both.pem").write_text(cert.read_text() + key.read_text())


def machine(options):
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"^model name\s*: (.*)", file.read(), re.MULTILINE)
    return {"cpu": model[1] if model else platform.machine(), "cpus": os.cpu_count(), "kernel": platform.release(),
            "date": time.strftime("%Y-%m-%d"), "seconds": options.seconds, "rounds": options.rounds}


def prepare(options):
    """The tools are there, files enough, and this program keeps off the proxy's core. Returns the peers there are."""
    if missing := [tool for tool in ("h2load", "nghttp", "nghttpd", "openssl") if not shutil.which(tool)]:
        sys.exit(f"{', '.join(missing)}: not installed (scripts/install --bench)")
    peers = [peer for peer in options.only if find(peer)]
    for peer in options.only:
        if peer not in peers:
            print(f"{peer.name}: not installed, left out", file=sys.stderr)
    if options.proxy_core == options.load_core:
        print("only one core: the proxy shares it with the load, and the figures say little", file=sys.stderr)
    os.sched_setaffinity(0, {options.load_core})
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, 20000) if most != resource.RLIM_INFINITY else 20000, most))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return peers


def main():
    options = arguments()
    peers = prepare(options)
    data = {"machine": machine(options), "versions": {peer.name: version(peer) for peer in peers}, "scenarios": {}}
    print("{cpu}, {cpus} cores, Linux {kernel}; medians of {rounds} runs of {seconds} s".format(**data["machine"]))
    for name, text in data["versions"].items():
        print(f"- {name}: {text}" if options.markdown else f"  {name}: {text}")
    with tempfile.TemporaryDirectory(prefix="moongate-bench-") as folder:
        work = pathlib.Path(folder)
        # nginx reads the configuration as root, its worker as somebody else.
        work.chmod(0o755)
        certificate(work)
        for scenario in options.scenario:
            result = data["scenarios"][scenario.name] = Session(scenario, options, work).measure(peers)
            tell("")
            print("\n" + table(scenario, result, options.markdown), flush=True)
            if options.json:
                options.json.write_text(json.dumps(data, indent=1) + "\n")
    return int(any(row["invalid"] for result in data["scenarios"].values() for row in result["rows"].values()))


if __name__ == "__main__":
    sys.exit(main())
