"""Soak tests of what may not happen: kills, a disk that is full, flipped bits, and a folder of strange files.

    python -m benchmarks.soak kills --count 70
    python -m benchmarks.soak disk --count 20
    python -m benchmarks.soak bits --count 1800
    python -m benchmarks.soak folder --count 2000
    python -m benchmarks.soak conversion --count 60

Each prints one line of figures and ends with 1 at the first thing that is lost, wrong or not said in one sentence. The
quick forms run in the suite, ``tests/test_soak.py``.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from io import BytesIO
from pathlib import Path

import PIL.Image
import torch

from benchmarks.strange import Right, fill
from translate import checkpoint
from translate.errors import TranslateError

STEPS = 60
FIT = (
    "fit", "pix2pix", "demo(size=32, count=6)", "--size", "32", "--batch", "2", "--steps", str(STEPS),
    "--save-every", "3", "--sample-every", "4", "--generator", "unet(width=4)",
    "--discriminator", "patch(width=4, receptive_field=16)", "--ema", "0.9",
)  # fmt: skip
COMMAND = [sys.executable, "-m", "translate"]
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
"""What may not reach a terminal from a name; a line may end."""

LONGEST = 600.0
"""Seconds that one command may take before it counts as hanging."""


class SoakError(Exception):
    """Something was lost, wrong, or not said in one sentence."""


def kills(place: Path, count: int, seed: int) -> str:
    """Kill a training at random moments and resume it until it ends; then it equals an undisturbed one."""
    drawn = random.Random(seed)
    wanted = _ended(place / "undisturbed")
    begun = time.monotonic()
    _run([*FIT, "-o", str(place / "timed")])
    whole = time.monotonic() - begun
    killed: Counter[int] = Counter()
    rounds = 0
    while killed.total() < count:
        rounds += 1
        run = place / f"run{rounds}"
        steps, here = -1, 0
        while True:
            asked = ["fit", "--resume", str(run)] if (run / "config.json").exists() else [*FIT, "-o", str(run)]
            begun = time.monotonic()
            process = _start(asked)
            # A start takes most of such a short training's time.
            patience = drawn.uniform(0.4, 1.0) * whole if killed.total() < count and here < 5 else None
            try:
                process.communicate(timeout=patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                found = _steps(run)
                if found < steps:
                    raise SoakError(f"a kill cost steps that were saved: {found} after {steps}") from None
                steps = found
                killed[found] += 1
                here += 1
                continue
            if process.returncode:
                raise SoakError(f"a resume after a kill ended with {process.returncode}")
            # How busy the machine is changes.
            whole = min(whole, 2 * (time.monotonic() - begun))
            break
        _same(wanted, _contents(run))
        shutil.rmtree(run)
    at = ", ".join(f"{number} at {max(step, 0)}" for step, number in sorted(killed.items()))
    return (
        f"kills: {killed.total()} in {rounds} trainings, each equal to the undisturbed one to the bit (by step: {at})"
    )


def disk(place: Path, count: int, seed: int) -> str:
    """Train where files may not grow beyond a random size; then resume without the bound, which loses nothing."""
    drawn = random.Random(seed)
    wanted = _ended(place / "undisturbed")
    largest = max(path.stat().st_size for path in (place / "undisturbed").rglob("*") if path.is_file())
    codes: Counter[int] = Counter()
    for number in range(count):
        run = place / f"run{number}"
        bound = int(largest ** drawn.uniform(0.3, 1.02))
        limit = partial(resource.setrlimit, resource.RLIMIT_FSIZE, (bound, bound))
        code, told = _run([*FIT, "-o", str(run)], before=limit)
        codes[code] += 1
        if code not in (0, 2, 5):
            raise SoakError(f"a full disk ended a training with {code}: {told}")
        again = ["fit", "--resume", str(run)] if (run / "config.json").exists() else [*FIT, "-o", str(run)]
        if not (run / "config.json").exists():
            shutil.rmtree(run, ignore_errors=True)
        code, told = _run(again)
        if code:
            raise SoakError(f"after a full disk, a resume ended with {code}: {told}")
        _same(wanted, _contents(run))
        shutil.rmtree(run)
    told = ", ".join(f"{number} with {code}" for code, number in sorted(codes.items()))
    return f"disk: {count} trainings with bounded files ended ({told}), each resumed to the bit"


def bits(place: Path, count: int, seed: int) -> str:
    """Flip single bits of a checkpoint and of a translator: each file is refused."""
    drawn = random.Random(seed)
    _ended(place / "undisturbed")
    files = [next((place / "undisturbed").rglob(name)) for name in ("translator.safetensors", f"*{STEPS}.safetensors")]
    changed = place / "changed.safetensors"
    longest = 0.0
    for number in range(count):
        content = bytearray(files[number % 2].read_bytes())
        where = drawn.randrange(8 * len(content))
        content[where // 8] ^= 1 << where % 8
        changed.write_bytes(content)
        begun = time.monotonic()
        try:
            checkpoint.load(changed)
        except TranslateError:
            longest = max(longest, time.monotonic() - begun)
            continue
        raise SoakError(f"a flipped bit was not noticed: {where} of {files[number % 2].name}")
    return f"bits: {count} flipped, all refused, in {longest:.2f} s at the longest"


def folder(place: Path, count: int, seed: int) -> str:
    """Convert, look at and train on a folder of strange files: every good image comes out, everything else is named."""
    drawn = random.Random(seed)
    _ended(place / "undisturbed")
    data = place / "data"
    good = strange(data, count, drawn)
    named = fill(place / "named")
    images = sum(isinstance(case.outcome, Right) for case in named)
    seconds = {}
    layout = "unpaired(source=data, target=other)"
    networks = ["--generator", "unet(width=4)", "--discriminator", "patch(width=4, receptive_field=16)"]
    commands: dict[str, Sequence[str]] = {
        "convert": ["convert", str(place / "undisturbed"), str(data), str(place / "out"), "--format", "png"],
        "convert named": ["convert", str(place / "undisturbed"), str(place / "named"), str(place / "out" / "named")],
        "data": ["data", str(place), "--layout", layout],
        "data --full": ["data", str(place), "--layout", layout, "--full"],
        "fit": [
            "fit",
            "gan",
            str(place),
            "--layout",
            layout,
            "--steps",
            "3",
            "--size",
            "32",
            *networks,
            "-o",
            str(place / "run"),
        ],
    }
    (place / "other").mkdir()
    _picture(drawn).save(place / "other" / "a.png")
    for name, asked in commands.items():
        begun = time.monotonic()
        code, told = _run(asked)
        seconds[name] = time.monotonic() - begun
        if name != "fit" and code != 1:
            raise SoakError(f"{name} ended with {code} on a folder of strange files: {told}")
    found = len([path for path in (place / "out").rglob("*") if path.is_file() and ".translate" not in path.parts])
    if found != good + images:
        raise SoakError(f"{found} of {good + images} good images were converted")
    told = ", ".join(f"{name} {each:.0f} s" for name, each in seconds.items())
    return (
        f"folder: {count} files and {len(named)} more kinds, of which {good} and {images} are images, all converted; "
        f"the rest named, nothing hung ({told})"
    )


def conversion(place: Path, count: int, seed: int) -> str:
    """Kill conversions of a folder at random moments and go on; change sources, let two write at once, fill the disk.

    All end at the bytes of an undisturbed conversion.
    """
    drawn = random.Random(seed)
    _ended(place / "undisturbed")
    data = place / "photos"
    for number in range(CONVERTED):
        picture = PIL.Image.frombytes("RGB", (96, 80), drawn.randbytes(96 * 80 * 3))
        (data / f"{number % 3}").mkdir(parents=True, exist_ok=True)
        picture.save(data / f"{number % 3}" / f"{number}.png")
    convert = ["convert", str(place / "undisturbed"), str(data)]
    begun = time.monotonic()
    _convert([*convert, str(place / "whole")])
    whole = time.monotonic() - begun
    killed = rounds = kept = 0
    while killed < count:
        rounds += 1
        out = place / f"out{rounds}"
        here = 0
        while killed < count and here < 12:
            process = _start([*convert, str(out)])
            try:
                # A start takes most of such a short conversion's time.
                process.communicate(timeout=drawn.uniform(0.5, 1.0) * whole)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                killed, here = killed + 1, here + 1
                done = len(_made(out))
                if done < kept and here > 1:
                    raise SoakError(f"a kill cost outputs: {done} after {kept}") from None
                kept = done
        kept = 0
        if rounds == 1:
            changed = next(data.rglob("7.png"))
            PIL.Image.frombytes("RGB", (96, 80), drawn.randbytes(96 * 80 * 3)).save(changed)
            _convert([*convert, str(place / "whole")])
        together = [_start([*convert, str(out)]) for _ in range(2)]
        for process in together:
            told = process.communicate(timeout=LONGEST)[0].decode("utf-8", "replace")
            if process.returncode:
                raise SoakError(f"a conversion after {here} kills ended with {process.returncode}: {told}")
        _equal(place / "whole", out)
        shutil.rmtree(out)
    full = _fill_disk(place, convert)
    return (
        f"conversion: {killed} kills in {rounds} conversions of {CONVERTED} images, ended by two writers at once, with "
        f"the bytes of an undisturbed one; {full}"
    )


CONVERTED = 60


def _fill_disk(place: Path, convert: Sequence[str]) -> str:
    """Convert onto a disk that is too small, make it larger, and go on; only root may make such a disk."""
    small = place / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=700k", "tmpfs", str(small)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        return "no small disk could be made here"
    try:
        code, told = _run([*convert, str(small / "out")])
        if code != 5 or "is full" not in told:
            raise SoakError(f"a full disk ended a conversion with {code}: {told}")
        done = len(_made(small / "out"))
        subprocess.run(["mount", "-o", "remount,size=50m", str(small)], check=True)
        _convert([*convert, str(small / "out")])
        _equal(place / "whole", small / "out")
    finally:
        subprocess.run(["umount", str(small)], check=True)
    return f"a full disk ended one with exit code 5 after {done} images, and it went on to the same bytes"


def _convert(arguments: Sequence[str]) -> None:
    code, told = _run(arguments)
    if code:
        raise SoakError(f"a conversion ended with {code}: {told}")


def _made(out: Path) -> dict[str, Path]:
    """The outputs of a conversion, without its own files."""
    found = {path.relative_to(out).as_posix(): path for path in out.rglob("*.png") if path.is_file()}
    return {name: path for name, path in found.items() if not any(part.startswith(".") for part in Path(name).parts)}


def _equal(wanted: Path, out: Path) -> None:
    made, good = _made(out), _made(wanted)
    leftovers = [path for path in out.rglob("*.part") if path.is_file()]
    if made.keys() != good.keys() or leftovers:
        raise SoakError(f"other files were made: {sorted(made.keys() ^ good.keys())[:5]} {leftovers[:3]}")
    different = [name for name, path in made.items() if path.read_bytes() != good[name].read_bytes()]
    if different:
        raise SoakError(f"{len(different)} outputs differ from those of an undisturbed conversion: {different[:3]}")


def strange(root: Path, count: int, drawn: random.Random) -> int:
    """Fill a folder with strange files, a quarter of them good images; how many of these there are."""
    (root / "inner").mkdir(parents=True)
    good = 0
    for number in range(count):
        place = root if number % 3 else root / "inner"
        name = drawn.choice(["a", "é", "x" * 120, "two\nlines", "\x1b[31mred\x07", "-o", " ", "ü\u202e", "%s", "'\""])
        path = place / f"{name}{number}.{drawn.choice(['png', 'jpg', 'webp', 'tif', 'bmp'])}"
        if number % 4 == 0:
            path = path.with_suffix(".png")
            _picture(drawn).save(path)
            good += 1
            continue
        drawn.choice(KINDS)(path, drawn)
    return good


def _picture(drawn: random.Random) -> PIL.Image.Image:
    return PIL.Image.frombytes("RGB", (24, 20), drawn.randbytes(24 * 20 * 3))


def _encoded(path: Path, drawn: random.Random) -> bytearray:
    kept = BytesIO()
    names = {"jpg": "JPEG", "tif": "TIFF"}
    suffix = path.suffix[1:]
    _picture(drawn).save(kept, names.get(suffix, suffix.upper()))
    return bytearray(kept.getvalue())


def _truncated(path: Path, drawn: random.Random) -> None:
    content = _encoded(path, drawn)
    # Nothing behind the half is needed by no format: what is cut there cannot be a good image.
    path.write_bytes(content[: drawn.randrange(len(content) // 2)])


def _noise(path: Path, drawn: random.Random) -> None:
    path.write_bytes(drawn.randbytes(drawn.randrange(2000)))


def _text(path: Path, drawn: random.Random) -> None:
    path.write_text("<html>not found</html>" * drawn.randrange(1, 50))


def _empty(path: Path, _: random.Random) -> None:
    path.touch()


def _pipe(path: Path, _: random.Random) -> None:
    os.mkfifo(path)


def _socket(path: Path, drawn: random.Random) -> None:
    here = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            # The names of sockets are short.
            made.bind(f"s{drawn.randrange(10**9)}.png")
    finally:
        os.chdir(here)


def _folder(path: Path, _: random.Random) -> None:
    path.mkdir()


def _circle(path: Path, _: random.Random) -> None:
    path.symlink_to(path)


def _dangling(path: Path, _: random.Random) -> None:
    path.symlink_to("/nowhere/at all.png")


def _device(path: Path, _: random.Random) -> None:
    path.symlink_to("/dev/zero")


def _bomb(path: Path, drawn: random.Random) -> None:
    """A header that promises far more pixels than there are."""
    content = bytearray(_encoded(path.with_suffix(".bmp"), drawn))
    content[18:26] = (60_000).to_bytes(4, "little") * 2
    path.with_suffix(".bmp").write_bytes(content)


KINDS: Sequence[Callable[[Path, random.Random], None]] = (
    _truncated, _truncated, _noise, _text, _empty, _pipe, _socket, _folder, _circle, _dangling, _device, _bomb,
)  # fmt: skip


def _start(arguments: Sequence[str], before: Callable[[], object] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=before)


def _run(arguments: Sequence[str], before: Callable[[], object] | None = None) -> tuple[int, str]:
    """The exit code and the output of a command, which must be calm."""
    process = _start(arguments, before)
    try:
        output = process.communicate(timeout=LONGEST)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.communicate()
        raise SoakError(f"translate {arguments[0]} hung") from None
    if "Traceback" in output:
        raise SoakError(f"translate {arguments[0]} ended in a traceback:\n{output}")
    if CONTROL.search(output):
        raise SoakError(f"translate {arguments[0]} printed control characters: {output!r}")
    return process.returncode, output


def _ended(run: Path) -> dict[str, torch.Tensor]:
    """What an undisturbed training keeps; it is done once."""
    code, told = (0, "") if run.exists() else _run([*FIT, "-o", str(run)])
    if code:
        raise SoakError(f"an undisturbed training ended with {code}: {told}")
    return _contents(run)


def _steps(run: Path) -> int:
    """The step of the last checkpoint, -1 without one."""
    found = [re.search(r"(\d+)\.safetensors$", path.name) for path in run.rglob("*.safetensors")]
    return max((int(each[1]) for each in found if each), default=-1)


def _contents(run: Path) -> dict[str, torch.Tensor]:
    """All tensors of a run's last checkpoint and of its translator."""
    last = next(path for path in run.rglob("*.safetensors") if re.search(rf"0*{STEPS}\.safetensors$", path.name))
    kept = {f"last/{name}": value for name, value in checkpoint.load(last)[0].items()}
    translator = checkpoint.load(run / "translator.safetensors")[0]
    return kept | {f"translator/{name}": value for name, value in translator.items()}


def _same(wanted: dict[str, torch.Tensor], found: dict[str, torch.Tensor]) -> None:
    if wanted.keys() != found.keys():
        raise SoakError(f"other tensors were saved: {sorted(wanted.keys() ^ found.keys())[:5]}")
    different = [name for name, value in wanted.items() if not torch.equal(value, found[name])]
    if different:
        raise SoakError(
            f"{len(different)} tensors differ from those of an undisturbed training, such as {different[0]}"
        )


SOAKS: dict[str, Callable[[Path, int, int], str]] = {
    "kills": kills, "disk": disk, "bits": bits, "folder": folder, "conversion": conversion,
}  # fmt: skip


def main() -> None:
    """Run one kind and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("kind", choices=[*SOAKS])
    parser.add_argument("--count", type=int, default=100, help="kills, trainings, bits or files (default 100)")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-") as place:
        try:
            print(SOAKS[asked.kind](Path(place), asked.count, asked.seed), flush=True)
        except SoakError as error:
            sys.exit(f"{asked.kind}: {error}")


if __name__ == "__main__":
    main()
