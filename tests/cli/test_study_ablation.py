"""`jaxviz study ablation`, end to end on few images."""

import csv
import json
import re

import numpy as np
import pytest
from PIL import Image

from jaxviz.cli import main, study_ablation, variants
from jaxviz.cli import study_ablation_page as study_page
from jaxviz.cli.mistakes import Mistake
from jaxviz.studies import Ablated, Variant
from jaxviz.training import Epoch

OPTIONS = ["--images", "110", "--seeds", "2", "--epochs", "1"]
CHANGES = ["--variant", "drop: [3, 4, 6, 7], width: {5: 20}"]


def run(*args):
    return main(["study", "ablation", *map(str, args)])


@pytest.fixture(scope="module")
def studied(tmp_path_factory):
    out = tmp_path_factory.mktemp("ablation") / "out"
    assert run(*CHANGES, *OPTIONS, "--out", out) == 0
    return out


def test_page_tables_and_numbers(studied, capsys):
    assert sorted(path.name for path in studied.iterdir()) == [
        "checkpoints",
        "index.html",
        "learning.png",
        "numbers.json",
        "runs.csv",
        "variants.csv",
    ]
    record = json.loads((studied / "numbers.json").read_text())
    assert (record["data"], record["seeds"], record["images"] + record["test_images"]) == (
        "shapes",
        2,
        110,
    )
    names = ["all layers", "without 3, 4, 6, 7; width 5: 20"]
    assert [one["variant"] for one in record["variants"]] == names
    assert record["variants"][1]["width"] == {"5": 20}
    counts = [one["parameters"] for one in record["variants"]]
    assert counts[0] > counts[1] > 0
    with (studied / "runs.csv").open() as file:
        runs = list(csv.DictReader(file))
    assert [row["net"] for row in runs] == [name for name in names for _ in range(2)]
    for i, one in enumerate(record["variants"]):
        errors = [float(row["test error"]) for row in runs[2 * i : 2 * i + 2]]
        assert one["test_error"]["mean"] == pytest.approx(np.mean(errors))
        assert one["test_error"]["spread"] == pytest.approx(np.std(errors, ddof=1))
        assert [run["test_error"] for run in one["runs"]] == errors
    # These nets do not tell the middle layers from the top ones.
    assert record["claim"] is None
    page = (studied / "index.html").read_text()
    assert not re.search("https?:", page)
    assert page.count("<img") == page.count('alt="') == 1
    for one in record["variants"]:
        assert f"{one['parameters']:,}" in page
        mean, spread = 100 * one["test_error"]["mean"], 100 * one["test_error"]["spread"]
        assert f"{mean:.1f} ± {spread:.1f} %" in page
    assert np.asarray(Image.open(studied / "learning.png")).std() > 1

    # Again, it reads what is there.
    assert run(*CHANGES, *OPTIONS, "--out", studied) == 0
    assert json.loads((studied / "numbers.json").read_text()) == record
    said = capsys.readouterr()
    assert (said.err, said.out.count("\n")) == ("", 1)
    # Other images do not belong to these nets.
    assert run(*CHANGES, *OPTIONS, "--images", "120", "--out", studied) == 2
    assert "holds a study with other --data, --images" in capsys.readouterr().err


def test_the_claim_is_on_the_page_and_in_the_numbers():
    line = Epoch(1, 8, 1.0, 0.5, 0.5, 1.0)
    found = [
        Ablated(variant, 9, [[line]] * 2, [np.arange(9) < 3] * 2, [np.arange(900) < error] * 2)
        for variant, error in [
            (Variant(drop=(3, 4)), 100),
            (Variant(drop=(6, 7)), 100),
            (Variant(drop=(3, 4, 6, 7)), 500),
        ]
    ]
    facts = {"data": "shapes", "images": 9, "test_images": 900, "skipped": 2, "seeds": 2}
    facts |= {"epochs": 1, "batch": 9, "settings": "adamw"}
    page = study_page.page(found, facts, footer="")
    assert [section.title for section in page.sections][1] == "Middle and top layers"
    assert "2 that cannot be used are left out" in dict(page.facts)["Images"]
    numbers = study_ablation._numbers(found, facts)
    assert numbers["claim"]["verdict"] == "supported"
    assert len(numbers["claim"]["comparisons"]) == 2


def test_images_that_cannot_be_used_are_left_out_and_listed(tmp_path):
    for kind in ("cat", "dog"):
        (tmp_path / kind).mkdir()
        for i in range(6):
            Image.new("RGB", (9, 9), (40 * i, 0, 0)).save(tmp_path / kind / f"{i}.png")
    (tmp_path / "dog" / "3.png").write_text("not a picture")
    found = study_ablation._images(str(tmp_path), 100, False)
    assert [name for name, _ in found.skipped] == [str(tmp_path / "dog" / "3.png")]
    assert len(found.learned) + len(found.test) == 11
    assert not set(found.learned.names) & set(found.test.names)
    with pytest.raises(Mistake, match=r"3\.png is not an image"):
        study_ablation._images(str(tmp_path), 100, True)


def test_digits_of_other_hands_are_for_the_test():
    found = study_ablation._images("digits", 90, False)
    assert (len(found.learned), len(found.test)) == (60, 30)
    assert max(found.learned.names) < "digits-1437" <= min(found.test.names)


@pytest.mark.parametrize(
    ("text", "variant"),
    [
        ("drop: [3, 4]", Variant((3, 4))),
        ("drop: 7", Variant((7,))),
        ("{drop: [4, 3], width: {6: 2048}}", Variant((3, 4), ((6, 2048),))),
        ("width: {7: 1, 6: 2}", Variant((), ((6, 2), (7, 1)))),
        (" all ", Variant()),
    ],
)
def test_the_language(text, variant):
    assert variants.parsed(text) == variant


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("drop: [3, 4", "must be like"),
        ("dorp: [3]", "must be like"),
        ("", "must be like"),
        ("drop: [x]", "with whole numbers"),
        ("drop: [true]", "with whole numbers"),
        ("drop: [3], drop: [4]", "must be like"),
        ("width: {6: 1, 6: 2}", "must be like"),
        ("drop: 2020-99-99", "must be like"),
        ("width: [6, 7]", "with whole numbers"),
        ("width: {6: 0.5}", "with whole numbers"),
        ("drop: [9]", "changes layers 1 to 7, and 9 is none"),
        ("drop: [3], width: {3: 4}", "layer 3 twice here"),
        ("width: {3: -4}", "at least 1, and 3 would have -4"),
    ],
)
def test_what_the_language_does_not_say(text, words):
    with pytest.raises(Mistake, match=words):
        variants.parsed(text)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--variant", "drop: [9]"], "--variant 'drop: [9]': a variant changes"),
        (["--variant", "all"], "each --variant must be another one"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--images", "30"], "--images must leave a batch of 64"),
        (["--data", "shapes:30"], "--data must leave a batch of 64 to learn from, not 20"),
        (["--data", "nowhere"], "There is no folder of images nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(options, words, tmp_path, capsys):
    assert run(*options, "--out", tmp_path / "out") == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert words in said.err
    assert list(tmp_path.iterdir()) == []
