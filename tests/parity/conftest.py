"""Comparisons with other people's code: torchvision, captum, timm.

The folder is skipped as a whole where torch is not installed.

torchvision is installed without its compiled operators here (its release asks for another build of
torch), so before its import torch is told of the two operators it looks up at once.
"""

from __future__ import annotations

import contextlib
import importlib.util
import warnings

import numpy as np
import pytest

if importlib.util.find_spec("torch") is None or importlib.util.find_spec("torchvision") is None:
    collect_ignore_glob = ["test_*.py"]

    def pytest_report_header(config):
        return "tests/parity: skipped, torch and torchvision are not installed (extra: parity)"

else:
    import torch

    _library = torch.library.Library("torchvision", "DEF")
    for _operator in (
        "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
        "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    ):
        # A torchvision that has its operators defines them first, and then they are known.
        with contextlib.suppress(RuntimeError):
            _library.define(_operator)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torchvision

    def alive_torch_model(name: str, seed: int = 0, **options):
        """torchvision's model `name`, random, in eval mode, with activations alive in every layer.

        He initialisation and randomised batch-norm statistics. The statistics of each layer are set
        near those of what reaches it, so that a deep net neither dies out nor overflows, and differ
        from them enough that a mistake in any of the four vectors shows.
        """
        torch.manual_seed(seed)
        if name == "googlenet":
            options = {"init_weights": False, "transform_input": True, **options}
        model = torchvision.models.get_model(name, weights=None, **options).eval()
        with torch.no_grad():
            for path, module in model.named_modules():
                if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
                    torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                    if module.bias is not None:
                        torch.nn.init.normal_(module.bias, std=0.1)
                elif isinstance(module, torch.nn.ReLU):
                    # In place, it would overwrite what hooks and feature extractors kept.
                    module.inplace = False
                elif isinstance(module, torch.nn.BatchNorm2d):
                    # The branches of a trained ResNet are weak beside the shortcuts.
                    module.gain = 0.3 if path.endswith("bn3") else 1.0
                    module.register_forward_pre_hook(_set_statistics)
            model(_varied_images())
            for module in model.modules():
                module._forward_pre_hooks.clear()
        return model

    def _varied_images():
        """Four images of blobs and noise, of different contrast.

        With noise alone the channels of deep layers hardly vary, and normalising them would blow up
        rounding errors: torch itself would be 1.5e-5 away from its own float64.
        """
        blobs = torch.nn.functional.interpolate(torch.randn(4, 3, 4, 4), size=96, mode="bilinear")
        contrast = torch.tensor([0.5, 1.0, 2.0, 4.0])[:, None, None, None]
        return contrast * (blobs + 0.5 * torch.randn(4, 3, 96, 96))

    def _set_statistics(module, inputs):
        (x,) = inputs
        shape = module.weight.shape
        mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3)) + 1e-3
        module.running_mean.copy_(mean + 0.1 * var.sqrt() * torch.randn(shape))
        module.running_var.copy_(var * (1 + torch.rand(shape)))
        module.weight.copy_(module.gain * (0.5 + torch.rand(shape)))
        module.bias.copy_(0.2 * torch.randn(shape))

    @pytest.fixture(name="alive_torch_model", scope="session")
    def _alive_torch_model():
        """`alive_torch_model`, for tests: (name, seed=0, **options) -> torch model."""
        return alive_torch_model

    @pytest.fixture(scope="session")
    def ported():
        """(torch model, name, folder) -> the port with the same weights, through a file."""
        import ports

        def port(model, name, folder, **options):
            path = folder / f"{name}.pth"
            torch.save(model.state_dict(), path)
            return ports.load(name, path, **options)

        return port


def relative_error(ours, theirs) -> float:
    """max |a - b| / max |b|; the reference must not be zero or NaN throughout."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    largest = np.abs(theirs).max()
    assert 1e-6 < largest < np.inf, f"the reference is dead or overflows: {largest}"
    return float(np.abs(ours - theirs).max() / largest)


@pytest.fixture(name="relative_error", scope="session")
def _relative_error():
    """`relative_error`, for tests."""
    return relative_error
