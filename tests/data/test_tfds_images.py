"""Sets prepared by TensorFlow Datasets, written here, without TensorFlow."""

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

tfds = pytest.importorskip("tensorflow_datasets", reason="needs the extra `data`")

from jaxviz.data import batches, open_images, tfds_images  # noqa: E402


def pixels(i, channels=3):
    return np.random.default_rng(i).integers(0, 256, (6, 5, channels), np.uint8)


def png(array):
    """A file of it; TFDS itself would encode an array with TensorFlow."""
    file = io.BytesIO()
    Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array).save(file, "PNG")
    return io.BytesIO(file.getvalue())


def write(
    root,
    *,
    channels=3,
    label="label",
    file_format="array_record",
    version="1.0.0",
    label_of=lambda i: i % 3,
):
    """A set `zoo` of 7 training and 3 test images, prepared as TFDS prepares one."""
    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, channels), encoding_format="png"),
            label: tfds.features.ClassLabel(names=["cat", "dog", "emu"]),
        }
    )

    class Zoo(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(version)
        name = "zoo"
        pkg_dir_path = root

        def _info(self):
            return tfds.core.DatasetInfo(builder=self, features=features)

        def _split_generators(self, manager):
            return {"train": self._generate_examples(0, 7), "test": self._generate_examples(7, 10)}

        def _generate_examples(self, start, stop):
            for i in range(start, stop):
                yield i, {"image": png(pixels(i, channels)), label: label_of(i)}

    Zoo(data_dir=root, file_format=file_format).download_and_prepare()
    return root


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    return write(tmp_path_factory.mktemp("tfds"))


def test_images_labels_and_names(prepared):
    images = tfds_images("zoo", data_dir=prepared)
    assert images.categories == ("cat", "dog", "emu")
    assert len(images) == 7
    # TFDS keeps the records in an order of its own: each original is there once.
    originals = [pixels(i).astype(np.float32) / 255 for i in range(7)]
    found = []
    for index in range(len(images)):
        image, label = images[index]
        (i,) = [i for i, original in enumerate(originals) if np.array_equal(image, original)]
        assert (image.dtype, label, images.labels[index]) == (np.float32, i % 3, i % 3)
        found.append(i)
    assert sorted(found) == list(range(7))
    assert images.names[2] == "zoo/1.0.0/train/0000002"
    images = tfds_images("zoo", split="train[2:4]+test[-1:]", data_dir=prepared)
    assert images.names == [
        f"zoo/1.0.0/{one}" for one in ("train/0000002", "train/0000003", "test/0000002")
    ]
    for split, start, offset in (("train", 2, 0), ("train", 3, 1), ("test", 2, 2)):
        whole = tfds_images("zoo", split=split, data_dir=prepared)
        np.testing.assert_array_equal(images[offset][0], whole[start][0])
    images = tfds_images("zoo", data_dir=prepared)
    assert images.skipped == ()
    with pytest.raises(IndexError):
        images[7]


def test_as_tfds_decodes(prepared):
    builder = tfds.builder_from_directory(prepared / "zoo" / "1.0.0")
    theirs = builder.as_data_source(split="test")
    ours = tfds_images("zoo", split="test", data_dir=prepared)
    for index in range(3):
        np.testing.assert_array_equal(np.round(ours[index][0] * 255), theirs[index]["image"])


def test_parts_and_names_on_the_command_line(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    assert len(open_images("tfds:zoo")) == 7
    assert len(open_images("tfds:zoo:test")) == 3
    assert len(open_images("tfds:zoo:train[:50%]")) == 4
    assert len(open_images("tfds:zoo:1.0.0:train+test")) == 10
    assert open_images("tfds:zoo:1.0.0").split == "train"


def test_tensorflow_is_not_imported_where_it_is_installed(prepared, tmp_path):
    (tmp_path / "tensorflow").mkdir()
    (tmp_path / "tensorflow" / "__init__.py").write_text("raise AssertionError('imported')")
    program = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from jaxviz.data import tfds_images
images = tfds_images("zoo", data_dir={str(prepared)!r})
print(images[0][0].shape, len(images.labels), "tensorflow" in sys.modules)
import tensorflow
"""
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert said.stdout == "(6, 5, 3) 7 False\n"
    # It is there, and would have said so; nothing else is said.
    assert said.stderr.endswith("AssertionError: imported\n")
    assert said.stderr.startswith("Traceback")


def test_grey_images_and_the_newest_version(tmp_path):
    write(tmp_path, channels=1)
    write(tmp_path, version="1.10.0")
    write(tmp_path, version="1.9.0")
    assert tfds_images("zoo", data_dir=tmp_path).name == "zoo/1.10.0"
    image, label = tfds_images("zoo:1.0.0", split="test", data_dir=tmp_path)[1]
    assert image.shape == (6, 5, 3)
    assert (image[..., 0] == image[..., 2]).all()
    assert any(
        np.array_equal(image[..., :1], pixels(i, 1).astype(np.float32) / 255) and label == i % 3
        for i in range(7, 10)
    )


def test_damaged_records_are_told_when_they_are_read(tmp_path):
    write(tmp_path)
    (file,) = (tmp_path / "zoo" / "1.0.0").glob("*-train.array_record-*")
    content = bytearray(file.read_bytes())
    content[300:340] = bytes(40)
    file.write_bytes(content)
    images = tfds_images("zoo", data_dir=tmp_path)
    broken = np.flatnonzero(images.labels < 0).tolist()
    assert 0 < len(broken) < 7
    faults = []
    (batch,) = batches(images, 7, prepare=lambda x: x, on_fault=lambda i, _: faults.append(i))
    assert faults == broken
    np.testing.assert_array_equal(batch.label, images.labels)
    with pytest.raises(ValueError, match=r"zoo/1\.0\.0/train/\d+: the record cannot be read"):
        list(batches(images, 7, prepare=lambda x: x))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"label": "kind"}, "must have a feature `image`, an image, and `label`, a class; it has"),
        ({"file_format": "parquet"}, "is kept as parquet, and can be read at random as array_rec"),
    ],
)
def test_sets_of_another_kind_are_refused(options, words, tmp_path):
    write(tmp_path, **options)
    with pytest.raises(ValueError, match=words):
        tfds_images("zoo", data_dir=tmp_path)


def test_records_without_a_label(tmp_path):
    write(tmp_path, label_of=lambda i: -1 if i > 6 else i % 3)
    assert len(tfds_images("zoo", data_dir=tmp_path)) == 7
    with pytest.raises(ValueError, match=r"test of zoo/1\.0\.0 must have labels, and its first"):
        tfds_images("zoo", split="test", data_dir=tmp_path)
    # Some of them only.
    images = tfds_images("zoo", split="train+test", data_dir=tmp_path)
    assert (images.labels >= 0).tolist() == [True] * 7 + [False] * 3
    with pytest.raises(ValueError, match="the record has no label"):
        images[7]


def test_folders_that_are_no_version(prepared, tmp_path):
    write(tmp_path)
    for other in ("1.0.0.tmp", "a.b.c"):
        (tmp_path / "zoo" / other).mkdir()
        (tmp_path / "zoo" / other / "features.json").write_text("{}")
    assert tfds_images("zoo", data_dir=tmp_path).name == "zoo/1.0.0"


def test_what_is_not_there(prepared):
    with pytest.raises(
        ValueError, match=r"train\+train\[5:\] has some records of zoo/1\.0\.0 twice"
    ):
        tfds_images("zoo", split="train+train[5:]", data_dir=prepared)
    with pytest.raises(FileNotFoundError, match=r"no prepared set bird in .*; it has zoo\."):
        tfds_images("bird", data_dir=prepared)
    with pytest.raises(FileNotFoundError, match="no prepared set zoo:2"):
        tfds_images("zoo:2.0.0", data_dir=prepared)
    with pytest.raises(ValueError, match="has the splits train, test, not dev"):
        tfds_images("zoo", split="dev", data_dir=prepared)
    with pytest.raises(ValueError, match=r"has no part train\[2:; a part is like"):
        tfds_images("zoo", split="train[2:", data_dir=prepared)
