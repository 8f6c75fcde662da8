"""Initial weights: what fits by name and shape is loaded, to the value, and what does not is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

import translate
from translate import checkpoint
from translate.errors import TranslateError
from translate.initial import Init, load_initial_weights, open_sources
from translate.run import Config, Run
from translate.setup import Setup

DEMO = "demo(size=16, count=4)"
SMALL: dict[str, Any] = {
    "size": 16,
    "batch": 2,
    "generator": "resnet(width=4, blocks=1)",
    "discriminator": "patch(width=4, receptive_field=16)",
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of pix2pix (``p2p``), of the same with averages and an image pool (``ema``), and of CycleGAN (``cg``)."""
    folder = tmp_path_factory.mktemp("runs")
    more = {"steps": 2, "log_every": 2, "save_every": 2}
    translate.fit("pix2pix", DEMO, output=folder / "p2p", **SMALL, **more, seed=1)
    translate.fit("pix2pix", DEMO, output=folder / "ema", **SMALL, **more, seed=2, ema=0.9, pool=2)
    translate.fit("cyclegan", DEMO, output=folder / "cg", **SMALL, **more, seed=3, pool=0)
    return folder


def begun(method: str, *init: str | Path, **options: Any) -> dict[str, Tensor]:
    """The weights with which a training would begin."""
    config = Config.from_values({"method": method, "data": DEMO, **SMALL, "seed": 9, "init": list(init), **options})
    sources = open_sources(config.init)
    setup = Setup.make(config)
    load_initial_weights(setup, sources)
    return dict(setup.method.state_dict())


def saved(run: Path, prefix: str = "method/") -> dict[str, Tensor]:
    tensors, _ = checkpoint.load(Run.open(run).checkpoints[-1])
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def equal(here: dict[str, Tensor], there: dict[str, Tensor], into: str, out_of: str) -> None:
    """Assert that one network holds the other's tensors, all of them."""
    names = [name.removeprefix(out_of) for name in there if name.startswith(out_of)]
    assert names
    assert sorted(names) == sorted(name.removeprefix(into) for name in here if name.startswith(into))
    for name in names:
        assert torch.equal(here[into + name], there[out_of + name]), name


def unlike(here: dict[str, Tensor], there: dict[str, Tensor], network: str) -> None:
    weights = [name for name in here if name.startswith(network) and here[name].dim() == 4]
    assert weights
    for name in weights:
        assert name not in there or not torch.equal(here[name], there[name]), name


