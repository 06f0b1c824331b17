"""Requests per second and CPU time per request of gRPC proxies, side by side.

The load is h2load with small unary calls over cleartext HTTP/2, the backend nghttpd. Each proxy has one worker and a
core of its own; load and backend share another core. Proxies take turns, several rounds, and the medians are shown.
CPU time per request is the figure to trust: requests per second mean something only while the proxy's core is full.
"""
import argparse
import os
import pathlib
import statistics
import sys
import tempfile

from measure import Backend, Load, Proxy
from peers import PEERS, find


def arguments():
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=4, help="length of one run (default 4)")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each proxy (default 3)")
    parser.add_argument("--connections", type=int, default=8)
    parser.add_argument("--streams", type=int, default=16, help="calls under way on each connection (default 16)")
    parser.add_argument("--only", default="", help="names, separated by commas: " + ", ".join(p.name for p in PEERS))
    parser.add_argument("--proxy-core", type=int, default=cores[0])
    parser.add_argument("--load-core", type=int, default=cores[-1])
    return parser.parse_args()


def main():
    options = arguments()
    wanted = set(filter(None, options.only.split(",")))
    peers = [peer for peer in PEERS if not wanted or peer.name in wanted]
    for peer in [peer for peer in peers if not find(peer)]:
        print(f"{peer.name}: not installed, left out", file=sys.stderr)
        peers.remove(peer)
    if options.proxy_core == options.load_core:
        print("only one core: the proxy shares it with the load, and the figures say little", file=sys.stderr)
    runs = {peer.name: [] for peer in peers}
    with tempfile.TemporaryDirectory(prefix="moongate-bench-") as folder:
        work = pathlib.Path(folder)
        load = Load(work, options)
        with Backend(work, options.load_core) as backend:
            for number in range(options.rounds):
                for peer in peers:
                    tell(f"round {number + 1} of {options.rounds}: {peer.name}")
                    with Proxy(peer, work, backend.port, options.proxy_core) as proxy:
                        proxy.check(load)
                        load.run(proxy, 1)
                        runs[peer.name].append(load.run(proxy, options.seconds))
    tell("")
    show(runs)


def tell(text):
    """How far it is, on one line of a terminal."""
    if sys.stderr.isatty():
        print(f"\r{text:60}", end="\r" if not text else "", file=sys.stderr, flush=True)


def show(runs):
    """Medians of each proxy, and the ratio of CPU time to HAProxy's: the median of the ratios round by round."""
    base = runs.get("haproxy")
    print(f"{'proxy':22} {'requests/s':>11} {'CPU us/request':>15} {'x HAProxy':>10} {'proxy core':>11} {'failed':>7}")
    for name, results in runs.items():
        rate = statistics.median(result.rate for result in results)
        cost = statistics.median(result.microseconds for result in results)
        busy = statistics.median(result.busy for result in results)
        ratio = "-"
        if base:
            pairs = zip(results, base, strict=True)
            ratio = f"{statistics.median(one.microseconds / other.microseconds for one, other in pairs):.2f}"
        failed = sum(result.failed for result in results)
        print(f"{name:22} {rate:11,.0f} {cost:15.1f} {ratio:>10} {busy:10.0%} {failed:7}")


if __name__ == "__main__":
    main()
