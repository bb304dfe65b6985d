#!/usr/bin/env python3
"""Writes unused.ld, the list of what a bridge at rest does not run: layout.py BINARY FOLDER [SECONDS]

FOLDER has the bridge.yml, web.yml and server.pem that bench/backend.sh makes. A breakpoint stands on the first byte of
each function until it is met; meanwhile the bridge starts, reads its sources and is scraped, over HTTP/1.1 and HTTP/2.
What was not met goes into the list by the longest prefixes of names that cover nothing that was: names without the
hashes of the compiler, so that the list outlives a new version of it. A prefix below WORTH bytes is left out. Linux on
x86-64, Python 3.9 or later, readelf and curl with HTTP/2.
"""

import ctypes
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time

LIST = pathlib.Path(__file__).resolve().parent / "unused.ld"
WORTH = 500
HEAD = """\
/* What a bridge at rest does not run, at the end of the program: see build.rs. Written by bench/layout/run; what is missing
   here or is no longer there costs some memory and nothing else. */
SECTIONS {
  .text.unused : {
    *(
"""
TAIL = """\
    )
  }
}
INSERT AFTER .text;
"""


def functions(binary):
    """Address to names and size."""
    found = {}
    text = subprocess.run(["readelf", "-sW", binary], check=True, capture_output=True, text=True).stdout
    for field in map(str.split, text.splitlines()):
        if len(field) == 8 and field[3] == "FUNC" and field[6] != "UND" and int(field[2], 0) > 0:
            found.setdefault(int(field[1], 16), []).append((field[7], int(field[2], 0)))
    return found


# ---- what is run ---------------------------------------------------------------

TRACEME, CONT, GETREGS, SETREGS, SETOPTIONS = 0, 7, 12, 13, 0x4200
TRACECLONE, EXITKILL = 0x8, 0x100000
# Threads too, but not what another thread of this script has started.
WAIT = 0x40000000 | 0x20000000
RIP = 16 * 8
ptrace = ctypes.CDLL(None, use_errno=True).ptrace
ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]


def ask(folder, port, seconds, pid):
    """What clients ask of a bridge, each second; ends it."""
    base = ["curl", "--silent", "--fail", "--cacert", folder + "/server.pem", "--output", os.devnull]
    kinds = [
        ["--http2"],
        ["--http1.1"],
        ["--http2", "-H", "Accept-Encoding: gzip", "-H", "Accept: application/openmetrics-text;version=1.0.0"],
        ["--http1.1", "-H", "Accept-Encoding: gzip"],
    ]
    end, answered = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        for kind in kinds:
            asked = subprocess.run([*base, *kind, f"https://localhost:{port}/metrics"], check=False)
            answered += asked.returncode == 0
        time.sleep(1)
    print(f"{answered} scrapes were answered", file=sys.stderr)
    os.kill(pid, signal.SIGTERM if answered else signal.SIGKILL)
    time.sleep(1)
    os.kill(pid, signal.SIGKILL)


def start(binary, folder, port):
    arguments = [f"--web.listen-address=127.0.0.1:{port}", "--config.file", folder + "/bridge.yml"]
    pid = os.fork()
    if pid == 0:
        ptrace(TRACEME, 0, None, None)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        os.execv(binary, [binary, *arguments, "--web.config.file", folder + "/web.yml"])
    os.waitpid(pid, 0)
    ptrace(SETOPTIONS, pid, None, TRACECLONE | EXITKILL)
    return pid


