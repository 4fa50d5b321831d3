"""The main job: a photograph and a full-size checkpoint of torchvision's, end to end."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

torch = pytest.importorskip("torch")

from jaxviz.cli import main  # noqa: E402


@pytest.fixture(scope="module")
def photograph(tmp_path_factory):
    """A JPEG of 640 x 427 pixels: sky, hills, a tent and a house, blurred and grained."""
    rng = np.random.default_rng(3)
    height, width = 427, 640
    y, x = np.mgrid[0:height, 0:width]
    sky = np.stack([110 + 90 * y / height, 160 + 60 * y / height, 225 - 20 * y / height], -1)
    scene = Image.fromarray(sky.astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    for _ in range(9):
        colour = tuple(int(value) for value in rng.integers(40, 220, 3))
        cx, cy, r = rng.integers(0, width), rng.integers(height // 3, height), rng.integers(30, 110)
        draw.ellipse((cx - r, cy - 0.8 * r, cx + r, cy + 0.8 * r), fill=colour)
    draw.polygon([(150, 400), (250, 150), (350, 400)], fill=(90, 60, 40))
    draw.rectangle((400, 200, 520, 420), fill=(200, 190, 170))
    blurred = np.asarray(scene.filter(ImageFilter.GaussianBlur(1.5)), float)
    grain = rng.normal(0, 9, (height, width, 1)) + 6 * np.sin(x / 3)[..., None]
    path = tmp_path_factory.mktemp("photograph") / "photo.jpg"
    pixels = np.clip(blurred + grain, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=88)
    return path


def torchvision_input(path):
    """What torchvision's own transforms make of a file: in [0, 1], and normalised."""
    from torchvision.transforms import v2

    shown = v2.Compose(
        [
            v2.Resize(256, antialias=True),
            v2.CenterCrop(224),
            v2.PILToTensor(),
            v2.ToDtype(torch.float32, scale=True),
        ]
    )(Image.open(path))
    normalise = v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return shown.permute(1, 2, 0).numpy(), normalise(shown)[None]


@pytest.mark.parametrize("name", ["vgg16", "resnet50", "densenet201"])
def test_explain_a_photograph_as_torchvision_sees_it(
    name, photograph, tmp_path, alive_torch_model, relative_error
):
    theirs = alive_torch_model(name)
    torch.save(theirs.state_dict(), tmp_path / f"{name}.pth")
    out = tmp_path / "seen"
    # Every method, with few places for the occluding square, so that the test takes seconds.
    command = ["explain", photograph, "--model", name, "--weights", tmp_path / f"{name}.pth"]
    options = ["--out", out, "--window", "64", "--stride", "80"]
    assert main([str(word) for word in [*command, *options]]) == 0

    shown, x = torchvision_input(photograph)
    pixels = np.asarray(Image.open(out / "001-photo-image.png")) / 255
    assert np.abs(pixels - shown).max() <= 2 / 255
    with torch.no_grad():
        expected = theirs(x)[0].numpy()
    record = json.loads((out / "numbers.json").read_text())["images"][0]
    assert relative_error(record["logits"], expected) <= 1e-3
    top = np.argsort(-expected)[:5]
    assert [entry["class"] for entry in record["top"]] == top.tolist()
    probability = np.exp(expected - expected.max())
    probability /= probability.sum()
    assert record["top"][0]["probability"] == pytest.approx(probability[top[0]], rel=1e-2)
    drop = np.array(record["occlusion_drop"])
    assert drop.shape == (3, 3)
    assert np.isfinite(drop).all()
    assert np.max(record["grad_cam"]) > 0
    for end in ("saliency", "guided", "deconvnet", "grad-cam", "occlusion", "labels"):
        picture = np.asarray(Image.open(out / f"001-photo-{end}.png"))
        assert picture.shape == (224, 224, 3)
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 10, f"{end} is one flat colour"
