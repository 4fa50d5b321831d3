"""Ports against torchvision (and timm's naming): logits, taps, files both ways, preprocessing."""

import warnings

import jax
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torchvision.models import get_model, get_model_weights
from torchvision.models.feature_extraction import create_feature_extractor, get_graph_node_names

import jaxviz as jv
import ports

FAMILIES = [
    "alexnet",
    "vgg16",
    "vgg16_bn",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "densenet121",
    "googlenet",
]


def images(count=2, size=224, seed=0):
    """The same random images for torch (NCHW) and for us (NHWC)."""
    x = np.random.default_rng(seed).normal(size=(count, 3, size, size)).astype(np.float32)
    return torch.from_numpy(x), x.transpose(0, 2, 3, 1)


@pytest.mark.parametrize("name", FAMILIES)
def test_logits(name, alive_torch_model, ported, relative_error, tmp_path):
    reference = alive_torch_model(name)
    theirs_in, ours_in = images()
    with torch.no_grad():
        theirs = reference(theirs_in)
    model = ported(reference, name, tmp_path)
    ours = jax.jit(lambda model, x: model(x))(model, ours_in)
    assert relative_error(ours, theirs) <= 1e-5


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 250), ("vgg11", 100), ("densenet121", 75), ("googlenet", 117)]
)
def test_logits_at_other_sizes(name, size, alive_torch_model, ported, relative_error, tmp_path):
    reference = alive_torch_model(name)
    theirs_in, ours_in = images(1, size)
    with torch.no_grad():
        theirs = reference(theirs_in)
    model = ported(reference, name, tmp_path)
    ours = jax.jit(lambda model, x: model(x))(model, ours_in)
    assert relative_error(ours, theirs) <= 1e-5


@pytest.mark.parametrize(
    "name", ["alexnet", "vgg11_bn", "resnet18", "resnet50", "densenet121", "googlenet"]
)
def test_every_node_has_torchvisions_name_and_value(
    name, alive_torch_model, ported, relative_error, tmp_path
):
    reference = alive_torch_model(name)
    theirs_in, ours_in = images(1, 96)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the graph in train mode is another; it is not used
        _, nodes = get_graph_node_names(reference)
    nodes.remove("x")
    model = ported(reference, name, tmp_path)
    assert set(nodes) <= set(jv.layers(model, ours_in))
    _, values = jax.jit(lambda model, x: jv.capture(model, x, nodes))(model, ours_in)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        extractor = create_feature_extractor(reference, nodes)
        for node in extractor.graph.nodes:  # functional ReLUs must not overwrite what is kept
            if node.kwargs.get("inplace"):
                node.kwargs = {**node.kwargs, "inplace": False}
        extractor.recompile()
        theirs = extractor(theirs_in)
    for node in nodes:
        value = np.asarray(values[node])
        if value.ndim == 4:
            value = value.transpose(0, 3, 1, 2)
        assert relative_error(value, theirs[node]) <= 1e-4, node


@pytest.mark.parametrize("name", ["vgg11", "resnet18", "densenet121", "googlenet"])
def test_torchvision_loads_our_file(name, tmp_path):
    options = {"googlenet": {"aux_logits": False, "init_weights": False}}.get(name, {})
    model = ports.load(name, key=jax.random.key(0))
    path = ports.save(model, tmp_path / "ours.safetensors")
    from safetensors.torch import load_file

    reference = get_model(name, weights=None, **options)
    reference.load_state_dict(load_file(path), strict=True)
    theirs_in, ours_in = images(1, 64)
    with torch.no_grad():
        if name == "googlenet":
            reference.transform_input = True
        theirs = reference.eval()(theirs_in).numpy()
    ours = jax.jit(lambda model, x: model(x))(model, ours_in)
    assert np.abs(ours - theirs).max() <= 1e-4 * np.abs(theirs).max()


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18", "densenet121"])
def test_timms_naming(name, relative_error, tmp_path):
    timm = pytest.importorskip("timm")
    reference = timm.create_model(name, pretrained=False).eval()
    path = tmp_path / "model.safetensors"
    save_file(reference.state_dict(), path)
    theirs_in, ours_in = images(1, 224)
    with torch.no_grad():
        theirs = reference(theirs_in)
    ours = jax.jit(lambda model, x: model(x))(ports.load(name, path), ours_in)
    assert relative_error(ours, theirs) <= 1e-4


