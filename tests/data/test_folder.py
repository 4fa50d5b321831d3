"""Folders of labelled images, sound and damaged, written here."""

import numpy as np
import pytest
from PIL import Image

from jaxviz.data import image_folder, load_image


def write(path, shade=100, size=(6, 4)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (shade, 0, 255 - shade)).save(path)
    return path


@pytest.fixture
def zoo(tmp_path):
    """Two classes, with three and two images, and a damaged one in each."""
    for i, name in enumerate(["b.png", "a.JPG", "c.webp"]):
        write(tmp_path / "cat" / name, shade=20 * i)
    for i, name in enumerate(["x.png", "y.png"]):
        write(tmp_path / "Dog" / name, shade=100 + 20 * i, size=(3, 8))
    whole = write(tmp_path / "cat" / "aa.png", size=(50, 50)).read_bytes()
    (tmp_path / "cat" / "aa.png").write_bytes(whole[: len(whole) - 40])
    (tmp_path / "Dog" / "text.png").write_text("not a picture")
    return tmp_path


def test_images_labels_and_categories(zoo):
    folder = image_folder(zoo)
    assert folder.categories == ("Dog", "cat")
    assert len(folder) == 5
    assert [path.name for path in folder.paths] == ["x.png", "y.png", "a.JPG", "b.png", "c.webp"]
    assert folder.labels.tolist() == [0, 0, 1, 1, 1]
    for i, path in enumerate(folder.paths):
        image, label = folder[i]
        np.testing.assert_array_equal(image, load_image(path))
        assert (image.dtype, label) == (np.float32, folder.labels[i])
    assert folder[-1][1] == 1
    with pytest.raises(IndexError):
        folder[5]
    assert len(list(folder)) == 5


def test_damaged_files_are_listed_with_the_reason(zoo):
    skipped = image_folder(zoo).skipped
    assert [one.path.name for one in skipped] == ["text.png", "aa.png"]
    assert "not an image" in skipped[0].reason
    assert "aa.png cannot be decoded" in skipped[1].reason


def test_strict_raises_at_the_first_damaged_file(zoo):
    with pytest.raises(ValueError, match=r"text\.png is not an image"):
        image_folder(zoo, strict=True)


def test_the_first_sound_images_of_each_class(zoo):
    folder = image_folder(zoo, per_class=2)
    assert [path.name for path in folder.paths] == ["x.png", "y.png", "a.JPG", "b.png"]
    # aa.png comes between the two that were wanted, and text.png before the first.
    assert [one.path.name for one in folder.skipped] == ["text.png", "aa.png"]
    # A class with fewer images gives what it has.
    assert image_folder(zoo, per_class=50).labels.tolist() == [0, 0, 1, 1, 1]


def test_only_as_many_files_are_read_as_are_wanted(tmp_path, monkeypatch):
    for i in range(40):
        write(tmp_path / "many" / f"{i:02d}.png")
    read = []
    monkeypatch.setattr("jaxviz.data.folder.load_image", lambda path: read.append(path))
    assert len(image_folder(tmp_path, per_class=3)) == 3
    assert len(read) < 20


def test_unchecked_every_file_is_an_image_until_it_is_read(zoo, monkeypatch):
    (zoo / "cat" / "link.png").symlink_to("nowhere.png")
    (zoo / "cat" / "folder.png").mkdir()
    with monkeypatch.context() as closed:
        closed.setattr("jaxviz.data.folder.load_image", None)
        folder = image_folder(zoo, check=False)
        assert [*image_folder(zoo, check=False, per_class=1).names] == ["Dog/text.png", "cat/a.JPG"]
    assert folder.skipped == ()
    assert [*folder.names] == [
        *("Dog/text.png", "Dog/x.png", "Dog/y.png"),
        *("cat/a.JPG", "cat/aa.png", "cat/b.png", "cat/c.webp", "cat/link.png"),
    ]
    assert folder.labels.tolist() == [0] * 3 + [1] * 5
    sound = image_folder(zoo)
    np.testing.assert_array_equal(folder[5][0], sound[sound.names.index("cat/b.png")][0])
    for broken in (0, 4):
        with pytest.raises(ValueError, match=r"is not an image|cannot be decoded"):
            folder[broken]
    with pytest.raises(FileNotFoundError):
        folder[7]


def test_what_is_not_looked_at(zoo):
    write(zoo / "loose.png")
    write(zoo / "cat" / "deeper" / "d.png")
    write(zoo / ".hidden" / "d.png")
    write(zoo / "cat" / ".thumbnail.png")
    (zoo / "cat" / "notes.txt").write_text("names of the cats")
    (zoo / "cat" / "folder.png").mkdir()
    assert len(image_folder(zoo, per_class=9)) == 5
    assert len(image_folder(zoo).skipped) == 2


def test_a_class_without_images_keeps_its_number(zoo):
    (zoo / "bee").mkdir()
    folder = image_folder(zoo)
    assert folder.categories == ("Dog", "bee", "cat")
    assert folder.labels.tolist() == [0, 0, 2, 2, 2]


def test_folders_that_hold_nothing_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        image_folder(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"a\.png is a file"):
        image_folder(write(tmp_path / "a.png"))
    with pytest.raises(ValueError, match="a folder of images for each class, and holds none"):
        image_folder(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"no image that can be used$"):
        image_folder(tmp_path)
    (tmp_path / "empty" / "a.png").write_text("")
    with pytest.raises(ValueError, match=r"1 cannot be used, the first: .*a\.png"):
        image_folder(tmp_path)
    with pytest.raises(ValueError, match="per_class must be at least 1, got 0"):
        image_folder(tmp_path, per_class=0)
