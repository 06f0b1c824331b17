"""Makes a worker hang: a library, loaded before those of the program, whose digest of a certain text takes its time."""
import pathlib
import shutil
import subprocess

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef int (*digest)(const void *, size_t, unsigned char *, unsigned *, const void *, void *);

/* The data "hang:run:FILE" or "hang:wait:FILE": runs, or waits in the kernel, until the file is there. */
int EVP_Digest(const void *data, size_t count, unsigned char *out, unsigned *size, const void *type, void *engine) {
    digest next = (digest)dlsym(RTLD_NEXT, "EVP_Digest");
    char order[512] = "";
    if (count < sizeof order) memcpy(order, data, count);
    char kind[8], path[500];
    if (sscanf(order, "hang:%7[^:]:%499s", kind, path) == 2) {
        while (access(path, F_OK) != 0) {
            if (strcmp(kind, "wait") == 0) usleep(20000);
        }
    }
    return next(data, count, out, size, type, engine);
}
"""

POLICY = """function on_request(request)
  local order = request:headers():get("x-hang")
  if order then
    moon.crypto.sha256("hang:" .. order)
  end
end
"""
LINE = 4


class Hang:
    """Calls with the metadata of `order` make their worker hang until `release`."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        compiler = shutil.which("cc") or shutil.which("clang")
        if not compiler:
            pytest.skip("needs a C compiler")
        source, self.library = self.folder / "hang.c", self.folder / "hang.so"
        source.write_text(SOURCE, encoding="utf-8")
        subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", self.library, source, "-ldl"], check=True)
        self.end = self.folder / "release"

    def order(self, kind):
        return [("x-hang", f"{kind}:{self.end}")]

    def release(self):
        self.end.touch()
