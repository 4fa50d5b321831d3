"""Checkpoints in and out, and every fault of a file in one sentence."""

import errno
import functools
import os
import sys
from types import SimpleNamespace
from typing import Any, cast

import jax
import numpy as np
import pytest
from flax import nnx
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors.numpy import load_file, save_file

import ports
from jaxviz.training import ShapesSource, restore, train

NAME = "shapes-residual"


@pytest.fixture(scope="module")
def model():
    return ports.load(NAME, key=jax.random.key(3))


@pytest.fixture
def weights(model, tmp_path):
    """The weights of `model` as a checkpoint has them, to be spoilt."""
    return load_file(ports.save(model, tmp_path / "whole.safetensors"))


def spoilt(tmp_path, weights):
    path = tmp_path / "spoilt.safetensors"
    save_file(weights, path)
    return path


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "file", ["a.safetensors", "new/folder/a.safetensors", "orbax", "new/orbax"]
)
def test_round_trip(model, tmp_path, file):
    path = ports.save(model, tmp_path / file)
    assert path.exists()
    assert_same(ports.load(NAME, path), model)
    assert_same(ports.load(NAME, str(path)), model)


@pytest.mark.parametrize("file", ["a.safetensors", "orbax"])
def test_saving_replaces_what_is_there_and_leaves_nothing_else(model, tmp_path, file):
    ports.save(ports.load(NAME, key=jax.random.key(9)), tmp_path / file)
    ports.save(model, tmp_path / file)
    assert [entry.name for entry in tmp_path.iterdir()] == [file]
    assert_same(ports.load(NAME, tmp_path / file), model)


@pytest.fixture
def precious(tmp_path):
    """A folder of somebody's work."""
    folder = tmp_path / "precious"
    folder.mkdir()
    (folder / "thesis.txt").write_text("years of work")
    return folder


def assert_untouched(folder):
    assert (folder / "thesis.txt").read_text() == "years of work"
    assert [entry.name for entry in folder.parent.iterdir()] == [folder.name]


def test_saving_never_replaces_a_folder_of_other_files(model, precious):
    with pytest.raises(FileExistsError, match=r"precious is a directory .* \(thesis\.txt\)"):
        ports.save(model, precious)
    assert_untouched(precious)


@pytest.mark.parametrize("path", [".", "..", "/"])
def test_saving_never_replaces_where_we_are(model, precious, monkeypatch, path):
    (precious / "here").mkdir()
    monkeypatch.chdir(precious / "here")
    with pytest.raises(FileExistsError, match=r"is a directory with|is the current directory"):
        ports.save(model, path)
    (precious / "here").rmdir()
    assert_untouched(precious)


def test_a_checkpoint_that_somebody_wrote_into_is_left(model, tmp_path):
    path = ports.save(model, tmp_path / "orbax")
    (path / "notes.txt").write_text("see here")
    with pytest.raises(FileExistsError, match=r"\(notes\.txt\)"):
        ports.save(model, path)
    assert_same(ports.load(NAME, path), model)


def test_an_empty_folder_becomes_a_checkpoint(model, tmp_path):
    (tmp_path / "orbax").mkdir()
    assert_same(ports.load(NAME, ports.save(model, tmp_path / "orbax")), model)


def test_a_folder_for_a_file_and_a_file_for_a_folder(model, precious):
    folder = precious.rename(precious.with_suffix(".safetensors"))
    with pytest.raises(FileExistsError, match="is a directory, and is left as it is"):
        ports.save(model, folder)
    (folder / "file").write_text("a file")
    with pytest.raises(FileExistsError, match="is a file, and is left as it is"):
        ports.save(model, folder / "file")
    (folder / "file").unlink()
    assert_untouched(folder)


