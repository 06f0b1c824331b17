"""The load, and what it costs the proxy."""
import os
import re
import resource
import subprocess
import time

from processes import Failed, Watch, message
from scenarios import SIZES

HOST, AUTHORITY = "bench.example", "bench.example:50051"
USER, PASSWORD = "user42", "secret42"
CIPHER = "TLS_AES_128_GCM_SHA256"


def credentials(password):
    """The header fields with a user's name; none without a password."""
    return [f"username: {USER}", f"password: {password}"] if password else []


class Load:
    def __init__(self, work, backend, cores):
        self.work, self.backend, self.cores = work, backend, cores
        self.body = work / "body"
        self.body.write_bytes(message(69, b"q"))

    def _command(self, proxy, seconds, rate):
        scenario = proxy.scenario
        fields = ["content-type: application/grpc", "te: trailers"]
        if proxy.peer.guarded(scenario):
            fields += credentials(PASSWORD)
        argv = ["h2load", "-D", seconds, "-t", 1, "-c", scenario.connections, "-m", scenario.streams, "-d", self.body,
                f"--connect-to=127.0.0.1:{proxy.port}", f"--tls13-ciphers={CIPHER}"]
        for field in fields:
            argv += ["-H", field]
        if rate:
            argv += [f"--rps={rate}", "--log-file", self.work / "calls.log"]
        argv.append(f"{'https' if scenario.tls else 'http'}://{AUTHORITY}{scenario.path}")
        return [str(argument) for argument in argv]

    def run(self, proxy, seconds, rate=0):
        """One run, as figures; `rate` is in calls per second of each connection, 0 as many as there can be."""
        before = self._account(proxy)
        watch, began = Watch(self.cores), time.monotonic()
        try:
            text = subprocess.run(self._command(proxy, seconds, rate), capture_output=True, text=True,
                                  timeout=seconds + 30).stdout
        except subprocess.TimeoutExpired:
            raise Failed("the load did not come to an end") from None
        took = time.monotonic() - began
        cpu, behind, load = (now - then for now, then in zip(self._account(proxy), before, strict=True))
        calls, octets, faults = understood(text, proxy.scenario)
        if not proxy.running():
            faults["ended"] = 1
        run = {"calls": calls, "octets": octets, "rate": calls / seconds, "mib": octets / seconds / 2**20,
               "cpu": cpu / max(calls, 1) * 1e6, "cpu_gib": cpu * 1e3 / max(octets, 1) * 2**30,
               "proxy_core": cpu / took, "load_core": (behind + load) / took, "others": watch.others(cpu + behind + load)}
        run["peak"] = proxy.memory("VmHWM") / 1024
        if rate:
            run |= self._latencies() | {"asked": rate * proxy.scenario.connections}
        run["failed"], run["why"] = sum(faults.values()), ", ".join(f"{count} {what}" for what, count in faults.items())
        return run

    def _account(self, proxy):
        """CPU seconds of proxy, backend, and the load that has ended."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return proxy.cpu_seconds(), self.backend.cpu_seconds(), ended.ru_utime + ended.ru_stime

    def _latencies(self):
        """Microseconds of the calls that went well, from h2load's log."""
        log = self.work / "calls.log"
        with open(log, encoding="ascii") as file:
            rows = (line.split("\t") for line in file)
            times = sorted(int(row[2]) for row in rows if row[1] == "200")
        os.unlink(log)
        if not times:
            raise Failed("no call went well")
        return {f"p{part}": times[len(times) * part // 100] for part in (50, 99)}


def understood(text, scenario):
    """What h2load says: calls done, octets of their bodies, and how many went wrong in which way."""
    done = re.search(r"(\d+) done, \d+ succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", text)
    codes = re.search(r"2xx, (\d+) 3xx, (\d+) 4xx, (\d+) 5xx", text)
    data = re.search(r"\((\d+)\) data", text)
    if not (done and codes and data):
        raise Failed("h2load said: " + text[-300:])
    calls, failed, errored, late = map(int, done.groups())
    refused, octets = sum(map(int, codes.groups())), int(data[1])
    # h2load counts the others among those that failed, too.
    faults = {"not 2xx": refused, "broken off": errored, "failed": max(failed - refused - errored, 0), "timed out": late}
    faults["cut short"] = max(calls - refused - octets // SIZES[scenario.path], 0)
    faults["runs without a call"] = int(not calls)
    if scenario.tls and not re.search(rf"^Cipher: {CIPHER}$", text, re.MULTILINE):
        faults["runs with another cipher"] = 1
    return calls, octets, {what: count for what, count in faults.items() if count}
