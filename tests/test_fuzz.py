"""What comes from files is refused in one sentence or opens: crafted files with right checksums, configs, part texts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import fuzzing
import hostile
import pytest
import torch

from translate import config_file
from translate.checkpoint import CheckpointError
from translate.config_file import read_config
from translate.errors import TranslateError
from translate.options import parse_calls
from translate.rebuilding import Frugal
from translate.run import Config, Run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", list(fuzzing.KINDS))
def test_a_quick_fuzz_ends_in_sentences(kind: str, place: Path) -> None:
    """The long form is ``python -m benchmarks.fuzz``."""
    outcome = fuzzing.fuzz(kind, place, examples=40, seed=1)
    assert outcome.tried >= 40
    assert outcome.refused >= 10


def test_an_unchanged_file_opens(place: Path) -> None:
    run = fuzzing.trained(place)
    for source, open_file in (
        (run.translator, fuzzing.open_translator),
        (run.checkpoints[-1], lambda path: fuzzing.open_checkpoint(place, path)),
    ):
        path = place / "same.safetensors"
        hostile.write(path, *fuzzing.read(source))
        open_file(path)


def options(**changed: Any) -> Callable[[dict[str, Any]], None]:
    return lambda facts: facts["options"].update(changed)


def fact(name: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *outer, last = name.split(".")

    def change(facts: dict[str, Any]) -> None:
        for each in outer:
            facts = facts[each]
        facts[last] = value

    return change


TRANSLATORS = {
    "resources of null": (fact("resources", None), "resources: input should be an object"),
    "resources of text": (fact("resources", "/etc/passwd"), "resources: input should be an object"),
    "an unknown key": (fact("code", "import os"), "code: extra inputs are not permitted"),
    "a size of true": (fact("size", [True, 32]), "size.0: input should be a valid integer"),
    "a huge size": (fact("size", [2**20, 32]), "size.0: input should be less than or equal to 65536"),
    "three sides": (fact("size", [32, 32, 32]), "size: list should have at most 2 items"),
    "a path as direction": (fact("directions", ["../x"]), "directions.0: string should match pattern"),
    "another direction": (fact("directions", ["backward"]), "it names the directions backward, and its method"),
    "no direction": (fact("directions", []), "it names the directions none, and its method"),
    "a direction more": (fact("directions", ["forward", "backward"]), "it names the directions forward, backward"),
    "a range upside down": (fact("source.low", 2.0), "source.low 2 is not below high 1"),
    "classes that do not fit": (fact("target.classes", 7), "target.the channels do not fit the classes"),
    "a palette that does not fit": (fact("target.palette", [[1, 2, 3]]), "target.the palette does not fit"),
    "a colour of 256": (fact("target.palette", [[1, 2, 256]]), "target.palette.0.2: input should be less than"),
    "channels": (fact("source.channels", 0), "source.channels: input should be greater than or equal to 1"),
    "a network of gigabytes": (options(generator="unet(width=256)"), "does not fit the installed image-translate"),
    "a judge of gigabytes": (options(discriminator="patch(width=4096)"), "far larger than the weights that it holds"),
    "layers without end": (options(generator="resnet(blocks=100000000, width=1)"), "far more layers than it holds"),
    "a pool of gigabytes": (options(pool=2**40), "far larger than the weights that it holds"),
    "an option of nobody": (options(depth=3), "pix2pix has no option 'depth'"),
    "an option of another type": (options(pool="many"), "pool must be a whole number"),
    "nesting": (fact("options", hostile.deep(40)), "it is nested more than 32 deep"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(TRANSLATORS))
def test_a_crafted_translator_is_refused_by_name(place: Path, case: str) -> None:
    change, told = TRANSLATORS[case]
    tensors, content = fuzzing.read(fuzzing.trained(place).translator)
    change(content["facts"])
    path = place / "crafted.safetensors"
    hostile.write(path, tensors, content)
    with pytest.raises(TranslateError) as caught:
        fuzzing.open_translator(path)
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["inf", "nan", "twice", "digits", "list", "aliases", "alias of nothing"])
def test_metadata_that_no_json_library_writes(place: Path, name: str) -> None:
    tensors, content = fuzzing.read(fuzzing.trained(place).translator)
    text = json.dumps(content)
    first = next(iter(tensors))
    changed = {
        "inf": text.replace('"high": 1.0', '"high": Infinity', 1),
        "nan": text.replace('"high": 1.0', '"high": NaN', 1),
        "twice": text.replace('"high": 1.0', '"high": 1.0, "high": 2.0', 1),
        "digits": text.replace('"high": 1.0', f'"high": {"9" * 5000}', 1),
        "list": "[" * 100_000,
        "aliases": json.dumps({**content, "aliases": {first: first}}),
        "alias of nothing": json.dumps({**content, "aliases": {"forward/a": "forward/b"}}),
    }[name]
    assert changed != text
    hostile.write(place / "crafted.safetensors", tensors, changed)
    with pytest.raises(CheckpointError, match=r"crafted\.safetensors is damaged"):
        fuzzing.open_translator(place / "crafted.safetensors")


def changed_weight(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[dict[str, torch.Tensor]], None]:
    def run(tensors: dict[str, torch.Tensor]) -> None:
        name = next(each for each in tensors if each.startswith("forward/") and each.endswith("weight"))
        tensors[name] = change(tensors[name])

    return run


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (changed_weight(lambda each: each.long()), "torch.int64"),
        (changed_weight(lambda each: each.double()), "torch.float64"),
        (changed_weight(lambda each: each[:1].clone()), "where torch.float32"),
        (changed_weight(lambda each: each.to(torch.float8_e4m3fn)), "in F8_E4M3, which no network here has"),
        (lambda tensors: tensors.update({"forward/x": torch.ones(2)}), "'x', which has no place in it"),
        (lambda tensors: tensors.update({"x": torch.ones(2)}), "belongs to no direction"),
        (lambda tensors: tensors.pop(next(iter(tensors))), "lacks the tensor"),
    ],
)
def test_tensors_that_do_not_belong(place: Path, change: Callable[[Any], Any], told: str) -> None:
    tensors, content = fuzzing.read(fuzzing.trained(place).translator)
    change(tensors)
    hostile.write(place / "crafted.safetensors", tensors, content)
    with pytest.raises(TranslateError, match=r"crafted\.safetensors") as caught:
        fuzzing.open_translator(place / "crafted.safetensors")
    assert told in str(caught.value)


def _one_weight_more(_: Any, tensors: dict[str, torch.Tensor]) -> None:
    numbers = [int(name.split("/")[2]) for name in tensors if name.startswith("optimizer/generator/")]
    tensors[f"optimizer/generator/{max(numbers) + 1}/exp_avg"] = torch.ones(())


MOMENT = "optimizer/generator/0/exp_avg"
CHECKPOINTS: dict[str, tuple[Callable[[Any, Any], Any], str]] = {
    "a step of false": (lambda facts, _: facts["engine"].update(step=False), "engine.step: input should be a valid integer"),
    "a negative step": (lambda facts, _: facts["engine"].update(step=-1), "engine.step: input should be greater"),
    "counts that do not fit": (lambda facts, _: facts["engine"].update(log_counts={"generator/x": 1}), "sums for the log do not fit"),
    "a count of 0": (lambda facts, _: facts["engine"].update(log_counts={"generator/l1": 0}), "log_counts.generator/l1"),
    "no engine": (lambda facts, _: facts.pop("engine"), "is no checkpoint of a training"),
    "no optimizer state": (lambda _, tensors: [tensors.pop(each) for each in list(tensors) if each.startswith("optimizer/")], "is missing, though the training has moved all players"),
    "a moment less": (lambda _, tensors: tensors.pop(MOMENT), "lacks 'exp_avg' of a weight"),
    "a moment of integers": (lambda _, tensors: tensors.update({MOMENT: tensors[MOMENT].long()}), "'exp_avg' as torch.int64"),
    "a moment of doubles": (lambda _, tensors: tensors.update({MOMENT: tensors[MOMENT].double()}), "'exp_avg' as torch.float64"),
    "a moment of another shape": (lambda _, tensors: tensors.update({MOMENT: torch.ones(3)}), "where torch.float32"),
    "a strange entry": (lambda _, tensors: tensors.update({"optimizer/generator/0/x": torch.ones(())}), "holds a strange 'x'"),
    "a weight more": (lambda _, tensors: tensors.update({"optimizer/generator/999/exp_avg": torch.ones(())}), "more weights than the player"),
    "one weight more": (_one_weight_more, "more weights than the player"),
    "no number": (lambda _, tensors: tensors.update({"optimizer/generator/x/exp_avg": torch.ones(())}), "which is none of a weight"),
    "no player": (lambda _, tensors: tensors.update({"optimizer/nobody/0/exp_avg": torch.ones(())}), "belongs to no player"),
    "a strange tensor": (lambda _, tensors: tensors.update(strange=torch.ones(2)), "'strange' has no place in a training"),
    "a strange average": (lambda _, tensors: tensors.update({"ema/forward/x": torch.ones(2)}), "moving average 'forward/x' has no place"),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CHECKPOINTS))
def test_a_crafted_checkpoint_is_refused(place: Path, case: str) -> None:
    change, told = CHECKPOINTS[case]
    run = fuzzing.trained(place)
    tensors, content = fuzzing.read(run.checkpoints[-1])
    change(content["facts"], tensors)
    hostile.write(place / "crafted.safetensors", tensors, content)
    with pytest.raises(TranslateError) as caught:
        fuzzing.open_checkpoint(place, place / "crafted.safetensors")
    assert told in str(caught.value)


def test_what_a_file_names_takes_no_more_memory_than_a_good_one(place: Path) -> None:
    """A file of a few kilobytes that names ``unet(width=256)``, in a process of its own."""
    tensors, content = fuzzing.read(fuzzing.trained(place).translator)
    hostile.write(place / "good.safetensors", tensors, content)
    content["facts"]["options"]["generator"] = "unet(width=256)"
    hostile.write(place / "large.safetensors", tensors, content)
    code = (
        "import resource, sys; from translate.plugins import discover; from translate.parts import SavedMethod\n"
        "from translate.errors import TranslateError\n"
        "try: SavedMethod.open(sys.argv[1], discover()).module('forward')\n"
        "except TranslateError: pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    peaks = [
        int(
            subprocess.run(
                [sys.executable, "-c", code, str(place / f"{name}.safetensors")], capture_output=True, check=True
            ).stdout
        )
        for name in ("good", "large")
    ]
    assert peaks[1] < peaks[0] + 64, peaks


def test_no_path_of_a_file_is_opened(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A saved method whose options name a run on this machine, with ``resources`` that lack it."""
    from translate.data import Domain
    from translate.parts import CatalogParts

    folder = fuzzing.trained(place).folder
    parts = CatalogParts(fuzzing.catalog(), source=Domain(3), target=Domain(3), size=(32, 32), resources={})
    with pytest.raises(TranslateError, match="nor a part"):
        parts.feature_extractor(str(folder))
    with pytest.raises(TranslateError, match="classifier of another file"):
        parts.classifier(folder)


