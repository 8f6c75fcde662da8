"""Requests a second of a server, and their latency, against calling its network directly in one process.

    python -m benchmarks.serving
    python -m benchmarks.serving runs/one --size 256 --clients 1 4 16 --batch 1 8 --seconds 10

Without a translator, one of ``unet``'s narrow form with random weights is made. A server runs in a process of its own;
each client is a thread that sends one PNG again and again over one connection. The direct calls are those of the
network alone on a tensor, and of ``convert``'s steps in one thread: decode, translate, encode.
"""

from __future__ import annotations

import argparse
import http.client
import io
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from translate.machine import cores, cpu_model


def make(place: Path, size: int) -> Path:
    """A translator with random weights."""
    from translate import checkpoint, translator
    from translate.data import Domain
    from translate.parts import CatalogParts, build_method
    from translate.plugins import discover

    catalog = discover()
    parts = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(size, size))
    options = {"generator": "small_unet"}
    method = build_method(catalog, "pix2pix", options, parts)
    plugin = catalog.offer("methods", "pix2pix").plugin
    tensors, metadata = translator.contents(method, name="pix2pix", options=options, parts=parts, plugin=plugin)
    checkpoint.save(place / "translator.safetensors", tensors, metadata)
    return place / "translator.safetensors"


def picture(size: int) -> bytes:
    """A PNG file of smooth noise."""
    small = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    made = io.BytesIO()
    PIL.Image.fromarray(small).resize((size, size), PIL.Image.Resampling.BICUBIC).save(made, "png", compress_level=1)
    return made.getvalue()


def quantiles(seconds: Sequence[float]) -> dict[str, float]:
    """The 50th and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)
    at = [ordered[min(len(ordered) - 1, int(share * len(ordered)))] for share in (0.5, 0.99)]
    return {"p50_ms": round(1000 * at[0], 1), "p99_ms": round(1000 * at[1], 1)}


def repeated(call: Callable[[], Any], seconds: float) -> dict[str, float]:
    """Call again and again for some seconds."""
    for _ in range(3):
        call()
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return {"per_second": round(1 / statistics.mean(taken), 1), **quantiles(taken)}


def direct(file: Path, data: bytes, seconds: float) -> dict[str, dict[str, float]]:
    """The network alone, and with decoding and encoding."""
    import torch

    from translate import images, load

    translator = load(file, device="cpu")
    decoded = images.load(data, name="image").pixels
    batch = torch.from_numpy(np.ascontiguousarray(decoded.transpose(2, 0, 1)))[None].float() / 127.5 - 1

    def whole() -> bytes:
        found = images.load(data, name="image").pixels
        made = images.Image(translator(found))
        return images.file_of(Path("output.png"), made).data

    return {
        "network alone": repeated(lambda: translator.translate(batch), seconds),
        "decode, network, encode": repeated(whole, seconds),
    }


def asked(port: int, data: bytes, clients: int, seconds: float) -> dict[str, float]:
    """What so many clients see at the same time."""
    taken: list[float] = []
    failed: list[int] = []
    end = time.perf_counter() + seconds

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        while time.perf_counter() < end:
            begun = time.perf_counter()
            connection.request("POST", "/api/translate", data, {"content-type": "image/png"})
            answer = connection.getresponse()
            answer.read()
            taken.append(time.perf_counter() - begun)
            if answer.status != 200:
                failed.append(answer.status)
        connection.close()

    begun = time.perf_counter()
    threads = [threading.Thread(target=client) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise SystemExit(f"{len(failed)} of {len(taken)} requests were refused, by {sorted(set(failed))}")
    return {"per_second": round(len(taken) / (time.perf_counter() - begun), 1), **quantiles(taken)}


def served(file: Path, data: bytes, batch: int, clients: Sequence[int], seconds: float) -> dict[str, dict[str, float]]:
    """The rows of one server."""
    options = ["--port", "0", "--device", "cpu", "--batch", str(batch), "--queue", str(max(clients) + 8)]
    command = [sys.executable, "-m", "translate", "serve", str(file), *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rpartition(":")[2].strip("/\n"))
        try:
            asked(port, data, 1, 1.0)
            return {f"served, batch {batch}, {count} clients": asked(port, data, count, seconds) for count in clients}
        finally:
            process.terminate()


def main(given: Sequence[str] | None = None) -> int:
    """Measure, and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("translator", nargs="?", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args(given)
    data = picture(arguments.size)
    with tempfile.TemporaryDirectory() as folder:
        file = arguments.translator or make(Path(folder), arguments.size)
        rows = direct(file, data, arguments.seconds)
        for batch in arguments.batch:
            rows |= served(file, data, batch, arguments.clients, arguments.seconds)
    machine = f"{cpu_model()}, {cores()} cores, {arguments.size} px"
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": rows}, indent=2))
        return 0
    print(f"{machine}\n\n| | images/s | p50 | p99 |\n|---|---|---|---|")
    for name, row in rows.items():
        print(f"| {name} | {row['per_second']:g} | {row['p50_ms']:g} ms | {row['p99_ms']:g} ms |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
