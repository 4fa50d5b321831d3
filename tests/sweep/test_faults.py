"""What goes wrong is noted by name and reason, and the sweep goes on, or can be gone on with."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import jaxviz as jv
from jaxviz.sweep import DeviceFull, OtherSweep, devices, store

from .conftest import files

SIZE = 16


def model(x):
    return jax.nn.relu(x).mean((1, 2)) @ jnp.linspace(-1, 1, 30).reshape(3, 10)


def prepare(image):
    if max(image.shape[:2]) > 100 * min(image.shape[:2]):
        raise ValueError(f"an image of {image.shape[0]} x {image.shape[1]} is too thin")
    levels = Image.fromarray(np.round(image * 255).astype(np.uint8)).resize((SIZE, SIZE))
    return np.asarray(levels, np.float32) / 255


def photo(path, size=(20, 30)):
    x, y = np.meshgrid(np.linspace(0, 255, size[1]), np.linspace(0, 255, size[0]))
    Image.fromarray(np.stack([x, y, 255 - x], -1).astype(np.uint8)).save(path)
    return path


def cut(path, kept=0.5):
    content = photo(path, (200, 200)).read_bytes()
    path.write_bytes(content[: int(kept * len(content))])


def damaged(path):
    content = bytearray(photo(path, (200, 200)).read_bytes())
    content[60:90] = bytes(30)  # where the compressed pixels begin
    path.write_bytes(bytes(content))


def announced(path):
    """A PNG file that says to have 60,000 x 60,000 pixels."""
    content = bytearray(photo(path).read_bytes())
    content[16:24] = struct.pack(">II", 60_000, 60_000)
    import zlib

    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(bytes(content))


BROKEN = {
    "text.jpg": (lambda path: path.write_text("not an image"), "is not an image"),
    "empty.png": (lambda path: path.touch(), "is not an image"),
    "cut.jpg": (cut, "cannot be decoded"),
    "cut.png": (cut, "cannot be decoded"),
    "damaged.png": (damaged, "cannot be decoded"),
    "header.jpg": (lambda path: cut(path, 0.01), "not an image|cannot be decoded"),
    "huge.png": (announced, "60,000 x 60,000 pixels"),
    "link.png": (lambda path: path.symlink_to("nowhere.png"), "no image file"),
    "loop.png": (lambda path: path.symlink_to("loop.png"), "loop|symbolic|cannot be"),
    "nan.tiff": (
        lambda path: Image.fromarray(np.full((8, 8), np.nan, np.float32)).save(path),
        "not finite",
    ),
    "deep.tiff": (
        lambda path: Image.fromarray(np.full((8, 8), 1 << 20, np.int32)).save(path),
        "32-bit integers",
    ),
    "thin.png": (lambda path: photo(path, (2, 3000)), "too thin"),
    "zip.gif": (lambda path: path.write_bytes(b"PK\x03\x04" + bytes(100)), "is not an image"),
}


@pytest.fixture
def folder(tmp_path):
    for kind, count in (("cats", 5), ("dogs", 20)):
        (tmp_path / "images" / kind).mkdir(parents=True)
        for i in range(count):
            photo(tmp_path / "images" / kind / f"{kind}-{i:02}.png", (20 + i, 30))
    return tmp_path / "images"


def swept(folder, out, **options):
    images = jv.data.open_images(str(folder), check=False)
    return sweep(images, model, "saliency", out=out, **{"prepare": prepare, "batch": 2, **options})


def sweep(*arguments, **options):
    """On one device, so that there are many steps."""
    return jv.sweep(*arguments, devices=jax.devices()[:1], **options)


def test_every_kind_of_bad_input_is_one_row_with_its_reason(folder, tmp_path):
    for name, (make, _) in BROKEN.items():
        make(folder / "cats" / name)
    found = swept(folder, tmp_path / "maps")
    failures = {one.image: one for one in found.failures}
    assert sorted(failures) == sorted(f"cats/{name}" for name in BROKEN)
    for name, (_, words) in BROKEN.items():
        assert failures[f"cats/{name}"].status == "unreadable"
        assert re.search(words, failures[f"cats/{name}"].reason), failures[f"cats/{name}"]
    assert found.counts == {"pending": 0, "done": 25, "unreadable": len(BROKEN), "not_finite": 0}
    kept = store.open_store(str(tmp_path / "maps"))
    done = store.statuses(kept) == store.DONE
    maps = store.read(kept, "map")
    assert np.isfinite(maps[done]).all()
    assert np.isnan(maps[~done]).all()
    assert (store.read(kept, "prediction")[~done] == -1).all()
    np.testing.assert_allclose(found.mean_map, np.abs(maps[done]).max(-1).mean(0), rtol=1e-6)


def test_files_that_the_set_left_out_are_rows_as_well(folder, tmp_path):
    cut(folder / "dogs" / "cut.jpg")
    images = jv.data.image_folder(folder)
    found = sweep(images, model, "saliency", out=tmp_path / "maps", prepare=prepare)
    assert [(one.image, one.status) for one in found.failures] == [
        (str(folder / "dogs" / "cut.jpg"), "unreadable")
    ]
    assert found.counts["done"] == 25


def test_a_bad_image_does_not_touch_the_others(folder, tmp_path):
    swept(folder, tmp_path / "sound")
    sound = store.read(store.open_store(str(tmp_path / "sound")), "map")
    (folder / "cats" / "cats-02.png").write_text("broken")
    swept(folder, tmp_path / "broken")
    broken = store.read(store.open_store(str(tmp_path / "broken")), "map")
    others = np.arange(25) != 2
    np.testing.assert_array_equal(sound[others], broken[others])


def test_a_name_that_is_no_text(folder, tmp_path):
    odd = os.fsdecode(b"\xff.png")
    photo(folder / "cats" / "plain.png").rename(folder / "cats" / odd)
    out = tmp_path / "maps"
    with pytest.raises(KeyboardInterrupt):
        swept(folder, out, batch=1, watch=lambda progress: signal.raise_signal(signal.SIGINT))
    assert swept(folder, out, batch=1).counts["done"] == 26
    assert "cats/\\udcff.png" in store.read_strings(store.open_store(str(out)), "image")


def test_an_image_with_an_input_of_another_shape(folder, tmp_path):
    photo(folder / "dogs" / "large.png", (200, 200))
    found = swept(folder, tmp_path / "m", prepare=lambda x: x if len(x) > 99 else prepare(x))
    assert [one[:2] for one in found.failures] == [("dogs/large.png", "unreadable")]
    assert "(200, 200, 3), and that of others is (16, 16, 3)" in found.failures[0].reason


class WithoutLabel:
    """A set of which one image has no label, and another one cannot be read."""

    categories = tuple("abcdefghij")
    labels = np.array([3, -1, -1, 4])
    names = tuple("wxyz")
    skipped = ()

    def __len__(self):
        return 4

    def __getitem__(self, index):
        if index == 2:
            raise ValueError("broken")
        return np.full((SIZE, SIZE, 3), index / 4, np.float32), int(self.labels[index])


def test_an_image_without_a_label(tmp_path):
    options = {"prepare": np.asarray, "batch": 2}
    found = sweep(
        WithoutLabel(), model, "saliency", out=tmp_path / "own", target="label", **options
    )
    assert [(one.image, one.reason) for one in found.failures] == [
        ("x", "it has no label, which is the class to explain"),
        ("y", "broken"),
    ]
    found = sweep(WithoutLabel(), model, "saliency", out=tmp_path / "top", **options)
    assert [one.image for one in found.failures] == ["y"]


def test_reasons_of_what_was_cut_off_are_forgotten(tmp_path):
    images = jv.data.shapes_images(20, size=SIZE)
    options = {"prepare": np.asarray, "batch": 2}
    sweep(images, model, "saliency", out=tmp_path / "undisturbed", **options)
    press = lambda progress: signal.raise_signal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sweep(images, model, "saliency", out=tmp_path / "maps", watch=press, **options)
    # As if the last batch had been cut off between its reasons and its status.
    assert store.statuses(store.open_store(str(tmp_path / "maps")))[-1] == store.PENDING
    (tmp_path / "maps" / "reason" / "c").mkdir(exist_ok=True)
    (tmp_path / "maps" / "reason" / "c" / "19").write_bytes(b"of another day")
    sweep(images, model, "saliency", out=tmp_path / "maps", **options)
    assert files(tmp_path / "maps") == files(tmp_path / "undisturbed")


def test_a_mean_map_that_was_not_written_is_none(tmp_path):
    options = {"prepare": np.asarray, "out": tmp_path / "maps"}
    images = jv.data.shapes_images(3, size=SIZE)
    sweep(images, model, "saliency", **options)
    shutil.rmtree(tmp_path / "maps" / "mean_map" / "c")
    assert jv.sweep_status(tmp_path / "maps").mean_map is None
    assert sweep(images, model, "saliency", **options).mean_map is not None


def test_curves_that_are_not_finite_are_noted(tmp_path):
    images = jv.data.shapes_images(2, size=SIZE)

    def fragile(x):
        # Only what is half removed has it not.
        return jnp.where(jnp.abs(x).mean((1, 2))[:, :1] < 1e-6, jnp.nan, model(x))

    options = {"prepare": np.asarray, "curves": 2}
    found = sweep(images, fragile, "saliency", out=tmp_path / "maps", **options)
    assert found.counts["not_finite"] == 2
    assert "a curve" in found.failures[0].reason


def test_a_store_of_half_precision(tmp_path):
    weights = jnp.linspace(-1, 1, 30, dtype=jnp.bfloat16).reshape(3, 10)
    half = jax.tree_util.Partial(lambda w, x: x.astype(w.dtype).mean((1, 2)) @ w, weights)
    images = jv.data.shapes_images(3, size=SIZE)
    out = tmp_path / "maps"
    found = sweep(images, half, "saliency", out=out, prepare=np.asarray, curves=2)
    assert found.counts["done"] == 3
    kept = store.open_store(str(out))
    for name in ("map", "probabilities", "deletion", "map_sum"):
        assert store.read(kept, name).dtype == np.float32
    other = jax.tree_util.Partial(half.func, -weights)
    with pytest.raises(OtherSweep, match="weights_hash"):
        sweep(images, other, "saliency", out=out, prepare=np.asarray, curves=2)


def test_numbers_of_numpy_are_numbers(tmp_path):
    images = jv.data.shapes_images(2, size=SIZE)
    options = {"out": tmp_path / "maps", "prepare": np.asarray}
    numbers = {"window": 8, "stride": 8, "batch": 1, "target": 3, "fill": 1, "memory": 1 << 24}
    arrays = {name: np.int64(value) for name, value in numbers.items()}
    sweep(images, model, "occlusion", **arrays, **options)
    assert sweep(images, model, "occlusion", **numbers, **options).counts["done"] == 2


def test_a_damaged_store_is_said_to_be(tmp_path):
    (tmp_path / "zarr.json").write_text('{"attributes": ')
    with pytest.raises(OSError, match=r"zarr.json is not JSON.*damaged"):
        jv.sweep_status(tmp_path)


def test_a_bug_is_no_fault_of_the_disk(tmp_path):
    options = {"out": tmp_path / "maps", "prepare": np.asarray}
    sweep(jv.data.shapes_images(2, size=SIZE), model, "saliency", **options)
    kept = store.open_store(str(tmp_path / "maps"))
    with pytest.raises(ValueError, match="aligning dimensions"):
        store.finish(kept, {"mean_map": np.zeros(3, np.float32)})
    (tmp_path / "maps" / "map" / "zarr.json").write_text("damaged")
    with pytest.raises(OSError, match="cannot be read or written"):
        store.open_store(str(tmp_path / "maps"))


def test_other_categories_are_another_sweep(tmp_path):
    one, other = WithoutLabel(), WithoutLabel()
    other.categories = tuple("jihgfedcba")
    options = {"out": tmp_path / "maps", "prepare": np.asarray}
    sweep(one, model, "saliency", **options)
    with pytest.raises(OtherSweep, match=r"with categories 10 \("):
        sweep(other, model, "saliency", **options)


def test_masks_of_another_size_are_refused(tmp_path):
    images = jv.data.shapes_images(2, size=SIZE)
    masks = jv.data.shapes_images(2, size=2 * SIZE).masks
    options = {"out": tmp_path / "maps", "prepare": np.asarray, "masks": masks}
    with pytest.raises(ValueError, match=r"\(1, 16, 16\) for one image; got \(1, 32, 32\)"):
        sweep(images, model, "saliency", **options)
    assert not (tmp_path / "maps").exists()


def test_a_folder_that_changes_during_the_run(folder, tmp_path):
    images = jv.data.open_images(str(folder), check=False)

    def change(progress):
        if progress.done == 1:
            (folder / "dogs" / "dogs-18.png").unlink()
            (folder / "dogs" / "dogs-19.png").write_text("now a text")
            photo(folder / "dogs" / "new.png")

    options = {"prepare": prepare, "batch": 1}
    found = sweep(images, model, "saliency", out=tmp_path / "m", watch=change, **options)
    assert [(one.image, one.status) for one in found.failures] == [
        ("dogs/dogs-18.png", "unreadable"),
        ("dogs/dogs-19.png", "unreadable"),
    ]
    assert "no image file" in found.failures[0].reason
    assert found.counts["done"] == 23


def test_a_folder_that_changes_between_two_runs(folder, tmp_path):
    out = tmp_path / "maps"
    with pytest.raises(KeyboardInterrupt):
        swept(folder, out, batch=1, watch=lambda progress: signal.raise_signal(signal.SIGINT))
    (folder / "dogs" / "dogs-19.png").unlink()
    found = swept(folder, out, batch=1)
    assert [one[:2] for one in found.failures] == [("dogs/dogs-19.png", "unreadable")]
    assert "no longer in the set" in found.failures[0].reason
    photo(folder / "dogs" / "new.png")
    with pytest.raises(ValueError, match=r"1 images that the store does not know.*dogs/new.png"):
        swept(folder, out, batch=1)


def test_a_map_that_is_not_finite_is_noted(tmp_path):
    images = jv.data.shapes_images(6, size=SIZE)

    def fragile(x):
        return jnp.where(x[:, :1, :1, :1].mean((1, 2)) > 5, jnp.nan, model(x))

    def one_is_bright(image):
        return image + np.float32(10 * np.array_equal(image, images[3][0]))

    options = {"prepare": one_is_bright, "batch": 2, "log": tmp_path / "log.jsonl"}
    found = sweep(images, fragile, "saliency", out=tmp_path / "maps", **options)
    assert [one[:2] for one in found.failures] == [("shapes-0-000003", "not_finite")]
    assert found.counts["done"] == 5
    assert np.isfinite(found.mean_map).all()
    events = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [e["image"] for e in events if e["event"] == "not_finite"] == ["shapes-0-000003"]
    assert [e["event"] for e in events][:1] + [events[-1]["event"]] == ["begin", "end"]


def test_no_image_that_can_be_read(folder, tmp_path):
    for file in folder.rglob("*.png"):
        file.write_text("broken")
    with pytest.raises(ValueError, match=r"none of the 25 images can be read; the first: .*is not"):
        swept(folder, tmp_path / "maps")
    assert not (tmp_path / "maps").exists()


@pytest.mark.parametrize("method", ["saliency", "occlusion"])
def test_a_full_device_takes_half_as_much(method, tmp_path, monkeypatch):
    images, turns = jv.data.shapes_images(7, size=SIZE), []
    step = devices._step

    def full_above_one(*arguments, **options):
        turns.append(options["turns"])
        if options["turns"] < 4:
            raise jax.errors.JaxRuntimeError(
                "RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes."
            )
        return step(*arguments, **options)

    options = {"prepare": np.asarray, "batch": 4, "window": 4, "stride": 4}
    sweep(images, model, method, out=tmp_path / "plenty", **options)
    monkeypatch.setattr(devices, "_step", full_above_one)
    monkeypatch.setattr(full_above_one, "eval_shape", step.eval_shape, raising=False)
    log = tmp_path / "log.jsonl"
    found = sweep(images, model, method, out=tmp_path / "scarce", log=log, **options)
    assert found.counts["done"] == 7
    assert turns == [1, 1, 2, 4, 4]
    events = [json.loads(line) for line in log.read_text().splitlines()]
    assert [e["turns"] for e in events if e["event"] == "device full"] == [2, 4]
    name = {"saliency": "map", "occlusion": "drop"}[method]
    plenty, scarce = (
        store.read(store.open_store(str(tmp_path / which)), name) for which in ("plenty", "scarce")
    )
    # Other batches may round differently.
    np.testing.assert_allclose(plenty, scarce, atol=1e-6)


def test_a_device_that_cannot_hold_one_image(tmp_path, monkeypatch):
    step = devices._step

    def full(*arguments, **options):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    monkeypatch.setattr(devices, "_step", full)
    monkeypatch.setattr(full, "eval_shape", step.eval_shape, raising=False)
    images = jv.data.shapes_images(4, size=SIZE)
    with pytest.raises(DeviceFull, match="does not hold what one image needs"):
        sweep(images, model, "saliency", out=tmp_path / "maps", prepare=np.asarray)


def test_inputs_that_the_device_cannot_hold(tmp_path, monkeypatch):
    def full(*arguments):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes.")

    monkeypatch.setattr(jax, "device_put", full)
    images = jv.data.shapes_images(4, size=SIZE)
    with pytest.raises(DeviceFull, match="give a smaller batch"):
        sweep(images, model, "saliency", out=tmp_path / "maps", prepare=np.asarray)


@pytest.mark.parametrize("enough", [True, False])
def test_a_full_device_gets_down_to_one_position(enough, tmp_path, monkeypatch):
    step, memory = devices._step, []

    def full_at_first(*arguments, **options):
        found = step(*arguments, **options)  # raises where the positions have too little
        memory.append(options["memory"])
        if len(set(memory)) < 3 or not enough:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return found

    monkeypatch.setattr(devices, "_step", full_at_first)
    monkeypatch.setattr(full_at_first, "eval_shape", step.eval_shape, raising=False)
    images = jv.data.shapes_images(2, size=SIZE)
    options = {"prepare": np.asarray, "batch": 2, "window": 4, "stride": 4}
    options |= {"out": tmp_path / "maps"}
    with pytest.raises(ValueError, match="memory must hold") as caught:
        sweep(images, model, "occlusion", memory=1, **options)
    needed = caught.value.needed
    # A half is enough for a position, a quarter is not.
    options["memory"] = 3 * needed
    if enough:
        assert sweep(images, model, "occlusion", **options).counts["done"] == 2
    else:
        with pytest.raises(DeviceFull, match="does not hold what one image needs"):
            sweep(images, model, "occlusion", **options)
    assert list(dict.fromkeys(memory)) == [3 * needed, 3 * needed // 2, needed]


def test_another_error_of_a_device_is_no_lack_of_memory(tmp_path, monkeypatch):
    step = devices._step

    def broken(*arguments, **options):
        raise jax.errors.JaxRuntimeError("INTERNAL: something else")

    monkeypatch.setattr(devices, "_step", broken)
    monkeypatch.setattr(broken, "eval_shape", step.eval_shape, raising=False)
    images = jv.data.shapes_images(4, size=SIZE)
    with pytest.raises(jax.errors.JaxRuntimeError, match="something else"):
        sweep(images, model, "saliency", out=tmp_path / "maps", prepare=np.asarray)


@pytest.fixture
def small_disk(tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(place)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no rights to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk(small_disk, tmp_path):
    images = jv.data.shapes_images(200, size=SIZE)
    options = {"prepare": np.asarray, "batch": 4}
    out = small_disk / "maps"
    with pytest.raises(OSError, match=f"No space left on device.*{out}"):
        sweep(images, model, "saliency", out=out, **options)
    counts = jv.sweep_status(out).counts
    assert counts["done"] > 0
    assert counts["done"] + counts["pending"] == 200
    # With room again, it goes on to what it would have been.
    shutil.copytree(out, tmp_path / "roomy")
    sweep(images, model, "saliency", out=tmp_path / "roomy", **options)
    sweep(images, model, "saliency", out=tmp_path / "undisturbed", **options)
    assert files(tmp_path / "roomy") == files(tmp_path / "undisturbed")


def test_ctrl_c_finishes_what_is_under_way(tmp_path):
    images = jv.data.shapes_images(30, size=SIZE)
    options = {"prepare": np.asarray, "batch": 2}
    seen = []

    def press(progress):
        seen.append(progress.done)
        if progress.done == 6:
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        sweep(images, model, "saliency", out=tmp_path / "maps", watch=press, **options)
    assert signal.getsignal(signal.SIGINT) is before
    done = jv.sweep_status(tmp_path / "maps").counts["done"]
    assert done == seen[-1] < 30
    sweep(images, model, "saliency", out=tmp_path / "maps", **options)
    sweep(images, model, "saliency", out=tmp_path / "undisturbed", **options)
    assert files(tmp_path / "maps") == files(tmp_path / "undisturbed")


def test_another_sweep_in_the_same_place_is_refused(tmp_path):
    images = jv.data.shapes_images(4, size=SIZE)
    options = {"out": tmp_path / "maps", "prepare": np.asarray, "batch": 2}
    options |= {"window": 8, "about": {"model": "one"}}
    sweep(images, model, "occlusion", **options)
    before = files(tmp_path / "maps")
    with pytest.raises(OtherSweep) as caught:
        sweep(images, model, "occlusion", **{**options, "window": 4, "about": {"model": "two"}})
    assert "model one (now two), window 8 (now 4)" in str(caught.value)
    weights = jax.tree_util.Partial(lambda w, x: model(x) * w, jnp.ones(()))
    with pytest.raises(OtherSweep, match="weights_hash"):
        sweep(images, weights, "occlusion", **options)
    with pytest.raises(OtherSweep, match=r"method occlusion \(now saliency\)"):
        sweep(images, model, "saliency", **options)
    assert files(tmp_path / "maps") == before


def test_a_place_that_is_taken_is_left_alone(tmp_path):
    images = jv.data.shapes_images(2, size=SIZE)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "thesis.txt").write_text("mine")
    zarr = pytest.importorskip("zarr")
    zarr.open_group(tmp_path / "other.zarr", mode="w")
    for place, words in (
        ("file", "is a file"),
        ("folder", "is no store of a sweep"),
        ("other.zarr", "none of a sweep"),
    ):
        with pytest.raises(OSError, match=words):
            sweep(images, model, "saliency", out=tmp_path / place, prepare=np.asarray)
    assert os.listdir(tmp_path / "folder") == ["thesis.txt"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"method": "salience"}, "unknown method 'salience'; choose one of: occlusion, saliency"),
        ({"target": "first"}, "target must be a class, 'top' or 'label'"),
        ({"target": 10}, "target must be a class from 0 to 9, got 10"),
        ({"method": "grad-cam"}, "grad-cam needs the layer"),
        ({"method": "occlusion", "window": 99}, "must fit into the image"),
        ({"method": "occlusion", "window": 4, "fill": "max"}, "fill must be a number or 'mean'"),
        ({"method": "occlusion", "fill": np.nan}, "fill must be finite"),
        ({"method": "occlusion", "window": 4.5}, "window must be a whole number, not 4.5"),
        ({"curves": -1}, "curves must not be negative"),
        ({"batch": 0}, "batch must be at least 1, got 0"),
    ],
)
def test_an_option_that_does_not_fit(options, words, tmp_path):
    options = {"method": "saliency", "prepare": np.asarray, **options}
    with pytest.raises(ValueError, match=words):
        sweep(jv.data.shapes_images(2, size=SIZE), model, out=tmp_path / "maps", **options)
    assert not (tmp_path / "maps").exists()