def test_first_densenet_files_name_layers_with_dots(alive_torch_model, relative_error, tmp_path):
    import re

    reference = alive_torch_model("densenet121")
    old = {
        re.sub(r"(denselayer\d+\.(?:norm|conv))([12])", r"\1.\2", name): value
        for name, value in reference.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    assert any(".norm.1." in name for name in old)
    torch.save(old, tmp_path / "old.pth")
    theirs_in, ours_in = images(1, 64)
    with torch.no_grad():
        theirs = reference(theirs_in)
    model = ports.load("densenet121", tmp_path / "old.pth")
    assert relative_error(jax.jit(lambda m, x: m(x))(model, ours_in), theirs) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_other_precisions_become_float32(dtype, suffix, alive_torch_model, tmp_path):
    weights = {k: v.to(dtype) for k, v in alive_torch_model("resnet18").state_dict().items()}
    path = tmp_path / f"half.{suffix}"
    torch.save(weights, path) if suffix == "pth" else save_file(weights, path)
    model = ports.load("resnet18", path)
    assert {leaf.dtype for leaf in jax.tree.leaves(model)} == {np.dtype("float32")}
    theirs = weights["layer4.0.conv1.weight"].float().numpy().transpose(2, 3, 1, 0)
    ours = getattr(model.layer4, "0").conv1.kernel.get_value()
    np.testing.assert_array_equal(ours, theirs)


def test_files_that_torch_cannot_read(tmp_path):
    torch.save(get_model("resnet18").state_dict(), tmp_path / "whole.pth")
    content = (tmp_path / "whole.pth").read_bytes()
    (tmp_path / "cut.pth").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.pth").write_text("not a checkpoint")
    torch.save({"epoch": 3, "weights": [1, 2]}, tmp_path / "other.pth")
    torch.save(get_model("resnet18"), tmp_path / "model.pth")  # a pickled module, not weights
    for file in ("cut.pth", "text.pth", "other.pth", "model.pth"):
        with pytest.raises(ValueError, match=file):
            ports.load("resnet18", tmp_path / file)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_weights_inside_a_training_checkpoint(key, tmp_path):
    torch.save({"epoch": 3, key: get_model("resnet18").state_dict()}, tmp_path / "a.pth")
    ports.load("resnet18", tmp_path / "a.pth")


@pytest.mark.parametrize(
    "size", [(500, 375), (375, 500), (256, 256), (224, 224), (97, 311), (10, 7), (1, 1), (259, 258)]
)
@pytest.mark.parametrize("name", ["resnet50", "resnext101_64x4d"])
def test_preprocessing(name, size, relative_error):
    rng = np.random.default_rng(0)
    # Blocks and noise: edges for the filter to ring on.
    coarse = rng.integers(0, 256, (size[1] // 8 + 1, size[0] // 8 + 1, 3))
    levels = np.kron(coarse, np.ones((8, 8, 1)))[: size[1], : size[0]]
    levels = np.clip(levels + rng.normal(0, 20, levels.shape), 0, 255).astype(np.uint8)
    transforms = get_model_weights(name).IMAGENET1K_V1.transforms()
    theirs = transforms(Image.fromarray(levels)).numpy().transpose(1, 2, 0)[None]
    card = ports.card(name)
    ours = card.preprocess(levels.astype(np.float32) / 255)
    assert ours.dtype == np.float32
    assert ours.shape == theirs.shape == (1, 224, 224, 3)
    # The difference in image units, where 2/255 are allowed: none but rounding.
    assert np.abs((ours - theirs) * np.asarray(card.std)).max() <= 1e-6


def test_cards_agree_with_torchvision():
    for name in ports.names():
        card = ports.card(name)
        if not card.source.startswith("torchvision"):
            continue
        theirs = get_model_weights(name).IMAGENET1K_V1
        assert theirs.url.rsplit("/", 1)[1] in card.source
        assert list(card.categories) == theirs.meta["categories"]
        assert card.parameters == theirs.meta["num_params"]
        transforms = theirs.transforms()
        assert [card.input_size] == transforms.crop_size
        assert [card.resize] == transforms.resize_size
        assert (list(card.mean), list(card.std)) == (transforms.mean, transforms.std)
        assert card.interpolation == transforms.interpolation.value
