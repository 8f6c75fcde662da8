"""What is given to a conversion beside its images: options, and inputs from names, files, folders and tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import taking
import torch

import translate
from translate import images
from translate.cli import cli, main
from translate.conversion import Conversion
from translate.data import Domain
from translate.errors import TranslateError
from translate.given import read_given
from translate.given.values import class_of
from translate.taken import Taken, Wanted
from translate.translator import Translator


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five images of two sizes, a mask for each, a reference, and tables."""
    root = tmp_path_factory.mktemp("given")
    generator = np.random.default_rng(0)
    for number, (height, width) in enumerate([(12, 16), (13, 17), (12, 16), (13, 17), (12, 16)]):
        name = f"{'sub/' if number % 2 else ''}{number}"
        save(root / "in" / f"{name}.png", generator.integers(100, 140, (height, width, 3), np.uint8))
        mask = np.zeros((height, width, 1), np.uint8)
        mask[:, : width // 2] = 255
        save(root / "masks" / f"{name}.png", mask)
        save(root / "references" / f"{name}.jpg", np.full((30, 20, 3), 50 * number, np.uint8))
    save(root / "white.png", np.full((9, 9, 3), 255, np.uint8))
    (root / "labels.csv").write_text("name,label\n0,night\nsub/1,2\n2.png,day\nsub/3.png,dusk\n4,1\n")
    rows = {"0": (1, 3), "sub/1": (0, 0), "2": (2, 4), "sub/3": (1, 1), "4": (5, 5)}
    (root / "text.csv").write_text("".join(f"{name},{a},{b}\n" for name, (a, b) in rows.items()))
    values = np.array(list(rows.values()), np.float32)
    np.savez(root / "text.npz", names=np.array(list(rows)), text=values)
    records = np.array(list(rows.items()), [("name", "U9"), ("value", "f4", (2,))])
    np.save(root / "text.npy", records)
    return root


@pytest.fixture(scope="module")
def file(folder: Path) -> Path:
    return taking.saved(folder / "taking.safetensors")


@pytest.fixture(scope="module")
def translator(file: Path) -> Translator:
    return translate.load(file, plugins=[taking.PLUGIN], device="cpu")


def save(path: Path, pixels: np.ndarray[Any, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    images.write(path, images.Image(pixels), quality=100)


def read(path: Path) -> np.ndarray[Any, Any]:
    return images.read(path).pixels.astype(int)


def all_of(root: Path) -> dict[str, bytes]:
    return {file.relative_to(root).as_posix(): file.read_bytes() for file in images.find(root)}


def near(found: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> bool:
    return bool(np.abs(found - wanted).max() <= 1)


LEVEL = 12.75
"""What a class adds to stored values, and a vector's mean of 1."""


def test_options_classes_and_vectors_for_all(translator: Translator, folder: Path, tmp_path: Path) -> None:
    given = {"passes": 2, "label": "night", "text": "1,3"}
    assert translate.convert(translator, folder / "in", tmp_path / "out", given=given).converted == 5
    for name in ("0.png", "sub/1.png"):
        wanted = (read(folder / "in" / name) - 127.5) / 2 + 127.5 + 3 * LEVEL
        assert near(read(tmp_path / "out" / name), wanted)


def test_each_image_has_its_own_from_folders_and_tables(translator: Translator, folder: Path, tmp_path: Path) -> None:
    given = {"mask": folder / "masks", "label": folder / "labels.csv", "reference": f"{folder}/references/"}
    assert translate.convert(translator, folder / "in", tmp_path / "out", given=given).converted == 5
    labels = {"0": 1, "sub/1": 2, "2": 0, "sub/3": 2, "4": 1}
    for name, label in labels.items():
        found, own = read(tmp_path / "out" / f"{name}.png"), read(folder / "in" / f"{name}.png")
        half = own.shape[1] // 2
        reference = 0.1 * (50 * int(name[-1]) - 127.5)
        assert near(found[:, :half], own[:, :half] + label * LEVEL + reference), name
        assert near(found[:, half:], np.full_like(own[:, half:], 128)), name


@pytest.mark.parametrize("table", ["text.csv", "text.npz", "text.npy"])
def test_vectors_come_from_tables(translator: Translator, folder: Path, tmp_path: Path, table: str) -> None:
    translate.convert(translator, folder / "in", tmp_path / "out", given={"text": folder / table})
    for name, mean in {"0": 2, "sub/1": 0, "2": 3, "sub/3": 1, "4": 5}.items():
        own = read(folder / "in" / f"{name}.png")
        assert near(read(tmp_path / "out" / f"{name}.png"), own + mean * LEVEL)


def everything(folder: Path) -> dict[str, Any]:
    return {
        "passes": 2, "shift": 0.1, "mask": str(folder / "masks"), "label": str(folder / "labels.csv"),
        "reference": str(folder / "references"), "text": str(folder / "text.csv"),
    }  # fmt: skip


def test_batches_lanes_shards_and_single_images_answer_alike(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = everything(folder)
    translate.convert(translator, folder / "in", tmp_path / "one", given=given, batch=1)
    wanted = all_of(tmp_path / "one")
    assert len(wanted) == 5
    translate.convert(translator, folder / "in", tmp_path / "eight", given=given, batch=8)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    translate.convert(translator, folder / "in", tmp_path / "lanes", given=given, workers=4)
    monkeypatch.undo()
    for part in (1, 2):
        translate.convert(translator, folder / "in", tmp_path / "shards", given=given, shard=(part, 2))
    for other in ("eight", "lanes", "shards"):
        assert all_of(tmp_path / other) == wanted, other
    single = {**given, "mask": folder / "masks" / "0.png", "reference": folder / "references" / "0.jpg"}
    single |= {"label": "night", "text": [1, 3]}
    translate.convert(translator, folder / "in" / "0.png", tmp_path / "0.png", given=single)
    assert (tmp_path / "0.png").read_bytes() == wanted["0.png"]
    translate.convert(translator, folder / "in" / "4.png", tmp_path / "4.png", given=given)
    assert (tmp_path / "4.png").read_bytes() == wanted["4.png"]
    pixels = images.read(folder / "in" / "0.png").pixels
    assert (translator(pixels, given=single) == images.read(tmp_path / "0.png").pixels).all()


def test_aligned_images_are_resized_with_their_image(translator: Translator, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png", np.full((10, 20, 3), 255, np.uint8))
    mask = np.zeros((10, 20, 1), np.uint8)
    mask[:5] = 255
    save(tmp_path / "masks" / "a.png", mask)
    for number, sizes in enumerate(({"at": (20, 10)}, {"long_side": 40}, {"scale": 0.5})):
        out = tmp_path / str(number)
        translate.convert(translator, tmp_path / "in", out, given={"mask": tmp_path / "masks"}, **sizes)  # type: ignore[arg-type]
        found = read(out / "a.png")
        middle = found.shape[0] // 2
        assert found[: middle - 1].min() > 250
        assert (found[middle + 2 :] == 128).all()


def outcome(result: Conversion) -> dict[str, str]:
    return {path.name: reason for path, reason in result.failed}


def test_a_missing_or_double_partner_fails_its_image_alone(
    translator: Translator, folder: Path, tmp_path: Path
) -> None:
    masks = tmp_path / "masks"
    shutil.copytree(folder / "masks", masks)
    (masks / "0.png").unlink()
    shutil.copy(masks / "2.png", masks / "2.tif")
    save(masks / "4.png", np.zeros((5, 5, 1), np.uint8))
    (masks / "sub" / "1.png").write_bytes(b"no image")
    result = translate.convert(translator, folder / "in", tmp_path / "out", given={"mask": masks})
    assert result.converted == 1
    reasons = outcome(result)
    assert "its mask is missing; there is no" in reasons["0.png"]
    assert "its mask is there 2 times" in reasons["2.png"]
    assert "has 16 x 12 pixels, and its mask" in reasons["4.png"]
    assert "1.png" in reasons["1.png"]
    (tmp_path / "labels.csv").write_text("0,night\n2,day\n2,dusk\nsub/1,day\n")
    result = translate.convert(translator, folder / "in", tmp_path / "two", given={"label": tmp_path / "labels.csv"})
    assert result.converted == 2
    reasons = outcome(result)
    assert "has no row '4' for label" in reasons["4.png"]
    assert "has 2 rows '2' for label" in reasons["2.png"]


def test_names_are_equal_however_their_accents_are_written(tmp_path: Path) -> None:
    """What looks the same is the same, in names of classes, of files and in tables."""
    whole, apart = "Caf\u00e9", "Cafe\u0301"
    for own, other in ((whole, apart), (apart, whole)):
        wanted = Wanted("label", "class", domain=Domain(3, labels=("day", own)))
        assert class_of(other, wanted, "it") == class_of(own, wanted, "it") == 1
        root = tmp_path / str(len(own))
        save(root / "masks" / f"{own}.png", np.full((4, 4, 1), 9, np.uint8))
        (root / "table.csv").write_text(f"{own},day\n", encoding="utf-8")
        mask = Wanted("mask", "aligned", domain=Domain(1))
        given = read_given({"mask": root / "masks"}, Taken({}, {"mask": mask}), "it")
        assert given.files_of(f"{other}.jpg")["mask"] == root / "masks" / f"{own}.png"
        table = read_given({"label": root / "table.csv"}, Taken({}, {"label": wanted}), "it")
        assert table.sources["label"].of(f"{other}.jpg", "it").value == 0
    # Other programs write paths otherwise.
    label = Wanted("label", "class", domain=Domain(3, labels=("day", "night")))
    (tmp_path / "paths.csv").write_text("./sub/a.png,day\nsub\\b.png,night\n./sub\\c,night\n")
    table = read_given({"label": tmp_path / "paths.csv"}, Taken({}, {"label": label}), "it").sources["label"]
    assert [table.of(f"sub/{name}.png", "it").value for name in "abc"] == [0, 1, 1]
    # Where both are there, each is itself.
    both = Wanted("label", "class", domain=Domain(3, labels=(whole, apart)))
    assert [class_of(each, both, "it") for each in (whole, apart)] == [0, 1]


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"lable": "night"}, "takes no 'lable'; did you mean label"),
    ({"label": "nihgt"}, "none is called 'nihgt'; did you mean night"),
    ({"passes": 101}, "passes must be a whole number >= 1 and <= 100"),
    ({"label": "nowhere.csv"}, "cannot read nowhere.csv: no such file"),
    ({"text": "bad.csv"}, "bad.csv, row 2 \\(b\\): text has 3 numbers, and 2 are needed"),
    ({"label": "bad.csv"}, "bad.csv, row 1 \\(a\\): it has 2 values, and a class is one"),
    ({"text": "torn.npz"}, "torn.npz is no table that can be read"),
    ({"text": "objects.npy"}, "objects.npy is no table that can be read \\(it holds Python objects"),
    ({"text": "0.5,nan"}, "text holds numbers that are not finite"),
    ({"text": "nan.csv"}, "nan.csv, row 2 \\(b\\): text holds numbers that are not finite"),
    ({"text": "rows.npy"}, "text has 3 rows without names, and images have names"),
    ({"text": np.zeros((2, 2))}, "text has 2 rows without names"),
    ({"mask": "empty"}, "empty holds no images for mask"),
    ({"reference": "movie.gif"}, "movie.gif has several frames, and reference is one image"),
    ({"label": "empty"}, "none is called 'empty'"),
    ({"text": Path("empty")}, "and empty is no table"),
]  # fmt: skip


@pytest.mark.parametrize(("given", "sentence"), WRONG)
def test_what_does_not_fit_is_refused_before_work(
    translator: Translator, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("a,1,2\nb,1,2,3\n")
    Path("nan.csv").write_text("filename,x,y\na,1,2\nb,1,inf\n")
    Path("torn.npz").write_bytes(b"PK\x03\x04 torn")
    np.save("objects.npy", np.array([{}, None], object), allow_pickle=True)
    np.save("rows.npy", np.zeros((3, 2)))
    Path("empty").mkdir()
    import PIL.Image

    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save("movie.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(TranslateError, match=sentence) as error:
        translate.convert(translator, folder / "in", tmp_path / "out", given=given)
    assert "\n" not in str(error.value)
    assert not list((tmp_path / "out").rglob("*.png"))


def test_what_is_given_is_part_of_how_outputs_are_made(translator: Translator, folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "masks", tmp_path / "masks")
    shutil.copy(folder / "labels.csv", tmp_path / "labels.csv")
    given = {"passes": 2, "mask": tmp_path / "masks", "label": tmp_path / "labels.csv"}

    def convert(**changed: Any) -> tuple[int, int]:
        done = translate.convert(translator, folder / "in", tmp_path / "out", given={**given, **changed})
        return done.converted, done.kept

    assert convert() == (5, 0)
    assert convert() == (0, 5)
    assert convert(passes="2", kind="keep") == (0, 5)
    assert convert(passes=3) == (5, 0)
    assert convert() == (5, 0)
    assert convert() == (0, 5)
    # Another mask of the same image, and then none.
    mask = tmp_path / "masks" / "0.png"
    save(mask, np.full((12, 16, 1), 255, np.uint8))
    assert convert() == (1, 4)
    assert near(
        read(tmp_path / "out" / "0.png")[:, 8:], (read(folder / "in" / "0.png")[:, 8:] - 127.5) / 2 + 127.5 + LEVEL
    )
    assert convert() == (0, 5)
    mask.unlink()
    assert convert() == (0, 4)
    save(mask, np.full((12, 16, 1), 255, np.uint8))
    (tmp_path / "labels.csv").write_text((folder / "labels.csv").read_text().replace("night", "dusk"))
    assert convert() == (5, 0)
    assert translate.convert(translator, folder / "in", tmp_path / "out").converted == 5
    assert translate.convert(translator, folder / "in", tmp_path / "out", given={"passes": 1}).kept == 5


def test_the_command_line_gives_options_and_inputs(
    file: Path, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: object) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(["-p", taking.PLUGIN, *map(str, arguments)])
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out + captured.err

    done = run("convert", file, folder / "in", tmp_path / "out", "--set", "passes=2", "--with", "label=night",
               "--with", f"mask={folder / 'masks'}")  # fmt: skip
    assert done[0] == 0, done[1]
    own = read(folder / "in" / "0.png")
    assert near(read(tmp_path / "out" / "0.png")[:, :8], (own[:, :8] - 127.5) / 2 + 127.5 + LEVEL)

    def refused(*arguments: object) -> str:
        code, text = run("convert", file, folder / "in", tmp_path / "no", *arguments)
        assert code == 2
        assert "Traceback" not in text
        return text

    assert "--set 'passes' is no NAME=VALUE, such as --set passes=4" in refused("--set", "passes")
    assert "--set gives passes twice" in refused("--set", "passes=1", "--set", "passes=2")
    assert "label is an input of the network; give it with --with label=VALUE" in refused("--set", "label=night")
    assert "passes is an option of the network; give it with --set passes=VALUE" in refused("--with", "passes=2")
    assert "takes no 'pases'; did you mean passes?" in refused("--set", "pases=2")
    assert "forward" in run("show", file)[1]


def test_names_are_completed_from_the_file(file: Path) -> None:
    from click.shell_completion import ShellComplete

    def completed(*typed: str) -> list[str]:
        complete = ShellComplete(cli, {}, "translate", "_TRANSLATE_COMPLETE")
        return [
            each.value
            for each in complete.get_completions(["-p", taking.PLUGIN, "convert", str(file), *typed[:-1]], typed[-1])
        ]

    assert completed("--set", "") == ["kind=", "passes=", "shift="]
    assert completed("--set", "kind=") == ["kind=keep", "kind=invert"]
    assert completed("--with", "") == ["label=", "mask=", "reference=", "text="]
    assert completed("--with", "label=d") == ["label=day", "label=dusk"]


@pytest.mark.parametrize("network", ["noisy", "drawing"])
def test_noise_depends_on_seed_name_and_number_alone(folder: Path, tmp_path: Path, network: str) -> None:
    loaded = translate.load(taking.saved(tmp_path / "it.safetensors", network), plugins=[taking.PLUGIN], device="cpu")
    before = torch.get_rng_state()
    for name, options in {"one": {"batch": 1}, "eight": {"batch": 8}, "again": {"workers": 1}}.items():
        translate.convert(loaded, folder / "in", tmp_path / name, seed=3, **options)  # type: ignore[arg-type]
        translate.convert(loaded, folder / "in", tmp_path / f"{name}-3", seed=3, samples=3, **options)  # type: ignore[arg-type]
    translate.convert(loaded, folder / "in", tmp_path / "two", seed=3, samples=2)
    translate.convert(loaded, folder / "in" / "0.png", tmp_path / "0.png", seed=3)
    translate.convert(loaded, folder / "in", tmp_path / "other", seed=4)
    one, three = all_of(tmp_path / "one"), all_of(tmp_path / "one-3")
    assert all_of(tmp_path / "eight") == all_of(tmp_path / "again") == one
    assert all_of(tmp_path / "eight-3") == all_of(tmp_path / "again-3") == three
    assert all_of(tmp_path / "two").items() < three.items()
    assert one["0.png"] == three["0-1.png"] == (tmp_path / "0.png").read_bytes()
    assert all_of(tmp_path / "other")["0.png"] != one["0.png"] != three["0-2.png"]
    assert torch.equal(torch.get_rng_state(), before)


def test_class_maps_are_taken_as_indices(tmp_path: Path) -> None:
    file = taking.saved(tmp_path / "it.safetensors", source=Domain(3, classes=3))
    loaded = translate.load(file, plugins=[taking.PLUGIN], device="cpu")
    maps = np.zeros((12, 12), np.uint8)
    maps[:, 6:] = 2
    answer = loaded(maps, given={"mask": np.full((12, 12), 255, np.uint8)})
    assert answer[0, 0].tolist() == [255, 0, 0]
    assert answer[0, 8].tolist() == [0, 0, 255]


def test_old_files_say_nothing_and_answer_as_before(file: Path, tmp_path: Path) -> None:
    from translate import checkpoint

    tensors, facts = checkpoint.load(file)
    old = {name: value for name, value in facts.items() if name != "takes"}
    checkpoint.save(tmp_path / "old.safetensors", tensors, old)
    assert translate.show(tmp_path / "old.safetensors").takes == {}
    loaded = translate.load(tmp_path / "old.safetensors", plugins=[taking.PLUGIN], device="cpu")
    x = torch.rand(1, 3, 8, 8)
    assert torch.equal(loaded.translate(x), x)
    # What its class declares is taken, as far as the file tells what it is.
    assert torch.allclose(loaded.translate(x, given={"label": 2}), x + 0.2)


def test_a_report_and_a_dry_run_know_what_is_given(translator: Translator, folder: Path, tmp_path: Path) -> None:
    given = {"mask": folder / "masks", "label": 1}
    done = translate.convert(translator, folder / "in", tmp_path / "out", given=given, dry_run=True)
    assert done.forecast is not None
    translate.convert(translator, folder / "in", tmp_path / "out", given=given, report=tmp_path / "report.json")
    assert '"label": 1' in json.dumps(json.loads((tmp_path / "report.json").read_text()))


def test_a_sampler_is_given_options_classes_and_vectors(file: Path, folder: Path, tmp_path: Path) -> None:
    def level(path: Path) -> float:
        return float(read(path).mean())

    def sample(name: str, **options: Any) -> list[float]:
        made = translate.sample(file, tmp_path / name, plugins=[taking.PLUGIN], device="cpu", **options)
        return [level(path) for path in made]

    plain = sample("plain", count=5)
    assert sample("night", count=5, given={"label": "night"}) == pytest.approx([each + LEVEL for each in plain], abs=1)
    named = sample("rows", given={"text": folder / "text.csv"})
    wanted = [each + mean * LEVEL for each, mean in zip(plain, (2, 0, 3, 1, 5), strict=True)]
    assert named == pytest.approx(wanted, abs=1)
    np.save(tmp_path / "rows.npy", np.array([[2, 2], [4, 4]], np.float32))
    assert len(sample("npy", given={"text": tmp_path / "rows.npy", "power": 2})) == 2
    with pytest.raises(TranslateError, match="text has 2 rows, and none for image 2"):
        sample("many", count=3, given={"text": tmp_path / "rows.npy"})
    with pytest.raises(TranslateError, match="takes no 'passes'; choose from power, label, text"):
        sample("no", given={"passes": 2})
    assert not (tmp_path / "no").exists()


def test_an_evaluation_gives_options_and_what_is_the_same_for_all(file: Path, folder: Path) -> None:
    def evaluate(given: dict[str, Any]) -> Any:
        return translate.evaluate(
            file, "demo(size=16, count=8)", metrics=["l1"], plugins=[taking.PLUGIN], device="cpu", given=given
        )

    plain, shifted = evaluate({}), evaluate({"shift": 1, "label": "dusk"})
    assert "given" not in plain.protocol
    assert shifted.protocol["given"] == {"shift": 1.0, "label": 2}
    assert shifted.scores["l1"] != plain.scores["l1"]
    with pytest.raises(TranslateError, match="has no row 'test-00000' for label; give it one"):
        evaluate({"label": folder / "labels.csv"})


def test_one_still_partner_holds_for_all_frames(translator: Translator, tmp_path: Path) -> None:
    import PIL.Image

    frames = [PIL.Image.new("RGB", (8, 12), (level,) * 3) for level in (140, 180)]
    (tmp_path / "in").mkdir()
    frames[0].save(tmp_path / "in" / "a.png", save_all=True, append_images=frames[1:], duration=100)
    mask = np.zeros((12, 8, 1), np.uint8)
    mask[:6] = 255
    save(tmp_path / "masks" / "a.png", mask)
    given = {"mask": tmp_path / "masks", "label": 1}
    done = translate.convert(translator, tmp_path / "in", tmp_path / "out", given=given)
    assert not done.failed
    with PIL.Image.open(tmp_path / "out" / "a.png") as made:
        assert made.n_frames == 2  # type: ignore[attr-defined]
        for number, level in enumerate((140, 180)):
            made.seek(number)
            pixels = np.asarray(made.convert("RGB")).astype(int)
            assert near(pixels[:6], np.full((6, 8, 3), level + LEVEL))
            assert near(pixels[6:], np.full((6, 8, 3), 128))
    assert translate.convert(translator, tmp_path / "in", tmp_path / "out", given=given).kept == 1
    save(tmp_path / "masks" / "a.png", 255 - mask)
    assert translate.convert(translator, tmp_path / "in", tmp_path / "out", given=given).converted == 1
    shutil.copy(tmp_path / "in" / "a.png", tmp_path / "masks" / "a.png")
    (reason,) = outcome(translate.convert(translator, tmp_path / "in", tmp_path / "out", given=given)).values()
    assert "has several frames, and mask is one image; give a still one" in reason
