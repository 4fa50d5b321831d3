"""Which models there are: how each is built, and where its weights come from."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flax import nnx

from ports import alexnet, densenet, googlenet, resnet, shapes, vgg, zfnet

__all__ = ["BRANCH", "Entry", "entry", "names"]

BRANCH = "main"
"""The branch of the Hub's repositories that is read where no commit is pinned."""


class Entry(NamedTuple):
    """What is known of a model before any weight is read.

    Attributes:
        build: makes the model; takes `rngs` and the options of its class.
        parameters: number of trainable numbers.
        file: torchvision's file of ImageNet weights, or None.
        repo: repository of the same weights on the Hugging Face Hub, or None.
        revision: the commit of that repository that is read, or its branch.
        renames: foreign names of tensors, patterns and replacements.
        surplus: pattern of the names of tensors that a checkpoint may have beside the model's.
        resize: shorter side that images are resized to before the crop, in pixels.
    """

    build: Callable[..., nnx.Module]
    parameters: int
    file: str | None = None
    repo: str | None = None
    revision: str = BRANCH
    renames: Mapping[str, str] | None = None
    surplus: str | None = None
    resize: int = 256


# Name: (parameters, torchvision's file of version-1 ImageNet weights).
_FILES = {
    "alexnet": (61_100_840, "alexnet-owt-7be5be79.pth"),
    "vgg11": (132_863_336, "vgg11-8a719046.pth"),
    "vgg11_bn": (132_868_840, "vgg11_bn-6002323d.pth"),
    "vgg13": (133_047_848, "vgg13-19584684.pth"),
    "vgg13_bn": (133_053_736, "vgg13_bn-abd245e5.pth"),
    "vgg16": (138_357_544, "vgg16-397923af.pth"),
    "vgg16_bn": (138_365_992, "vgg16_bn-6c64b313.pth"),
    "vgg19": (143_667_240, "vgg19-dcbb9e9d.pth"),
    "vgg19_bn": (143_678_248, "vgg19_bn-c79401a0.pth"),
    "resnet18": (11_689_512, "resnet18-f37072fd.pth"),
    "resnet34": (21_797_672, "resnet34-b627a593.pth"),
    "resnet50": (25_557_032, "resnet50-0676ba61.pth"),
    "resnet101": (44_549_160, "resnet101-63fe2227.pth"),
    "resnet152": (60_192_808, "resnet152-394f9c45.pth"),
    "resnext50_32x4d": (25_028_904, "resnext50_32x4d-7cdf4587.pth"),
    "resnext101_32x8d": (88_791_336, "resnext101_32x8d-8ba56ff5.pth"),
    "resnext101_64x4d": (83_455_272, "resnext101_64x4d-173b62eb.pth"),
    "wide_resnet50_2": (68_883_240, "wide_resnet50_2-95faca4d.pth"),
    "wide_resnet101_2": (126_886_696, "wide_resnet101_2-32ee1156.pth"),
    "densenet121": (7_978_856, "densenet121-a639ec97.pth"),
    "densenet161": (28_681_000, "densenet161-8d451a50.pth"),
    "densenet169": (14_149_480, "densenet169-b2777c0a.pth"),
    "densenet201": (20_013_928, "densenet201-c1103571.pth"),
    "googlenet": (6_624_904, "googlenet-1378be20.pth"),
    "zfnet": (62_357_608, None),
}


# Commits of timm's repositories, as other projects pin them; none is known of the others.
_REVISIONS = {
    "vgg16": "b8d8aa2dd860af9233c8c67385a8097fd6c35d3f",
    "resnet18": "bbd144b3e5565108aad885f145491d11bc6ce807",
    "resnet34": "1b7b21cca82ff974d341713f777bf740c2db38c4",
    "resnet50": "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
    "wide_resnet50_2": "343c5fa59ca8a131e0cdf42144a641b36a0387c2",
    "densenet121": "f0d0f2698a02cb133b09d48396db6e1e46fe9f3b",
}


def _family(module: Any, *, on_hub: bool = True) -> dict[str, Entry]:
    entries = {}
    for name, build in module.VARIANTS.items():
        parameters, file = _FILES[name]
        entries[name] = Entry(
            build=build,
            parameters=parameters,
            file=file,
            repo=f"timm/{name}.tv_in1k" if on_hub else None,
            revision=_REVISIONS.get(name, BRANCH),
            renames=getattr(module, "RENAMES", None),
            surplus=getattr(module, "SURPLUS", None),
            # The one model whose version-1 weights came with the newer training recipe.
            resize=232 if name == "resnext101_64x4d" else 256,
        )
    return entries


_ENTRIES: dict[str, Entry] = {
    **_family(alexnet, on_hub=False),
    **_family(zfnet, on_hub=False),
    **_family(vgg),
    **_family(resnet),
    **_family(densenet),
    **_family(googlenet, on_hub=False),
    "shapes-plain": Entry(shapes.ShapesPlain, 219_514, resize=shapes.INPUT_SIZE),
    "shapes-residual": Entry(shapes.ShapesResidual, 230_202, resize=shapes.INPUT_SIZE),
    "shapes-dense": Entry(shapes.ShapesDense, 150_266, resize=shapes.INPUT_SIZE),
}


def names() -> list[str]:
    """The names of all models.

    Example:
        >>> names()[:3]
        ['alexnet', 'zfnet', 'vgg11']
    """
    return list(_ENTRIES)


def entry(name: str) -> Entry:
    """The entry of the model `name`; ValueError lists the nearest names if there is none."""
    if name in _ENTRIES:
        return _ENTRIES[name]
    near = difflib.get_close_matches(str(name), _ENTRIES, n=3, cutoff=0.5)
    nearest = f" nearest: {', '.join(near)};" if near else ""
    raise ValueError(f"unknown model {name!r};{nearest} `ports.names()` lists all.")
