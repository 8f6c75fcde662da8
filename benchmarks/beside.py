"""What a training does beside its steps: the share of report, guard, loggers and validation in its computing time.

    python -m benchmarks.beside
    python -m benchmarks.beside --method cyclegan --size 128 --steps 100 --log tensorboard

One training is run at the default intervals. Each of these parts is timed where it is called, by the processor's time
of the thread that calls it, and held against that of the whole process: so other work on the machine does not count,
and no second training is needed, whose time would vary by more than what is measured. ``--log-every 1`` and the like
show what other intervals cost.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import translate
from translate.adversary import Adversary
from translate.engine import Engine
from translate.loggers import Loggers, _Logging
from translate.machine import cores, cpu_model
from translate.reporting.writing import RunReport, _Listener
from translate.setup import Setup
from translate.validation import Validation
from translate_guard.guard import Guard

PARTS: dict[str, Sequence[tuple[type, str]]] = {
    "report": ((RunReport, "begin"), (RunReport, "update"), (RunReport, "end"), (_Listener, "emit")),
    "guard": (
        (Guard, "__init__"), (Guard, "log"), (Guard, "look"), (Engine, "gradient_norms"), (Setup, "take_balances"),
        (Adversary, "_note_discriminator"),
    ),
    "loggers": ((_Logging, "_guarded"), (Loggers, "tell")),
    "validation": ((Validation, "run"),),
}  # fmt: skip
"""What each part calls; what is called inside another call counts once."""


class Clock:
    """The seconds of the processor that each part has taken, in all threads."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self.calls: Counter[str] = Counter()
        self._inside = threading.local()
        self._lock = threading.Lock()

    def watch(self, part: str, owner: type, name: str) -> None:
        """Time all calls of a method."""
        inner: Callable[..., Any] = getattr(owner, name)

        def timed(*given: Any, **named: Any) -> Any:
            if getattr(self._inside, "part", None) is not None:
                return inner(*given, **named)
            self._inside.part, begun = part, time.thread_time()
            try:
                return inner(*given, **named)
            finally:
                self._inside.part = None
                with self._lock:
                    self.seconds[part] += time.thread_time() - begun
                    self.calls[part] += 1

        setattr(owner, name, timed)


def main(given: Sequence[str] | None = None) -> int:
    """Train, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--method", default="pix2pix")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--count", type=int, default=100, help="images of the data, of which a tenth is held out")
    parser.add_argument("--log", default="tensorboard", help="loggers, or none")
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--generator", default="", help="the method's generator, such as unet(width=16)")
    parser.add_argument("--validate", default="psnr, ssim", help="metrics, or nothing")
    asked = parser.parse_args(given)
    clock = Clock()
    for part, watched in PARTS.items():
        for owner, name in watched:
            clock.watch(part, owner, name)
    own = {"generator": asked.generator} if asked.generator else {}
    with tempfile.TemporaryDirectory() as folder:
        begun, passed = time.process_time(), time.perf_counter()
        translate.fit(
            asked.method, f"demo(size={asked.size}, count={asked.count})", output=Path(folder, "run"),
            size=asked.size, batch=asked.batch, steps=asked.steps, log=asked.log, log_every=asked.log_every,
            validate=asked.validate, device="cpu", compile="no", **own,
        )  # fmt: skip
        whole, passed = time.process_time() - begun, time.perf_counter() - passed
    print(
        f"{cpu_model()}, {cores()} cores; {asked.method}, {asked.size} px, batch {asked.batch}, {asked.steps} steps: "
    )
    print(f"{whole:.1f} s of the processor, {whole / asked.steps * 1e3:.0f} ms a step, {passed:.1f} s by the clock\n")
    print("| part | seconds of the processor | calls | share |\n|---|---|---|---|")
    for part in PARTS:
        print(f"| {part} | {clock.seconds[part]:.3f} | {clock.calls[part]} | {clock.seconds[part] / whole:.2%} |")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
