"""The proxies, each with one worker, no access log, and HTTP/2 connections to the backend that are used again.

Their configurations are the templates in `peers/`, Moongate's those in `rig/` and `rig-shipped/`.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass

HERE = pathlib.Path(__file__).resolve().parent
CONDITION = re.compile(r"@\?(!?)(\w+)@")
PLACE = re.compile(r"@([A-Z]+)@")


class Unfit(Exception):
    """A peer that cannot do what a scenario wants: left out, which is no fault."""


@dataclass(frozen=True)
class Peer:
    name: str
    # `{}` is the folder with the filled-in templates.
    arguments: tuple
    binary: str = ""
    templates: str = ""
    version: str = "--version"
    lua: bool = True
    # Moongate itself is never "the best peer".
    own: bool = False
    # Runs the policies that ship, wherever it runs at all: in `only`.
    shipped: bool = False
    only: tuple = ()

    def guarded(self, scenario):
        """Whether it strips ports and refuses wrong passwords there."""
        return scenario.policy or self.shipped

    def prepare(self, scenario, work, front, back):
        """Writes its configuration to a folder of its own, which it returns with the command."""
        if self.only and scenario.name not in self.only:
            raise Unfit("")
        if scenario.policy and not self.lua:
            raise Unfit("runs no Lua")
        folder = work / f"{self.name}-{scenario.name}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        values = {"FRONT": front, "BACK": back, "DIR": folder, "CERT": work / "cert.pem", "KEY": work / "key.pem",
                  "PEM": work / "both.pem"}
        if self.name == "nginx" and scenario.policy:
            values["MODULES"] = nginx_modules(find(self))
        flags = scenario.flags() | ({"policy"} if self.guarded(scenario) else set())
        for template in (HERE / (self.templates or f"peers/{self.name}")).glob("*.tmpl"):
            (folder / template.stem).write_text(filled(template.read_text(), values, flags))
        if self.shipped:
            shutil.copy(users(work), folder)
            # Beside a program that was built elsewhere there are none.
            with open(folder / "moongate.yaml", "a", encoding="utf-8") as file:
                file.write(f'policies: {{path: ["{HERE.parents[1] / "policies"}"]}}\n')
        return folder, [find(self), *(argument.format(folder) for argument in self.arguments)]


def filled(text, values, flags):
    """A template with its places filled in; a line behind `@?flag@` stays with the flag, behind `@?!flag@` without."""
    lines = []
    for line in text.splitlines():
        stays = True
        while stays and (condition := CONDITION.match(line)):
            stays = (condition[2] in flags) != bool(condition[1])
            line = line[condition.end():]
        if stays:
            lines.append(PLACE.sub(lambda place: str(values[place[1]]), line))
    return "\n".join(lines) + "\n"


def users(work):
    """The file for `header-auth`, made once."""
    path = work / "users.yaml"
    if not path.exists():
        # Hashing is no part of Python's library.
        from make_users import users_file
        path.write_text(users_file(1000))
    return path


def nginx_modules(binary):
    said = subprocess.run([binary, "-V"], capture_output=True, text=True).stderr
    folder = pathlib.Path((re.search(r"--modules-path=(\S+)", said) or ["", "/usr/lib/nginx/modules"])[1])
    modules = [folder / "ndk_http_module.so", folder / "ngx_http_lua_module.so"]
    if not all(module.exists() for module in modules):
        raise Unfit("its Lua module is not installed (libnginx-mod-http-lua)")
    return " ".join(f"load_module {module};" for module in modules)


def find(peer):
    """`NAME_BIN` of the environment, else the program on the path, in sbin, or beside this Python."""
    name = peer.binary or peer.name
    folders = [os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", os.path.dirname(sys.executable)]
    return shutil.which(os.environ.get(f"{name.upper()}_BIN") or name, path=os.pathsep.join(folders))


def version(peer):
    """The first line of what it says about itself, without the folder it is in."""
    said = subprocess.run([find(peer), peer.version], capture_output=True, text=True)
    lines = (said.stdout + said.stderr).strip().splitlines() or ["?"]
    return lines[0].replace(find(peer), "").strip()


PEERS = [
    Peer("haproxy", ("-f", "{}/haproxy.cfg"), version="-v"),
    Peer("nginx", ("-e", "stderr", "-c", "{}/nginx.conf"), version="-v"),
    Peer("nghttpx", ("--conf={}/nghttpx.conf",), lua=False),
    Peer("envoy", ("-c", "{}/envoy.yaml", "--concurrency", "1", "--disable-hot-restart", "-l", "error")),
    Peer("moongate", ("run", "--config", "{}/moongate.yaml"), templates="rig", own=True),
    Peer("moongate+policies", ("run", "--config", "{}/moongate.yaml"), "moongate", "rig-shipped", own=True, shipped=True,
         only=("unary", "policy")),
]