def ran(binary, known, folder, seconds):
    """The addresses of the functions that were run."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pid = start(binary, folder, port)
    with open(f"/proc/{pid}/maps") as maps:
        lines = [line.split() for line in maps if line.rstrip().endswith(binary)]
    base = int(lines[0][0].split("-")[0], 16) - int(lines[0][2], 16)
    low, high = (int(part, 16) for part in next(line for line in lines if "x" in line[1])[0].split("-"))
    memory = os.open(f"/proc/{pid}/mem", os.O_RDWR)
    was = os.pread(memory, high - low, low)
    broken = bytearray(was)
    places = {base + address for address in known if low <= base + address < high}
    for place in places:
        broken[place - low] = 0xCC
    os.pwrite(memory, bytes(broken), low)
    threading.Thread(target=ask, args=(folder, port, seconds, pid), daemon=True).start()

    met, registers = set(), ctypes.create_string_buffer(27 * 8)
    ptrace(CONT, pid, None, 0)
    while True:
        thread, status = os.waitpid(-1, WAIT)
        deliver = 0
        if os.WIFSTOPPED(status):
            stopped = os.WSTOPSIG(status)
            if stopped == signal.SIGTRAP and status >> 16 == 0:
                ptrace(GETREGS, thread, None, registers)
                place = struct.unpack_from("<Q", registers, RIP)[0] - 1
                if place not in places:
                    raise SystemExit(f"a trap of its own at {place:#x}")
                if place not in met:
                    met.add(place)
                    os.pwrite(memory, was[place - low : place - low + 1], place)
                struct.pack_into("<Q", registers, RIP, place)
                ptrace(SETREGS, thread, None, registers)
            elif stopped not in (signal.SIGSTOP, signal.SIGTRAP):
                deliver = stopped
            ptrace(CONT, thread, None, deliver)
        elif thread == pid:
            return {place - base for place in met}


# ---- the list --------------------------------------------------------------------


def parts(name):
    """A name in parts at which a prefix may end, without hashes; where an `impl` begins, its length is not known."""
    if name.startswith("_R"):
        # Of the standard library, which is named the new way: by the first crate that it has from others.
        found = re.finditer(r"Cs[0-9A-Za-z]+?_(?=(\d+)([a-z_]\w*))", name)
        crates = [match[1] + match[2][: int(match[1])] for match in found]
        others = [crate for crate in crates if crate not in ("4core", "5alloc", "3std", "7___rustc")]
        return ["_R*Cs*_" + crate for crate in others[:1]] + [re.sub(r"Cs[0-9A-Za-z]+?_(?=\d)", "Cs*_", name)]
    if not name.startswith("_ZN"):
        return re.findall(r"[A-Z]*[a-z0-9]*_?|.", name)
    found, at = ["_ZN"], 3
    while at < len(name) and name[at].isdigit():
        length = re.match(r"\d+", name[at:])[0]
        text = name[at + len(length) : at + len(length) + int(length)]
        at += len(length) + int(length)
        if re.fullmatch(r"h[0-9a-f]{16}", text):
            found.append("17h*")
        elif "$LT$" in text or ".." in text:
            first, *rest = re.split(r"(?<=\.\.)|(?=\$u20\$as\$u20\$)|(?<=\$LT\$)", text)
            found += ["*" + first, *rest]
        else:
            found.append(length + text)
    return found


class Node:
    def __init__(self):
        self.below, self.unused, self.used = {}, 0, False

    def add(self, name, size, used):
        node = self
        # The empty part is the end: a whole name is no prefix of another.
        for part in [part for part in parts(name) if part] + [""]:
            node = node.below.setdefault(part, Node())
            node.unused += 0 if used else size
            node.used |= used

    def patterns(self, prefix=""):
        if prefix and not self.used:
            if self.unused >= WORTH:
                whole = not prefix.startswith("_") and "" in self.below and len(self.below) == 1
                yield prefix if whole else re.sub(r"\**$", "*", prefix), self.unused
            return
        for part, node in self.below.items():
            if part:
                yield from node.patterns(prefix + part)
            elif not node.used and node.unused >= WORTH:
                yield prefix, node.unused


def main():
    binary, folder = os.path.realpath(sys.argv[1]), os.path.realpath(sys.argv[2])
    seconds = int(sys.argv[3]) if len(sys.argv) > 3 else 40
    known = functions(binary)
    met = ran(binary, known, folder, seconds)
    tree = Node()
    for address, names in known.items():
        for name, size in names:
            tree.add(name, size, address in met)
    patterns = sorted(tree.patterns())
    # What else stands in names is nothing to a linker's pattern but `$`.
    lines = [f"      .text.{pattern.replace('$', '?')}\n" for pattern, _ in patterns]
    LIST.write_text(HEAD + "".join(lines) + TAIL)
    total = sum(names[0][1] for names in known.values())
    run = sum(known[address][0][1] for address in met)
    print(f"{len(met)} of {len(known)} functions ran, {run} of {total} bytes")
    print(f"{len(patterns)} patterns cover {sum(size for _, size in patterns)} bytes of what did not")


main()
