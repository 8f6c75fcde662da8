"""Labels: of arrays, class folders and tables; what is kept, what is shared, and what is wrong is told."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from translate import images, inspection
from translate.data import Dataset, Domain, Example
from translate.errors import TranslateError
from translate.images import Image
from translate.options import check_options, options_of, parse_call
from translate_datasets import recognize
from translate_datasets.arrays import arrays
from translate_datasets.classes import classes
from translate_datasets.demo import demo
from translate_datasets.folders import folders
from translate_datasets.labels import class_names, keep, read_table
from translate_datasets.unpaired import unpaired

DIGITS = Path(__file__).parents[2] / "../shared/data/labelled"


def noise(count: int, side: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(count).integers(0, 256, (count, side, side), np.uint8)


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        images.write(root / name, Image(noise(1)[0][..., None]))


def labels(dataset: Dataset, split: str = "train", side: str = "source") -> dict[str, str]:
    """The label of each image in words; none for those without."""
    words = dataset.domains[side].labels
    return {each.name: words[each.label] if each.label >= 0 else "-" for each in dataset.splits[split][side]}


def count(dataset: Dataset, split: str = "train", side: str = "source") -> Counter[int]:
    return Counter(example.label for example in dataset.splits[split][side])


# --- arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("x_train", "y_train"),
        ("X_train", "y_train"),
        ("train_images", "train_labels"),
        ("x", "y"),
        ("images", "labels"),
    ],
)
def test_one_array_with_labels_is_data_of_one_domain(tmp_path: Path, one: str, other: str) -> None:
    path = tmp_path / "some.npz"
    numbers = np.array([0, 2, 1, -1, 2])
    given_arrays: dict[str, Any] = {one: noise(5), other: numbers}
    np.savez(path, **given_arrays)
    assert recognize(path) == recognize(tmp_path) == ["arrays"]
    dataset = arrays(path)
    assert set(dataset.domains) == set(dataset.splits["train"]) == {"source"}
    assert dataset.domains["source"] == Domain(channels=1, labels=("0", "1", "2"))
    assert [example.label for example in dataset.splits["train"]["source"]] == numbers.tolist()
    assert not dataset.paired
    assert dataset.problems == ()
    call = parse_call(dataset.layout)
    again = arrays(path, **check_options(call.options, options_of(arrays), "arrays"))
    assert labels(again) == labels(dataset)


def test_labels_stay_with_their_rows_in_every_split(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    train, test = np.arange(20) % 3, np.arange(4)[:, None]
    np.savez(path, x_train=noise(20), y_train=train, x_test=noise(4), y_test=test.astype(np.uint8))
    dataset = arrays(path)
    assert dataset.domains["source"].labels == ("0", "1", "2", "3")
    rows = [*dataset.splits["train"]["source"], *dataset.splits["val"]["source"]]
    assert {row.name: row.label for row in rows} == {f"{row:06d}": row % 3 for row in range(20)}
    assert len(dataset.splits["val"]["source"]) == 2
    assert [example.label for example in dataset.splits["test"]["source"]] == [0, 1, 2, 3]


def test_two_labelled_files_are_two_domains_in_either_direction(tmp_path: Path) -> None:
    for name, rows in (("a", 6), ("b", 4)):
        np.savez(tmp_path / f"{name}.npz", x_train=noise(rows), y_train=np.arange(rows))
    calls = recognize(tmp_path)
    assert calls == ["arrays(source='a.npz:x', target='b.npz:x')", "arrays(source='b.npz:x', target='a.npz:x')"]
    dataset = arrays(tmp_path, source="a.npz:x", target="b.npz:x")
    assert not dataset.paired
    assert dataset.domains["source"].labels == dataset.domains["target"].labels == tuple("012345")
    with pytest.raises(TranslateError, match="name two as arrays"):
        arrays(tmp_path)
    np.savez(tmp_path / "c.npz", x_train=noise(3), y_train=np.arange(3))
    assert recognize(tmp_path) == []


def test_rows_of_other_classes_are_no_pairs(tmp_path: Path) -> None:
    same, other = np.array([0, 1, 2]), np.array([0, 2, 1])
    np.savez(tmp_path / "a.npz", source=noise(3), target=noise(3), source_label=same, target_labels=other)
    assert not arrays(tmp_path / "a.npz").paired
    np.savez(tmp_path / "b.npz", source=noise(3), target=noise(3), source_label=same, target_labels=same)
    assert arrays(tmp_path / "b.npz").paired
    np.savez(tmp_path / "c.npz", A=noise(3), B=noise(3), A_label=same)
    one = arrays(tmp_path / "c.npz")
    assert one.paired
    assert (one.domains["source"].labels, one.domains["target"].labels) == (("0", "1", "2"), ())


def test_labels_that_do_not_fit_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(
        path,
        source=noise(4),
        short=np.arange(3),
        low=np.array([0, 1, -2, 0]),
        high=np.array([0, 1, 20_000, 0]),
        real=np.ones(4),
        source_label=noise(4),
    )
    assert arrays(path, source="source").domains["source"].labels == ()  # a guess that does not fit is no label
    for name, words in (("short", "3 labels in train, but there are 4"), ("low", "from -2 to 1"), ("high", "20000")):
        dataset = arrays(path, source="source", source_labels=name)
        assert any(words in problem for problem in dataset.problems), dataset.problems
        assert count(dataset) == {-1: 4}
    with pytest.raises(TranslateError, match="'real' in .* is float64 .*whole numbers"):
        arrays(path, source="source", source_labels="real")
    with pytest.raises(TranslateError, match="no array 'shord' in .*did you mean short"):
        arrays(path, source="source", source_labels="shord")
    with pytest.raises(TranslateError, match="needs a target"):
        arrays(path, source="source", target_labels="short")
    with pytest.raises(TranslateError, match="the source's name"):
        arrays(path, target="source")


# --- class folders --------------------------------------------------------------------------------------------------


def test_class_folders(tmp_path: Path) -> None:
    for split, rows in (("train", "abc"), ("test", "d")):
        fill(tmp_path, *(f"{split}/{name}/{row}.png" for name in ("10", "2", "9") for row in rows))
    assert recognize(tmp_path) == ["classes"]
    dataset = classes(tmp_path)
    assert dataset.domains["source"] == Domain(channels=1, labels=("2", "9", "10"), alpha="white")
    assert labels(dataset, "test") == {"10/d": "10", "2/d": "2", "9/d": "9"}
    assert count(dataset) == {0: 3, 1: 3, 2: 3}
    assert set(dataset.splits) == {"train", "test"}
    assert "target" not in dataset.domains
    assert dataset.problems == ()
    fill(tmp_path, "train/loose.png")
    assert labels(classes(tmp_path))["loose"] == "-"
    assert recognize(tmp_path) == []


def test_class_folders_without_splits(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{name}/{row}.png" for name in "ABC" for row in range(5)))
    assert recognize(tmp_path) == ["classes"]  # and not the domains A and B
    dataset = classes(tmp_path, holdout=0.2)
    assert (len(dataset.splits["train"]["source"]), len(dataset.splits["val"]["source"])) == (12, 3)
    assert all(name[0] == word for split in dataset.splits for name, word in labels(dataset, split).items())
    assert len(classes(tmp_path, holdout=0).splits["train"]["source"]) == 15


def test_mistaken_roots_of_class_folders(tmp_path: Path) -> None:
    with pytest.raises(TranslateError, match="there is no folder"):
        classes(tmp_path / "none")
    assert any("no training images" in problem for problem in classes(tmp_path).problems)


def test_class_folders_in_two_domains(tmp_path: Path) -> None:
    fill(tmp_path, "trainA/cat/1.png", "trainA/dog/2.png", "trainA/3.png")
    fill(tmp_path, "trainB/dog/x.png", "trainB/fox/y.png")
    dataset = unpaired(tmp_path)
    assert dataset.domains["source"].labels == dataset.domains["target"].labels == ("cat", "dog", "fox")
    assert labels(dataset) == {"cat/1": "cat", "dog/2": "dog", "3": "-"}
    assert labels(dataset, side="target") == {"dog/x": "dog", "fox/y": "fox"}
    assert recognize(tmp_path) == ["unpaired"]


def test_domains_without_a_class_in_common_keep_their_own(tmp_path: Path) -> None:
    fill(tmp_path, "trainA/cat/1.png", "trainB/oak/x.png")
    dataset = unpaired(tmp_path)
    assert (dataset.domains["source"].labels, dataset.domains["target"].labels) == (("cat",), ("oak",))


# --- tables ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "a.png,cat\nb.png,dog\n",
        "file,label\na.png,cat\nb.png,dog",
        "\ufeffLabel,Weight,Filename\ncat,3,a.png\ndog,1,b.png\n",
        "file;label\n\na.png; cat \n./b.png;dog\n\n",
        'image\tclass\n"a.png"\tcat\nb.png\tdog\n',
    ],
)
def test_tables_with_and_without_header(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.csv").write_text(text, encoding="utf-8")
    assert read_table(tmp_path / "t.csv") == {"a.png": "cat", "b.png": "dog"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a.png,cat\nb.png\n", "row 2 of .* has no file or no label"),
        (b"a.png,cat\n,dog\n", "row 2 of .* has no file"),
        (b"a.png,cat\n\na.png,dog\n", "row 3 of .* gives a.png another label"),
        (b"\xff\xfe\x00", "no table of text"),
        (b'"' + b"a" * 140_000 + b'",cat', "no table of text"),
    ],
)
def test_damaged_tables_are_told(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(TranslateError, match=words):
        read_table(tmp_path / "t.csv")
    with pytest.raises(TranslateError, match="cannot read the labels"):
        read_table(tmp_path / "none.csv")


cells = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12).map(str.strip).filter(bool)


@given(
    rows=st.dictionaries(
        cells.map(lambda name: "f" + name.replace("\\", "/")), cells.filter(lambda text: text != "-1"), max_size=12
    ),
    header=st.booleans(),
    divider=st.sampled_from(",;\t"),
)
@settings(max_examples=150, deadline=None)
def test_what_a_csv_writer_writes_is_read(
    tmp_path_factory: pytest.TempPathFactory, rows: dict[str, str], header: bool, divider: str
) -> None:
    # Without a header the first row tells the divider, so its text may hold none of the others.
    assume(header or not any(mark in cell for cell in next(iter(rows.items()), ()) for mark in ",;\t"))
    path = tmp_path_factory.getbasetemp() / "written.csv"
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, delimiter=divider)
        writer.writerows([("file", "label")] * header)
        writer.writerows(rows.items())
    assert read_table(path) == rows


@given(st.binary(max_size=60))
@settings(max_examples=150, deadline=None)
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.csv"
    path.write_bytes(content)
    try:
        found = read_table(path)
    except TranslateError as error:
        assert str(path) in str(error)
    else:
        assert all(file == file.strip() != "" for file in found)


@given(st.lists(st.one_of(st.integers(-5, 2000).map(str), st.sampled_from(["a", "nan", "inf", "1.5"])), max_size=12))
def test_class_names_are_sorted_and_different(texts: list[str]) -> None:
    found = class_names(texts)
    assert set(found) == set(texts)
    assert len(found) == len(set(texts))
    assert found == class_names(reversed(texts))
    if not {"a", "nan", "inf"} & set(texts):
        assert [float(name) for name in found] == sorted(map(float, found))


def test_a_table_beside_pairs_labels_both(tmp_path: Path) -> None:
    fill(
        tmp_path,
        *(f"train/{side}/{row}.png" for side in ("A", "B") for row in range(3)),
        "test/A/0.png",
        "test/B/0.png",
    )
    (tmp_path / "labels.csv").write_text("train/A/0.png,cat\n1.png,dog\n2,cat\n9.png,cat\n0.png,fox\n")
    dataset = folders(tmp_path)
    assert dataset.domains["source"].labels == dataset.domains["target"].labels == ("cat", "dog")
    assert labels(dataset) == {"0": "cat", "1": "dog", "2": "cat"}
    assert labels(dataset, side="target") == {"0": "-", "1": "dog", "2": "cat"}
    assert labels(dataset, "test") == {"0": "-"}
    missing, unclear = dataset.problems
    assert "1 file (9.png) not in the data" in missing
    assert "1 file (0.png) that the data has more than once" in unclear


def test_a_table_in_each_domain(tmp_path: Path) -> None:
    fill(tmp_path, "trainA/1.png", "trainA/old/2.png", "trainB/1.png", "testA/1.png")
    (tmp_path / "trainA/labels.csv").write_text("1.png,sun\nold/2.png,-1\n")
    (tmp_path / "trainB/labels.csv").write_text("1.png,rain\n")
    dataset = unpaired(tmp_path)
    assert labels(dataset) == {"1": "sun", "old/2": "-"}  # a table, so the folder says nothing
    assert labels(dataset, side="target") == {"1": "rain"}
    assert labels(dataset, "test") == {"1": "-"}
    assert dataset.problems == ()


def test_a_table_of_another_name(tmp_path: Path) -> None:
    fill(tmp_path, "a/1.png", "b/2.png", "c/3.png")
    (tmp_path / "mine.csv").write_text("1.png,x\nb/2.png,y\n")
    for table in (Path("mine.csv"), tmp_path / "mine.csv"):
        dataset = classes(tmp_path, labels=table)
        assert labels(dataset) == {"a/1": "x", "b/2": "y", "c/3": "-"}
        assert "mine.csv" in dataset.layout
    with pytest.raises(TranslateError, match="cannot read the labels"):
        classes(tmp_path, labels=Path("none.csv"))


def test_a_table_makes_a_folder_one_domain(tmp_path: Path) -> None:
    fill(tmp_path, "1.png", "2.png")
    assert recognize(tmp_path) == []
    (tmp_path / "labels.csv").write_text("1.png,x\n2.png,y\n")
    assert recognize(tmp_path) == ["classes"]
    assert labels(classes(tmp_path)) == {"1": "x", "2": "y"}


# --- how many are kept ----------------------------------------------------------------------------------------------


@given(
    numbers=st.lists(st.integers(-1, 3), max_size=40),
    per_class=st.integers(0, 5),
    seed=st.integers(0, 3),
)
def test_kept_labels(numbers: list[int], per_class: int, seed: int) -> None:
    listed = [Example(lambda: np.zeros((1, 1)), str(row), label=number) for row, number in enumerate(numbers)]
    kept = keep(listed, per_class, seed)
    assert [each.name for each in kept] == [each.name for each in listed]
    assert all(after.label in (before.label, -1) for before, after in zip(listed, kept, strict=True))
    expected = {number: min(per_class, numbers.count(number)) for number in set(numbers) if number >= 0}
    found = Counter(each.label for each in kept if each.label >= 0)
    assert {number: found[number] for number in expected} == expected
    more = keep(listed, per_class + 1, seed)
    assert all(one.label in (two.label, -1) for one, two in zip(kept, more, strict=True))


def test_few_labels_on_every_layout(tmp_path: Path) -> None:
    fill(
        tmp_path / "c",
        *(f"{split}/{name}/{row}.png" for split in ("train", "test") for name in "ab" for row in range(6)),
    )
    found = classes(tmp_path / "c", labels_per_class=2)
    assert count(found) == {0: 2, 1: 2, -1: 8}
    assert count(found, "test") == {0: 6, 1: 6}
    assert found.domains["source"].labels == ("a", "b")
    other = classes(tmp_path / "c", labels_per_class=2, label_seed=1)
    assert labels(other) != labels(found)
    assert "labels_per_class=2, label_seed=1" in other.layout
    np.savez(tmp_path / "x.npz", x_train=noise(30), y_train=np.arange(30) % 3)
    assert count(arrays(tmp_path / "x.npz", labels_per_class=4))[0] == 4
    fill(tmp_path / "u", *(f"train{side}/{name}/{row}.png" for side in "AB" for name in "pq" for row in range(3)))
    two = unpaired(tmp_path / "u", labels_per_class=1)
    assert count(two) == count(two, side="target") == {0: 1, 1: 1, -1: 4}


def test_the_demonstration_has_the_time_of_day() -> None:
    dataset = demo(size=32, count=30)
    assert dataset.domains["source"].labels == dataset.domains["target"].labels == ("day", "sunset", "night")
    assert set(count(dataset)) == {0, 1, 2}
    for source, target in zip(dataset.splits["train"]["source"], dataset.splits["train"]["target"], strict=True):
        assert source.label == target.label
        flat = images.read_example(source, Domain(channels=3))
        assert (source.label == 2) == bool((flat == (226, 226, 240)).all(2).any())  # a moon
        suns = np.argwhere((flat == (255, 214, 10)).all(2))
        if source.label == 1:
            assert not len(suns) or suns[:, 0].max() / 32 > 0.27
    few = demo(size=16, count=40, labels_per_class=2)
    assert count(few) == count(few, side="target") == {0: 2, 1: 2, 2: 2, -1: 34}
    assert set(count(few, "val")) == {0, 1, 2}


def test_an_exported_data_set_keeps_its_labels(tmp_path: Path) -> None:
    dataset = demo(size=16, count=10, labels_per_class=1)
    inspection.export(dataset, tmp_path)
    again = folders(tmp_path)
    assert again.problems == ()
    for split in dataset.splits:
        for side in ("source", "target"):
            assert labels(again, split, side) == labels(dataset, split, side)


# --- real digits ----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(not DIGITS.is_dir(), reason="the digits are not here")
def test_real_digits() -> None:
    usps = arrays(DIGITS / "usps/usps.npz")
    assert recognize(DIGITS / "usps/usps.npz") == ["arrays"]
    told = [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]  # by those who made the set
    assert [count(usps, "test")[number] for number in range(10)] == told
    whole = count(usps) + count(usps, "val")
    assert [whole[number] for number in range(10)] == [1194, 1005, 731, 658, 652, 556, 664, 645, 542, 644]
    assert usps.domains == {"source": Domain(channels=1, labels=tuple("0123456789"))}
    assert len(recognize(DIGITS)) == 2
    both = arrays(DIGITS, source="usps/usps.npz:x", target="mnist/mnist.npz:x", labels_per_class=10)
    assert not both.paired
    assert both.problems == ()
    assert count(both, side="target") == {-1: 53_900, **dict.fromkeys(range(10), 10)}
    assert sum(count(both, "test", "target").values()) == 3000