def test_a_checkpoint_is_gone_only_once_the_new_one_is_there(model, tmp_path, monkeypatch):
    path = ports.save(model, tmp_path / "orbax")
    moves = []

    def fail(source, target):
        moves.append((source, target))
        if len(moves) == 2:
            raise OSError("Input/output error")
        os.rename(source, target)

    monkeypatch.setattr("ports.checkpoints.os.replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        ports.save(ports.load(NAME, key=jax.random.key(9)), path)
    assert [entry.name for entry in tmp_path.iterdir()] == ["orbax"]
    assert_same(ports.load(NAME, path), model)


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_files_have_the_permissions_of_any_new_file(model, tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        path = ports.save(model, tmp_path / "a.safetensors")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == mode


def test_a_failed_save_leaves_the_old_file(model, tmp_path, monkeypatch):
    path = ports.save(model, tmp_path / "a.safetensors")
    content = path.read_bytes()

    def full(tensors, file, metadata):
        file.write_bytes(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(OSError, match="No space"):
        ports.save(model, path)
    assert path.read_bytes() == content
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.safetensors"]


def test_saving_says_what_it_writes(model, tmp_path):
    with pytest.raises(ValueError, match=r"\*\.safetensors .*received .*a\.pth"):
        ports.save(model, tmp_path / "a.pth")


def test_a_training_checkpoint_may_hold_more_than_the_model(model, tmp_path):
    import orbax.checkpoint as ocp

    state = nnx.to_pure_dict(nnx.state(model))
    with ocp.StandardCheckpointer() as writer:
        writer.save(tmp_path / "step", {"model": state, "step": np.int32(7)})
    assert_same(ports.load(NAME, tmp_path / "step"), model)


def test_what_training_writes(tmp_path):
    folder = tmp_path / "run" / "checkpoints"
    trained = train(
        ports.new(NAME, rngs=nnx.Rngs(0)),
        ShapesSource(),
        key=jax.random.key(0),
        epochs=2,
        steps_per_epoch=1,
        batch=2,
        test_count=2,
        checkpoints=folder,
    )
    # An earlier epoch whose name sorts after the last one as text.
    (folder / "2").rename(folder / "10")
    for path in (folder, folder / "10", folder / "10" / "model"):
        assert_same(ports.load(NAME, path), trained.model)
    before = restore(trained.model, folder, epoch=0)
    assert_same(ports.load(NAME, folder / "0"), before)
    for path in (folder, folder / "10"):
        with pytest.raises(FileExistsError, match="is left as it is"):
            ports.save(trained.model, path)


def test_names_and_layouts_are_torchs(weights):
    assert weights["layer2.downsample.0.weight"].shape == (32, 16, 1, 1)
    assert weights["fc.weight"].shape == (10, 80)
    assert {"layer1.bn1.running_mean", "layer1.bn1.running_var", "layer1.bn1.bias"} <= set(weights)


def test_all_faults_are_told_at_once(tmp_path, weights):
    del weights["layer1.conv1.weight"]
    weights["layer9.weight"] = np.zeros((2, 2), np.float32)
    weights["fc.weight"] = weights["fc.weight"].T.copy()
    weights["fc.bias"] = weights["fc.bias"].astype(np.int64)
    weights["layer1.bn1.bias"][3] = np.nan
    weights["layer1.bn1.weight"][:2] = np.inf
    with pytest.raises(ValueError) as error:  # noqa: PT011, the whole message is read below
        ports.load(NAME, spoilt(tmp_path, weights))
    first, *rest = str(error.value).splitlines()
    assert first.endswith("spoilt.safetensors does not fit the model: 6 faults.")
    assert sorted(line.strip() for line in rest) == [
        "fc.bias has dtype int64, and weights are floating point.",
        "fc.weight has shape [80, 10], and the model needs [10, 80].",
        "layer1.bn1.bias has 1 values of 16 that are NaN or infinite.",
        "layer1.bn1.weight has 2 values of 16 that are NaN or infinite.",
        "layer1.conv1.weight [16, 3, 5, 5] is missing.",
        "layer9.weight [2, 2] is surplus: the model has no such tensor.",
    ]


def test_one_fault_is_one_sentence(tmp_path, weights):
    del weights["fc.bias"]
    with pytest.raises(ValueError, match=r"does not fit the model: fc\.bias \[10\] is missing\.$"):
        ports.load(NAME, spoilt(tmp_path, weights))


def test_the_wrong_models_file_gives_a_short_list(tmp_path, weights):
    with pytest.raises(ValueError, match=r"\.\.\. and \d+ more\.$") as error:
        ports.load("resnet18", spoilt(tmp_path, weights))
    assert len(str(error.value).splitlines()) == 22


def test_counters_of_batches_are_no_fault(tmp_path, model, weights):
    weights["layer1.bn1.num_batches_tracked"] = np.array(7)
    assert_same(ports.load(NAME, spoilt(tmp_path, weights)), model)


def test_auxiliary_heads_are_googlenets_one_surplus(tmp_path):
    model = ports.load("googlenet", key=jax.random.key(0))
    weights = load_file(ports.save(model, tmp_path / "whole.safetensors"))
    weights["aux1.fc1.weight"] = np.zeros((1024, 2048), np.float32)
    weights["aux2.conv.bn.bias"] = np.zeros(128, np.float32)
    assert_same(ports.load("googlenet", spoilt(tmp_path, weights)), model)
    weights["aux3.conv.bn.bias"] = np.zeros(128, np.float32)
    with pytest.raises(ValueError, match=r"aux3\.conv\.bn\.bias \[128\] is surplus"):
        ports.load("googlenet", spoilt(tmp_path, weights))


@pytest.mark.parametrize("kept", [0.0, 0.001, 0.5, 0.99999])
def test_a_truncated_file(tmp_path, model, kept):
    content = ports.save(model, tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match=r"cut\.safetensors is not a whole safetensors file"):
        ports.load(NAME, tmp_path / "cut.safetensors")


@pytest.mark.parametrize(
    "content", [b"a text, not weights\n" * 9, b"\x80\x04}\x94.", b"PK\x03\x04" * 9]
)
def test_another_kind_of_file_under_the_name(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(ValueError, match="not a whole safetensors file"):
        ports.load(NAME, tmp_path / "a.safetensors")


def test_a_kind_that_is_not_read(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a\.npz is no checkpoint that can be read: give a"):
        ports.load(NAME, tmp_path / "a.npz")


@pytest.mark.filterwarnings("ignore")  # orbax warns of what is missing before it raises
def test_a_folder_that_is_no_checkpoint(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(ValueError, match="folder is not a whole Orbax checkpoint"):
        ports.load(NAME, tmp_path / "folder")


def test_no_file():
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at nowhere/a\.safetensors"):
        ports.load(NAME, "nowhere/a.safetensors")


def test_a_pth_file_without_torch(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    (tmp_path / "a.pth").write_bytes(b"")
    with pytest.raises(ImportError, match=r"needs torch, which is not installed: `pip install"):
        ports.load(NAME, tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("name", "near"), [("vgg61", "vgg16"), ("resnet-50", "resnet50"), ("dense121", "densenet121")]
)
def test_an_unknown_model_lists_the_nearest(name, near):
    for function in (ports.load, ports.card, functools.partial(ports.new, rngs=nnx.Rngs(0))):
        with pytest.raises(
            ValueError, match=rf"unknown model '{name}'; nearest: .*{near}.*names\(\)"
        ):
            function(name)


def test_a_name_like_no_other():
    with pytest.raises(ValueError, match=r"unknown model 'zzz'; `ports.names\(\)` lists all"):
        ports.card("zzz")


@pytest.mark.parametrize("options", [{}, {"weights": "a.safetensors", "key": jax.random.key(0)}])
def test_weights_or_a_key(options):
    with pytest.raises(ValueError, match="either weights= or key="):
        ports.load(NAME, **options)


def test_imagenet_offline(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(
        ConnectionError,
        match=r"timm/vgg16\.tv_in1k is neither in the cache .* nor .* reached; connect once",
    ):
        ports.load("vgg16", "imagenet")


def hub_answers(monkeypatch, error):
    """Makes the Hub's client raise `error`."""

    def download(*_, **__):
        raise error

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)


def http_error(status):
    # A response as far as the error looks at it: the HTTP client differs between versions.
    response = SimpleNamespace(status_code=status, headers={}, request=None)
    return HfHubHTTPError("refused", response=cast(Any, response))


def uncached(cause):
    error = LocalEntryNotFoundError("not in the cache")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("error", [http_error(404), uncached(http_error(404))])
def test_imagenet_says_what_the_hub_answered(monkeypatch, error):
    hub_answers(monkeypatch, error)
    with pytest.raises(ConnectionError, match=r"answered 404 for timm/vgg16\.tv_in1k at rev.*b8d8"):
        ports.load("vgg16", "imagenet")


def test_a_full_disk_is_no_lack_of_connection(monkeypatch):
    full = OSError(errno.ENOSPC, "No space left on device")
    hub_answers(monkeypatch, full)
    with pytest.raises(OSError, match="No space left") as raised:
        ports.load("vgg16", "imagenet")
    assert raised.value is full


@pytest.mark.parametrize(
    ("name", "revision"),
    [("resnet18", "bbd144b3e5565108aad885f145491d11bc6ce807"), ("vgg11", "main")],
)
def test_imagenet_reads_the_hubs_file_at_the_revision(name, revision, monkeypatch):
    calls = []

    def download(repo, file, *, revision):
        calls.append((repo, file, revision))
        return "nowhere/model.safetensors"

    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    with pytest.raises(FileNotFoundError, match=r"nowhere/model\.safetensors"):
        ports.load(name, "imagenet")
    assert calls == [(f"timm/{name}.tv_in1k", "model.safetensors", revision)]


def test_imagenet_weights_from_the_hubs_cache(tmp_path, monkeypatch):
    model = ports.load("resnet18", key=jax.random.key(0))
    path = ports.save(model, tmp_path / "model.safetensors")
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: str(path))
    assert_same(ports.load("resnet18", "imagenet"), model)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "zfnet", NAME])
def test_imagenet_weights_that_the_hub_does_not_have(name):
    with pytest.raises(ValueError, match="the Hub has no ImageNet weights of"):
        ports.load(name, "imagenet")


def test_shapes_weights_are_for_shapes_models():
    for weights in ("shapes", "shapes-1"):
        with pytest.raises(ValueError, match=f"weights='{weights}' are for the shapes-"):
            ports.load("vgg16", weights)


def test_a_new_model_is_what_its_class_makes():
    made = ports.ShapesDense(num_classes=3, rngs=nnx.Rngs(5))
    model = ports.new("shapes-dense", num_classes=3, rngs=nnx.Rngs(5))
    assert model.layer1.bn1.use_running_average
    made.eval()
    assert_same(model, made)


def test_another_number_of_classes(tmp_path):
    model = ports.load("resnet18", key=jax.random.key(0), num_classes=5)
    path = ports.save(model, tmp_path / "a.safetensors")
    assert ports.load("resnet18", path, num_classes=5).fc.bias.shape == (5,)
    with pytest.raises(ValueError, match=r"fc\.weight has shape \[5, 512\], and .*\[1000, 512\]"):
        ports.load("resnet18", path)