def test_all_of_a_run_of_the_same_method(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = begun("pix2pix", runs / "p2p")
    equal(here, saved(runs / "p2p"), "", "")
    assert f"init: generator: 16 of 16 tensors loaded from {runs / 'p2p'}\n" in caplog.text + "\n"
    assert "left over" not in caplog.text


@pytest.mark.parametrize("source", ["p2p", "p2p/translator.safetensors", "p2p/checkpoints/step-00000002.safetensors"])
def test_another_discriminator(source: str, runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    here = begun("pix2pix", runs / source, discriminator="patch(width=6, receptive_field=16)")
    there = saved(runs / "p2p")
    equal(here, there, "generator.", "generator.")
    unlike(here, there, "adversary.")
    line = next(each for each in caplog.messages if each.startswith("init: adversary"))
    if source.startswith("p2p/t"):
        assert ": none of 7 tensors loaded" in line
        assert "not there: adversary.discriminator." in line
    else:
        # The last layer's bias has the shape of the other's.
        assert ": 1 of 7 tensors loaded" in line
        assert "of another shape or type: adversary.discriminator." in line
        assert "(4, 6, 4, 4), here (6, 6, 4, 4)" in line
    assert " and " in line


def test_a_wider_generator_takes_what_fits(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    here, there = begun("pix2pix", runs / "p2p", generator="resnet(width=6, blocks=1)"), saved(runs / "p2p")
    for name, value in here.items():
        if name in there and there[name].shape == value.shape:
            assert torch.equal(value, there[name]), name
    unlike(here, there, "generator.")
    equal(here, there, "adversary.", "adversary.")
    assert "init: generator: 1 of 16 tensors loaded" in caplog.text
    deeper = begun("pix2pix", runs / "p2p", generator="resnet(width=4, blocks=2)")
    assert torch.equal(deeper["generator.blocks.0.first.1.weight"], there["generator.blocks.0.first.1.weight"])
    assert "not there: generator.blocks.1." in caplog.text


@pytest.mark.parametrize("source", ["p2p", "p2p:generator", "p2p:forward", "p2p/translator.safetensors"])
@pytest.mark.parametrize("into", ["to_target", "forward"])
def test_a_generator_of_pix2pix_for_one_direction_of_cyclegan(source: str, into: str, runs: Path) -> None:
    here, there = begun("cyclegan", f"{into}={runs / source}"), saved(runs / "p2p")
    equal(here, there, "to_target.", "generator.")
    untouched = begun("cyclegan")
    equal(here, untouched, "to_source.", "to_source.")
    equal(here, untouched, "target_adversary.", "target_adversary.")


@pytest.mark.parametrize("into", ["to_source", "backward"])
def test_the_only_direction_of_a_source_is_meant_for_another_one(into: str, runs: Path) -> None:
    here, untouched = begun("cyclegan", f"{into}={runs / 'p2p'}"), begun("cyclegan")
    equal(here, saved(runs / "p2p"), "to_source.", "generator.")
    equal(here, untouched, "to_target.", "to_target.")


def test_several_networks_from_several_sources_and_the_named_ones_win(runs: Path) -> None:
    here = begun("cyclegan", f"to_source={runs / 'cg'}:to_target", f"to_target={runs / 'p2p'}", runs / "cg", pool=0)
    equal(here, saved(runs / "cg"), "to_source.", "to_target.")
    equal(here, saved(runs / "p2p"), "to_target.", "generator.")
    equal(here, saved(runs / "cg"), "source_adversary.", "source_adversary.")
    back = begun("pix2pix", f"generator={runs / 'cg'}:backward")
    equal(back, saved(runs / "cg"), "generator.", "to_source.")
    players = begun("pix2pix", f"discriminator={runs / 'p2p'}")
    equal(players, saved(runs / "p2p"), "adversary.discriminator.", "adversary.discriminator.")


def test_averages_are_taken_where_the_translator_is_and_it_is_told(
    runs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    trained = saved(runs / "ema")
    # Of averages a checkpoint also holds buffers that are not saved otherwise.
    averages = {
        name: value for name, value in saved(runs / "ema", "ema/forward/").items() if f"generator.{name}" in trained
    }
    for source, told in (
        (f"to_target={runs / 'ema'}", "gives the averages (EMA)"),
        (f"to_target={runs / 'ema'}/translator.safetensors", "gives the translator's weights: the averages (EMA)"),
    ):
        caplog.clear()
        equal(begun("cyclegan", source), averages, "to_target.", "")
        assert told in caplog.text
    caplog.clear()
    equal(begun("pix2pix", runs / "ema", pool=2), trained, "", "")
    assert "gives the weights that were trained, not their averages (EMA)" in caplog.text
    name = "decoder.7.weight"
    assert not torch.equal(averages[name], trained[f"generator.{name}"])


def test_an_image_pool_is_loaded_whole_or_not_at_all(runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A count that says that the pool is full would let a discriminator see images of zeros."""
    assert saved(runs / "ema")["adversary.pool.count"] == 2
    here = begun("pix2pix", runs / "ema", pool=3)
    assert here["adversary.pool.count"] == 0
    assert "adversary.pool.count (belongs to others that do not fit)" in caplog.text
    assert begun("pix2pix", runs / "ema", pool=2)["adversary.pool.count"] == 2


def test_networks_that_no_training_changes_are_not_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    digits = "demo(size=16, count=4)"
    plugin = tmp_path / "fixed_of_mine.py"
    plugin.write_text(FIXED)
    common = {"size": 16, "plugins": [str(plugin)], "log_every": 1}
    run = translate.fit("fixed", digits, output=tmp_path / "run", **common, steps=1, level=1.0)
    config = Config.from_values({"method": "fixed", "data": digits, **common, "level": 2.0})
    setup = Setup.make(config)
    load_initial_weights(setup, open_sources([str(run.folder)]))
    here = setup.method.state_dict()
    assert here["guide.weight"].unique().tolist() == [2.0]
    assert torch.equal(here["network.weight"], saved(run.folder)["network.weight"])
    assert "init: guide: not taken over, since no training changes it" in caplog.text
    assert "left over" not in caplog.text


FIXED = """
from typing import Annotated
import torch
from torch import nn
from translate import hookimpl
from translate.method import Method, Update
from translate.options import Option

class Guided(Method):
    def __init__(self, parts, *, level: Annotated[float, Option("weights of the guide")] = 1.0):
        super().__init__()
        self.network = nn.Conv2d(3, 3, 1)
        self.guide = nn.Conv2d(3, 3, 1, bias=False).requires_grad_(False)
        self.guide.weight.fill_(level)
    @property
    def players(self): return {"network": self.network}
    @property
    def translators(self): return {"forward": self.network}
    def updates(self, batch, step):
        yield Update("network", {"l": (self.network(batch["source"]) - self.guide(batch["target"])).square().mean()})

@hookimpl
def methods(): return {"fixed": Guided}
"""


# --- files ------------------------------------------------------------------------------------------------------------


def changed(source: Path, target: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> Path:
    """A file with other content, whose checksum is right."""
    tensors, metadata = checkpoint.load(source)
    change(tensors, metadata)
    text = json.dumps({"facts": metadata, "aliases": {}}, sort_keys=True)
    digest = checkpoint._checksum(tensors, text)
    header = {"format": "translate", "version": checkpoint.FORMAT, "content": text, "sha256": digest}
    save_file(tensors, target, metadata=header)
    return target


def in_type(kind: torch.dtype) -> Callable[[dict[str, Tensor], dict[str, Any]], None]:
    def change(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors.update({name: value.to(kind) for name, value in tensors.items()})

    return change


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types_of_floats_are_converted(
    kind: torch.dtype, runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", in_type(kind))
    here, there = begun("pix2pix", file), checkpoint.load(file)[0]
    name = "encoder.1.weight"
    assert here[f"generator.{name}"].dtype == torch.float32
    assert torch.equal(here[f"generator.{name}"], there[f"forward/{name}"].float())
    assert "rounded" not in caplog.text


def test_what_is_rounded_is_told_and_what_overflows_is_refused(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def finer(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors["forward/encoder.1.weight"] = tensors["forward/encoder.1.weight"].double() + 1e-12

    file = changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", finer)
    begun("pix2pix", file)
    assert "; rounded to float32: generator.encoder.1.weight" in caplog.text

    def larger(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors["forward/encoder.1.weight"] = tensors["forward/encoder.1.weight"].double() + 1e300

    with pytest.raises(TranslateError, match=r"b\.safetensors holds values in .* that float32 cannot hold"):
        begun("pix2pix", changed(file, tmp_path / "b.safetensors", larger))


def test_whole_numbers_do_not_fit_weights(runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def whole(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        tensors["forward/encoder.1.weight"] = tensors["forward/encoder.1.weight"].to(torch.int32)

    begun("pix2pix", changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", whole))
    assert "generator.encoder.1.weight (int32, here float32)" in caplog.text


def test_what_is_missing_and_left_over_is_named_and_long_lists_are_cut(
    runs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def renamed(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        for number, name in enumerate([each for each in tensors if each.endswith("bias")]):
            tensors[f"forward/old{number}"] = tensors.pop(name)

    begun("pix2pix", changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", renamed))
    told = "\n".join(caplog.messages)
    assert "generator: 8 of 16 tensors loaded" in told
    assert "not there: generator." in told
    assert " and 5 more" in told
    assert f"left over in {tmp_path / 'a.safetensors'}: forward.old0, forward.old1, forward.old2 and 5 more" in told


def test_a_run_without_a_checkpoint_or_a_config_gives_its_translator(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "p2p", tmp_path / "copied")
    shutil.rmtree(tmp_path / "copied" / "checkpoints")
    (tmp_path / "copied" / "config.json").unlink()
    equal(begun("pix2pix", tmp_path / "copied"), saved(runs / "p2p"), "generator.", "generator.")


def test_a_checkpoint_that_does_not_say_how_to_build_its_translator(runs: Path, tmp_path: Path) -> None:
    def older(_: dict[str, Tensor], metadata: dict[str, Any]) -> None:
        del metadata["translator"]

    file = changed(Run.open(runs / "p2p").checkpoints[-1], tmp_path / "old.safetensors", older)
    equal(begun("pix2pix", file), saved(runs / "p2p"), "", "")
    equal(begun("cyclegan", f"to_target={file}:generator"), saved(runs / "p2p"), "to_target.", "generator.")
    with pytest.raises(TranslateError, match="has no network of that name; choose one of its"):
        begun("cyclegan", f"to_target={file}")


def foreign(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    metadata["options"] = {}
    metadata["method"] = "nobody's"


def test_a_translator_needs_no_plugin(runs: Path, tmp_path: Path) -> None:
    file = changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", foreign)
    equal(begun("cyclegan", f"to_target={file}"), saved(runs / "p2p"), "to_target.", "generator.")


def no_facts(_: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    metadata.clear()


def wrong_facts(_: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    metadata["size"] = ["a"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (no_facts, "neither a translator nor a checkpoint"),
        (wrong_facts, "is damaged, or no file of ours"),
        (
            lambda tensors, _: tensors.clear(),
            "nothing fits, since no tensor has a name that is wanted: it holds forward",
        ),
    ],
)
def test_files_of_strangers_are_one_sentence(
    change: Callable[[dict[str, Tensor], dict[str, Any]], None], sentence: str, runs: Path, tmp_path: Path
) -> None:
    file = changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", change)
    with pytest.raises(TranslateError, match=sentence) as told:
        begun("pix2pix", file)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("content", [b"", b"\x00" * 64, b"\xff" * 64, b"{}"])
def test_what_is_no_file_of_tensors_is_one_sentence(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    for init in (str(tmp_path / "a.safetensors"), f"generator={tmp_path / 'a.safetensors'}:forward"):
        with pytest.raises(TranslateError, match=r"a\.safetensors is not a readable safetensors file"):
            begun("pix2pix", init)


@pytest.mark.parametrize(
    ("init", "sentence"),
    [
        ("{}/nowhere", "there is no file .*nowhere"),
        ("generator={}/nowhere:forward", "there is no file .*nowhere"),
        ("{}", "that folder is no run with weights"),
        ("generator={}/p2p:critic", "has no network 'critic'"),
        ("critic={}/p2p", "there is no network 'critic' here"),
        ("generator={}/cg", "has no network of that name|16 of"),
        ("adversary={}/p2p:generator", "nothing fits, since no tensor has a name"),
        ("generator=", "names no source"),
        ("x" * 5000, "there is no file|is neither a run nor a translator"),
        ("\0", "there is no file|is neither a run nor a translator"),
    ],
)
def test_what_cannot_be_loaded_is_one_sentence(init: str, sentence: str, runs: Path) -> None:
    if init == "generator={}/cg":
        # Both translate forward, so that is the one that is meant.
        equal(begun("pix2pix", init.format(runs)), saved(runs / "cg"), "generator.", "to_target.")
        return
    with pytest.raises(TranslateError, match=sentence) as told:
        begun("pix2pix", init.format(runs))
    assert "\n" not in str(told.value)


def test_nothing_that_fits_names_both_sides_and_a_way(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(TranslateError) as told:
        begun("cyclegan", runs / "p2p")
    assert "it holds adversary, generator, forward, and cyclegan has to_target, to_source" in str(told.value)
    example = str(told.value).rpartition("--init ")[2]
    equal(begun("cyclegan", example), saved(runs / "p2p"), "to_target.", "generator.")

    def one_weight(tensors: dict[str, Tensor], _: dict[str, Any]) -> None:
        for name in tensors.keys() - {"forward/encoder.1.weight"}:
            del tensors[name]

    file = changed(runs / "p2p" / "translator.safetensors", tmp_path / "a.safetensors", one_weight)
    with pytest.raises(TranslateError, match=r"no tensor has the shape that is wanted, such as generator\.encoder"):
        begun("pix2pix", file, generator="resnet(width=6, blocks=1)")


def test_one_network_or_the_whole_is_named_once(runs: Path) -> None:
    run = runs / "p2p"
    with pytest.raises(TranslateError, match="two sources for the whole method"):
        begun("pix2pix", run, run)
    with pytest.raises(TranslateError, match="the network generator twice"):
        begun("pix2pix", f"generator={run}", f"generator={run}")


# --- texts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "into", "path", "part"),
    [
        ("runs/one", None, "runs/one", None),
        ("a=runs/one", "a", "runs/one", None),
        ("a.b=runs/one:c.d", "a.b", "runs/one", "c.d"),
        ("runs/lr=0.1", None, "runs/lr=0.1", None),
        ("a=runs/lr=0.1:c", "a", "runs/lr=0.1", "c"),
        ("runs/12:30", None, "runs/12:30", None),
        ("C:\\runs\\one", None, "C:\\runs\\one", None),
        ("there=1", None, "there=1", None),
        ("there:one", None, "there:one", None),
        ("a=there:one", "a", "there:one", None),
        ("there:one:c", None, "there:one", "c"),
    ],
)
def test_texts_are_networks_and_paths(
    text: str, into: str | None, path: str, part: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there=1").mkdir()
    (tmp_path / "there:one").mkdir()
    assert Init.parse(text) == Init(Path(path), into, part)
    again = Init.parse(Init.parse(text).absolute)
    assert again == Init(tmp_path / path, into, part)


def test_a_home_folder_within_a_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Init.parse("a=~/run:b") == Init(tmp_path / "run", "a", "b")


# --- trainings --------------------------------------------------------------------------------------------------------


def test_a_training_begins_with_them_and_its_config_says_so(runs: Path, tmp_path: Path) -> None:
    more = {**SMALL, "steps": 1, "optimizer": "sgd(lr=1e-12)", "log_every": 1, "pool": 0}
    init = [f"to_target={runs / 'p2p'}", f"to_source={runs / 'cg'}:to_target"]
    made = translate.fit("cyclegan", DEMO, output=tmp_path / "run", init=init, **more)
    weights, name = saved(made.folder), "decoder.7.weight"
    for network, there in (("to_target", saved(runs / "p2p")[f"generator.{name}"]),
                           ("to_source", saved(runs / "cg")[f"to_target.{name}"])):  # fmt: skip
        assert torch.allclose(weights[f"{network}.{name}"], there, atol=1e-6)
    assert Run.open(made.folder).config.init == tuple(init)


def test_what_cannot_be_loaded_leaves_no_folder(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="nothing fits"):
        translate.fit("cyclegan", DEMO, output=tmp_path / "run", init=runs / "p2p", **SMALL, steps=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [None, [], "one"])
def test_configs_of_earlier_versions_name_one_source_or_none(value: Any, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "p2p", tmp_path / "run")
    path = tmp_path / "run" / "config.json"
    values = json.loads(path.read_text())
    values["config"]["init"] = value
    path.write_text(json.dumps(values))
    assert Run.open(tmp_path / "run").config.init == (("one",) if value else ())