BOMB = "\n".join(
    ["a: &a [1, 1]", *(f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True))]
)
CONFIGS = {
    "an alias bomb": (BOMB, "an alias (*name) stands in it"),
    "nesting": ("a: " + "[" * 5000, "it is nested too deeply"),
    "closed nesting": ("a: " + "[" * 100 + "]" * 100, "it is nested more than 32 deep"),
    "a number of digits": (f"steps: {'9' * 5000}", "a number of 5000 digits stands in it"),
    "a number beyond": (f"steps: {10**30}", "a whole number beyond 64 bits"),
    "infinity": ("steps: .inf", "inf is no finite number"),
    "a name twice": ("steps: 1\nsteps: 2", "'steps' stands twice in it"),
    "a name twice in two ways": ("log-every: 1\nlog_every: 2", "names an option twice"),
    "code": ("method: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
    "a list": ("- 1", "must hold names and values"),
    "a text": ("x", "must hold names and values"),
    "names that are lists": ("? [1]\n: 2", "a name in it is no text"),
    "a long text": (f"data: {'x' * 200_000}", "a text of 200,000 characters"),
    "options of text": ("method: pix2pix\ndata: demo\noptions: x", "options must be names and values"),
    "plugins of numbers": ("method: pix2pix\ndata: demo\nplugins: [5]", "plugins must be a list of files"),
    "a huge size": ("method: pix2pix\ndata: demo\nsize: 100000000", "with sides of 1 to 65536"),
    "a rate of nan": ("method: pix2pix\ndata: demo\nclip_norm: .nan", "nan is no finite number"),
}


@pytest.mark.parametrize("case", list(CONFIGS))
def test_a_hostile_config_is_refused(tmp_path: Path, case: str) -> None:
    text, told = CONFIGS[case]
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(TranslateError) as caught:
        Config.from_values(read_config(path), str(path))
    assert told in str(caught.value)
    assert str(path) in str(caught.value)
    assert len(str(caught.value)) < 600


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(TranslateError, match="it is no regular file"):
        read_config(tmp_path / "config.json")
    with pytest.raises(TranslateError, match="it is no regular file"):
        Run.open(tmp_path)
    with pytest.raises(TranslateError, match="it is no regular file"):
        read_config(Path("/dev/zero"))
    with pytest.raises(CheckpointError, match="but a folder or a device"):
        fuzzing.checkpoint.load(tmp_path / "config.json")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00" * 10)
    with pytest.raises(TranslateError, match="it is no text in UTF-8"):
        read_config(tmp_path / "binary")
    (tmp_path / "large").write_bytes(b"a" * (config_file.MOST_BYTES + 1))
    with pytest.raises(TranslateError, match="it has more than 1,048,576 bytes"):
        read_config(tmp_path / "large")


@pytest.mark.parametrize(
    "text",
    ["unet" + "(" * 5000, "-" * 9000 + "1", "a+" * 4000 + "a", f"unet(depth={'9' * 5000})", "unet(x=1e999)", "x" * 10**6,
     "unet(x=1j)", "unet(x=b'')", "unet(x={})", "unet(x=[" * 300, "unet(x=not not 1)", "\0", "unet(x=f'{1}')", "unet(x=10**10000)"],
)  # fmt: skip
def test_hostile_names_of_parts_are_refused(text: str) -> None:
    with pytest.raises(TranslateError) as caught:
        parse_calls(text)
    assert len(str(caught.value)) < 500


def test_the_command_line_reads_no_schema_for_its_help() -> None:
    code = "import sys, translate.cli; from translate.run import Config; sys.exit('pydantic' in sys.modules or 'yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("calls", range(8))
def test_a_refusal_leaves_the_grad_mode_as_it_was(calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("translate.rebuilding.SPARE_CALLS", calls)
    with suppress(TranslateError), Frugal({}):
        for _ in range(4):
            with torch.no_grad():
                torch.ones(1)
    assert torch.is_grad_enabled()
