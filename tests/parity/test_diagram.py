"""Every layer of the graph beside torchvision's module of the same name."""

import jax
import jax.numpy as jnp
import pytest
import torch
from flax import nnx

import ports
from jaxviz.diagram.architecture import architecture


def modules_of(name):
    import torchvision

    with torch.device("meta"):
        options = {"aux_logits": False, "init_weights": False} if name == "googlenet" else {}
        return dict(torchvision.models.get_model(name, **options).named_modules())


def pairs(value):
    return value if isinstance(value, tuple) else (value, value)


@pytest.mark.parametrize(
    "name",
    ["alexnet", "vgg16", "vgg11_bn", "resnet50", "resnext50_32x4d", "densenet121", "googlenet"],
)
def test_layers_are_torchvisions(name):
    net = nnx.eval_shape(lambda: ports.new(name, rngs=nnx.Rngs(0)))
    graph = architecture(net, jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32))
    nodes, found = {node.name: node for node in graph.nodes}, set()
    kinds = {
        torch.nn.Conv2d: "conv",
        torch.nn.Linear: "dense",
        torch.nn.BatchNorm2d: "batch norm",
        torch.nn.MaxPool2d: "max pool",
        torch.nn.AvgPool2d: "average pool",
        torch.nn.Dropout: "identity",
    }
    for path, module in modules_of(name).items():
        if type(module) not in kinds:
            continue
        node = nodes[path]
        found.add(path)
        assert node.kind == kinds[type(module)]
        assert node.parameters == sum(p.numel() for p in module.parameters())
        if isinstance(module, torch.nn.Conv2d):
            assert node.settings["kernel"] == module.kernel_size
            assert node.settings["stride"] == module.stride
            assert node.settings["padding"] == tuple((p, p) for p in module.padding)
            assert node.settings["dilation"] == module.dilation
            assert node.settings["groups"] == module.groups
            assert node.settings["bias"] == (module.bias is not None)
            assert node.settings["channels_read"] == module.in_channels
            assert node.shape[-1] == module.out_channels
        if isinstance(module, torch.nn.BatchNorm2d):
            assert node.settings["eps"] == pytest.approx(module.eps)
        if isinstance(module, torch.nn.MaxPool2d):
            assert node.settings["kernel"] == pairs(module.kernel_size)
            assert node.settings["stride"] == pairs(module.stride)
            # Behind, ceil_mode may add more.
            assert [low for low, _ in node.settings["padding"]] == list(pairs(module.padding))
    assert {name for name, node in nodes.items() if node.parameters} <= found
