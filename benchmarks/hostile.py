"""Hostile requests: does a server refuse what is wrong, huge, slow or much, and still answer everybody else?

``python -m benchmarks.hostile`` starts ``translate serve`` with a small network in a process of its own, sends it one
kind of hostile request after the other, and prints what came back, how long it took, and how much memory the server's
process had at its most. After each kind a well-formed request must be answered within a second or the command fails.
"""

from __future__ import annotations

import argparse
import os
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.serving import make, picture

SECONDS = 30.0


@dataclass(frozen=True)
class Case:
    """A kind of request: what it sends, and the statuses with which it may be answered; 0 is a connection that ends."""

    name: str
    send: Callable[[int], Counter[int]]
    allowed: frozenset[int]


def raw(port: int, *pieces: bytes, pause: float = 0.0, seconds: float = SECONDS) -> int:
    """The status of the answer to bytes that are sent with pauses; 0 if the connection ends without one."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            for piece in pieces:
                connection.sendall(piece)
                if pause:
                    time.sleep(pause)
            return status_of(connection)
    except OSError:
        return 0


def status_of(connection: socket.socket) -> int:
    """The status that a connection answers with."""
    found = b""
    try:
        while b"\r\n" not in found and (piece := connection.recv(4096)):
            found += piece
    except OSError:
        return 0
    told = re.match(rb"HTTP/1\.1 (\d{3})", found)
    return int(told[1]) if told else 0


def post(port: int, body: bytes, *headers: str, path: str = "/api/translate", host: str = "") -> int:
    """The status of a POST with a body."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{port}'}", f"Content-Length: {len(body)}", *headers]
    return raw(port, "\r\n".join([*lines, "", ""]).encode() + body)


def bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that would be ``side`` squared pixels of RGB."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    packed, row = zlib.compressobj(9), bytes(1 + 3 * side)
    data = b"".join(packed.compress(row) for _ in range(min(side, 2000))) + packed.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def at_once(port: int, count: int, send: Callable[[int], int]) -> Counter[int]:
    """The statuses of so many requests at the same time."""
    found: Counter[int] = Counter()
    threads = [threading.Thread(target=lambda: found.update([send(port)])) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def sizes(port: int) -> Counter[int]:
    """Images of many sizes at the same time, one of them broken."""
    bodies = [picture(side) for side in (16, 31, 64, 65, 100, 128)] * 4 + [b"no image", picture(64)[:-40]]
    found: Counter[int] = Counter()
    threads = [threading.Thread(target=lambda body=body: found.update([post(port, body)])) for body in bodies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def held(port: int, count: int, seconds: float) -> Counter[int]:
    """Connections that say nothing for a while, beside which others ask."""
    idle = []
    try:
        for _ in range(count):
            idle.append(socket.create_connection(("127.0.0.1", port), timeout=SECONDS))
        time.sleep(seconds)
        return Counter([post(port, picture(32))])
    finally:
        for each in idle:
            each.close()


def cases(data: bytes, max_bytes: int) -> list[Case]:
    """All kinds of hostile requests."""

    def once(name: str, send: Callable[[int], int], *allowed: int) -> Case:
        return Case(name, lambda port: Counter([send(port)]), frozenset(allowed))

    def get(port: int, *lines: str) -> int:
        return raw(port, "\r\n".join(["GET / HTTP/1.1", *lines, "", ""]).encode())

    def endless(port: int) -> int:
        head = f"POST /api/translate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + bytes(2**16) + b"\r\n"
        return raw(port, head.encode(), *([chunk] * (3 * max_bytes // 2**16)))

    def slow(port: int) -> int:
        head = f"POST /api/translate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
        return raw(port, head.encode(), *(data[place : place + 1] for place in range(40)), pause=0.2)

    def deaf(port: int) -> int:
        with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            head = f"POST /api/translate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(data)}\r\n\r\n"
            connection.sendall(head.encode() + data)
            return 0

    def foreign(port: int) -> int:
        return get(port, f"Host: 127.0.0.1:{port}", "Origin: http://a.example")

    def climbing(port: int) -> int:
        return raw(port, f"GET /../../etc/passwd HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())

    def exabyte(port: int) -> int:
        head = f"POST /api/translate HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 1{'0' * 17}\r\n\r\n"
        return raw(port, head.encode())

    def long_head(port: int) -> int:
        return get(port, f"Host: 127.0.0.1:{port}", "X: " + "a" * 2**20)

    def many_headers(port: int) -> int:
        return get(port, f"Host: 127.0.0.1:{port}", *(f"X{number}: 1" for number in range(200)))

    def endless_form(port: int) -> int:
        return post(port, b"--x\r\n" * 2000, "Content-Type: multipart/form-data; boundary=x")

    def many(port: int) -> Counter[int]:
        return at_once(port, 60, lambda each: post(each, data))

    def going(port: int) -> Counter[int]:
        return at_once(port, 200, lambda each: raw(each, b"POST /api/tr", seconds=0.5))

    packed, huge, cut = zlib.compress(bytes(2**24)), bomb(30_000), bomb(1000)[:-50]
    return [
        once("another host's name", lambda port: get(port, "Host: evil.example"), 421),
        once("no host", get, 400),
        once("a page of another site", foreign, 403),
        once("a path of the server", climbing, 404),
        once("what is no HTTP", lambda port: raw(port, b"\x16\x03\x01" + bytes(500) + b"\r\n\r\n"), 400, 0),
        once("a head of a megabyte", long_head, 400, 431, 0),
        once("200 headers", many_headers, 431),
        once("a length of an exabyte", exabyte, 413),
        once("a body above the limit", lambda port: post(port, bytes(max_bytes + 1)), 413),
        once("an endless body in chunks", endless, 413, 0),
        once("a PNG bomb, 30,000 px a side", lambda port: post(port, huge), 413),
        once("a PNG that is cut off", lambda port: post(port, cut), 415, 422),
        once("a compressed body", lambda port: post(port, packed, "Content-Encoding: deflate"), 415),
        once("a form without end", endless_form, 400),
        once("a file's name for an image", lambda port: post(port, b"/etc/passwd"), 415),
        once("a byte each 0.2 s", slow, 408, 0),
        once("nobody takes the answer", deaf, 0),
        Case("60 requests at once", many, frozenset({200, 503})),
        Case("sizes mixed, some broken", sizes, frozenset({200, 415, 422, 503})),
        Case("60 silent connections", lambda port: held(port, 60, 1.0), frozenset({200})),
        Case("200 connections that go", going, frozenset({0, 408, 503})),
    ]


def memory_of(pid: int) -> int:
    """The most memory that a process had, in bytes; 0 where the system does not say."""
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def main(given: Sequence[str] | None = None) -> int:
    """Send everything, and print a table; the exit code is 1 if something was answered that must not be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--max-bytes", type=int, default=2**22)
    asked = parser.parse_args(given)
    data, wrong = picture(asked.size), 0
    with tempfile.TemporaryDirectory() as folder:
        file = make(Path(folder), asked.size)
        options = ["--port", "0", "--device", "cpu", "--timeout", "5", "--max-bytes", str(asked.max_bytes)]
        command = [sys.executable, "-m", "translate", "serve", str(file), *options]
        environment = os.environ | {"TMPDIR": folder}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            assert process.stdout is not None
            port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
            try:
                assert post(port, data) == 200
                first = memory_of(process.pid)
                print("| request | answers | seconds | then |\n|---|---|---|---|")
                for case in cases(data, asked.max_bytes):
                    begun = time.perf_counter()
                    found = case.send(port)
                    passed = time.perf_counter() - begun
                    after = answered_soon(port, data)
                    good = found.keys() <= case.allowed and after is not None
                    wrong += not good
                    told = ", ".join(f"{count} x {status or 'cut off'}" for status, count in sorted(found.items()))
                    then = "never" if after is None else f"{after:.2f} s"
                    print(f"| {case.name} | {told} | {passed:.1f} | {then}{'' if good else ' WRONG'} |", flush=True)
                memory = memory_of(process.pid)
                left = [path for path in Path(folder).rglob("translate-serve-*/*") if path.is_dir()]
            finally:
                process.terminate()
            code = process.wait()
    print(f"\nmemory at most {memory / 2**20:.0f} MiB, {first / 2**20:.0f} MiB after the first request; ", end="")
    print(f"{len(left)} folders left while it ran; exit code {code}")
    return int(wrong > 0 or code != 0 or len(left) > 0)


def answered_soon(port: int, data: bytes) -> float | None:
    """How long a well-formed request takes, once it is admitted; None if it is not answered within the time."""
    begun = time.perf_counter()
    while time.perf_counter() - begun < SECONDS:
        if post(port, data) == 200:
            return time.perf_counter() - begun
        time.sleep(0.05)
    return None


if __name__ == "__main__":
    sys.exit(main())
