"""Maps against captum's, on torchvision's models with the same weights."""

from __future__ import annotations

import warnings

import jax
import jax.numpy as jnp
import pytest
import torch
from captum import attr
from torch import nn

import jaxviz as jv

NAMES = ["alexnet", "vgg16", "vgg16_bn", "resnet18", "densenet121"]


@pytest.fixture
def pair(alive_torch_model, ported, tmp_path):
    """A torchvision model by name, and our port with its weights."""

    def made(name):
        theirs = alive_torch_model(name)
        return theirs, ported(theirs, name, tmp_path)

    return made


def images(count=2, size=96):
    torch.manual_seed(1)
    x = torch.randn(count, 3, size, size)
    return x, jnp.asarray(nhwc(x).numpy())


def nhwc(x):
    return x.detach().permute(0, 2, 3, 1)


def with_relu_modules(model):
    """`model` as captum needs it: every ReLU a module of its own, called once, not in place.

    captum hooks `nn.ReLU` modules. torchvision's are in place; ResNet's blocks call one module
    twice, where captum's hooks keep the wrong input; DenseNet's last ReLU is a function, which they
    miss altogether.
    """
    graph = torch.fx.Tracer().trace(model)
    traced = torch.fx.GraphModule(model, graph)
    for i, node in enumerate(list(graph.nodes)):
        is_module = node.op == "call_module" and isinstance(
            traced.get_submodule(node.target), nn.ReLU
        )
        is_function = node.op == "call_function" and node.target is nn.functional.relu
        if is_module or is_function:
            traced.add_submodule(f"own_relu_{i}", nn.ReLU())
            with graph.inserting_after(node):
                own = graph.call_module(f"own_relu_{i}", (node.args[0],))
            node.replace_all_uses_with(own)
            graph.erase_node(node)
    graph.lint()
    traced.recompile()
    return traced.eval()


METHODS = [
    (jv.deconvnet, attr.Deconvolution, {}),
    (jv.guided_backprop, attr.GuidedBackprop, {}),
    (jv.saliency, attr.Saliency, {"abs": False}),
]


@pytest.mark.parametrize("name", NAMES)
def test_back_projections_are_captums(name, pair, relative_error):
    theirs, ours = pair(name)
    theirs = with_relu_modules(theirs)
    x, y = images(4, size=64)
    target = [3, 500, 7, 999]

    def expected(explainer, options, dtype):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum announces its hooks
            found = explainer(theirs.to(dtype)).attribute(x.to(dtype), target=target, **options)
        return nhwc(found)

    # In float64 the two are the same to rounding.
    with jax.enable_x64(True):
        exact = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), ours)
        for method, explainer, options in METHODS:
            found = method(exact, y.astype(jnp.float64), jnp.array(target))
            assert relative_error(found, expected(explainer, options, torch.float64)) <= 1e-10

    # In float32, rounding may turn a ReLU that is nearly at 0, or a near tie in a max pooling: then
    # the signal takes another way, in one library and not in the other. It is rare; one image of
    # the four may have it.
    for method, explainer, options in METHODS:
        found = method(ours, y, jnp.array(target))
        errors = map(relative_error, found, expected(explainer, options, torch.float32))
        assert sorted(errors)[-2] <= 1e-4


@pytest.mark.parametrize(
    ("name", "torch_layer", "layer"),
    [
        ("vgg16", "features.28", "features.28"),
        ("resnet18", "layer4", "layer4"),
        ("densenet121", "features.denseblock4", "features.denseblock4"),
    ],
)
def test_grad_cam_is_captums(name, torch_layer, layer, pair, relative_error):
    theirs, ours = pair(name)
    for module in theirs.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # captum reads the layer's values after the forward pass
    x, y = images(size=128)
    explainer = attr.LayerGradCam(theirs, theirs.get_submodule(torch_layer))
    for relu in (False, True):
        expected = explainer.attribute(x, target=[3, 500], relu_attributions=relu)[:, 0]
        found = jv.grad_cam(ours, y, jnp.array([3, 500]), layer=layer, relu=relu)
        assert relative_error(found, expected.detach()) <= 1e-4


@pytest.mark.parametrize(
    ("window", "stride", "fill"),
    [((16, 16), (16, 16), 0.0), ((20, 12), (15, 10), 0.7), ((64, 64), (5, 64), -1.0)],
)
def test_occlusion_is_captums(window, stride, fill, pair, relative_error):
    theirs, ours = pair("resnet18")
    x, y = images(size=64)
    expected = attr.Occlusion(theirs).attribute(
        x,
        sliding_window_shapes=(3, *window),
        strides=(3, *stride),
        target=[3, 500],
        baselines=fill,
        perturbations_per_eval=8,
    )
    maps = jv.occlusion(ours, y, jnp.array([3, 500]), window=window, stride=stride, fill=fill)
    assert relative_error(maps.to_pixels(), expected[:, 0].detach()) <= 1e-4
