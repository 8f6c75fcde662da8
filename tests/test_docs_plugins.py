"""The pages for authors: each example is a plugin that loads and keeps the contracts, and no kind is without a page."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

import translate
from translate import images
from translate.answers import KINDS
from translate.cli import main
from translate.data import Domain
from translate.inspection import inspect
from translate.options import parse_call
from translate.parts import CatalogParts, build
from translate.plugins import discover
from translate.run import Run
from translate.testing import check_importer, check_method, check_plugin

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path for path in (DOCS / "plugins").glob("*.md") if path.stem not in ("README", "questions"))
SMALL = {
    "sketched": "sketched(generator='shallow(width=4)')", "plain": "plain(width=4)", "tiny": "tiny(width=4)",
    "halving": "halving(width=4)", "within": "within(generator='shallow(width=4)')",
}  # fmt: skip


def example(page: str, folder: Path) -> Path:
    """Write the example of a page to the file that its first line names."""
    text = (DOCS / "plugins" / f"{page}.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    name = re.match(r"# (my_\w+\.py)\n", block)
    assert name is not None, f"{page}: the first line names the file"
    (folder / name[1]).write_text(block, encoding="utf-8")
    return folder / name[1]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_example_keeps_the_contracts(page: Path, tmp_path: Path) -> None:
    file = example(page.stem, tmp_path)
    offered = discover(extra=[str(file)])
    plugin = next(each for each in offered.plugins if each.name == file.stem)
    names = {each for listed in offered.offered_by(plugin).values() for each in listed}
    # The importer's example has the name of the discriminator's.
    small = {name: text for name, text in SMALL.items() if name in names and page.stem != "importers"}
    check_plugin(file.stem, examples=small, plugins=[str(file)])


def test_every_kind_has_its_page_and_every_page_its_row() -> None:
    titles = {page.stem for page in PAGES}
    words = " ".join(titles).replace("-", "_")
    for kind in (*KINDS, "commands", "observers"):
        assert kind in words or kind == "plain_loops", f"there is no page of {kind}"
    assert "plain_loops" in (DOCS / "plugins" / "methods.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w-]+)\.md\)", (DOCS / "plugins" / "README.md").read_text(encoding="utf-8"))
    assert titles | {"questions"} == set(linked)
    for page in ("publish-a-plugin.md", "your-first-method.md"):
        assert "plugins/README.md" in (DOCS / page).read_text(encoding="utf-8")


def test_the_zipped_dataset_reads_its_images(tmp_path: Path) -> None:
    file = example("datasets", tmp_path)
    (tmp_path / "data").mkdir()
    with zipfile.ZipFile(tmp_path / "data" / "a.zip", "w") as archive:
        for value in range(3):
            path = tmp_path / "a.png"
            images.write(path, images.Image(torch.full((8, 9, 3), value, dtype=torch.uint8).numpy()))
            archive.write(path, f"{value}.png")
        archive.writestr("broken.png", b"no image")
    dataset = build(discover(extra=[str(file)]), "datasets", "zipped", root=tmp_path / "data")
    found = inspect(dataset, full=True)
    assert found.sides["train"]["source"].count == 4
    assert list(found.unreadable) == ["a.zip/broken.png"]
    listed = dataset.splits["train"]["source"]
    assert len({each.key for each in listed}) == 4
    assert [int(images.read_example(each, Domain(3)).max()) for each in listed[:3]] == [0, 1, 2]


def test_the_masks_of_the_streams_page_are_those_of_its_images(tmp_path: Path) -> None:
    file = example("streams", tmp_path)
    dataset = build(discover(extra=[str(file)]), "datasets", "discs")
    found = inspect(dataset)
    assert found.aligned == {"mask": "source"}
    assert found.sides["train"]["target"].vectors["text"].width == 3
    assert (found.exit_code, found.unlike) == (0, {})
    for image, mask in zip(dataset.splits["train"]["source"], dataset.splits["train"]["mask"], strict=True):
        pixels, inside = (images.read_example(one, Domain(planes)) for one, planes in ((image, 3), (mask, 1)))
        colour = (torch.tensor(image.extras["text"]) * 255).round()
        assert bool((torch.from_numpy(pixels)[torch.from_numpy(inside[..., 0] > 0)] == colour).all())
    run: Run = translate.fit(
        "within", "discs(count=6)", output=tmp_path / "run", size=32, steps=2, batch=2, log_every=1,
        generator="shallow(width=4)", plugins=[str(file)],
    )  # fmt: skip
    assert {"generator/l1", "head/colour"} < run.metrics[-1].keys()


def test_the_importer_rebuilds_the_generator_of_its_page(tmp_path: Path) -> None:
    files = [str(example(page, tmp_path)) for page in ("importers", "generators")]
    torch.manual_seed(0)
    theirs = {
        "in.weight": torch.randn(6, 3, 3, 3), "in.bias": torch.randn(6), "out.weight": torch.randn(2, 6, 3, 3),
        "out.bias": torch.randn(2),
    }  # fmt: skip
    check_importer("tiny", plugins=files, example=theirs)
    catalog = discover(extra=files)
    found = build(catalog, "importers", "tiny", tensors=theirs, direction="forward")
    call = parse_call(str(found.method))
    network = CatalogParts(
        catalog, source=Domain(found.inputs), target=Domain(found.outputs), size=found.size
    ).generator(call.options["generator"])
    network.load_state_dict(dict(found.tensors))


def test_the_denoiser_of_its_page_trains_a_bridge(tmp_path: Path) -> None:
    check_method("bridge(denoiser='shifted(width=4)')", plugins=[str(example("denoisers", tmp_path))])


def test_the_command_reaches_plugins_and_the_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command, method = (str(example(page, tmp_path)) for page in ("commands", "methods"))
    run: Run = translate.fit(
        "sketched", "demo(size=16, count=4)", output=tmp_path / "run", size=16, steps=1, batch=2, log_every=1,
        generator="shallow(width=4)", plugins=[method],
    )  # fmt: skip
    terms = run.metrics[-1]
    assert {"generator+head/distance", "generator+head/seen"} < terms.keys()
    assert any(name.endswith("/brightness") for name in terms)
    count = sum(each.numel() for each in translate.load(run.folder, plugins=[method]).network.parameters())

    def called(*arguments: str) -> int:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0)

    assert called("-p", command, "-p", method, "weights", str(run.folder)) == 0
    assert capsys.readouterr().out.strip() == f"{count:,}"
    # Without the method's plugin it is one sentence.
    assert called("-p", command, "weights", str(run.folder)) == 2
    assert "give it with -p" in capsys.readouterr().err


def test_own_kinds_are_built_by_their_names(tmp_path: Path) -> None:
    catalog = discover(extra=[str(example("own-kinds", tmp_path))])
    parts = CatalogParts(catalog, source=Domain(3), target=Domain(3), size=(8, 8))
    built: Any = parts.network("shifts", "learned(begin=0.5)", channels=3)
    image = torch.rand(1, 3, 8, 8)
    torch.testing.assert_close(built.inverse(built(image)), image)
    assert built in parts.networks
