"""The three shapes nets: what they compute, how their layers are named, and how well they know."""

import json
from importlib.resources import files

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxviz
import ports
from jaxviz.data import SHAPE_NAMES
from jaxviz.training import ShapesSource, evaluate
from ports.shapes import INPUT_SIZE, MEAN, STD, WIDTHS

NAMES = ["shapes-plain", "shapes-residual", "shapes-dense"]
SOURCE = ShapesSource(mean=MEAN[0], std=STD[0], size=INPUT_SIZE)
IMAGES = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")


@pytest.fixture(scope="module", params=NAMES)
def packaged(request):
    return request.param, ports.load(request.param, weights="shapes")


@pytest.fixture(scope="module")
def picture():
    return SOURCE(jax.random.key(11), 2)[0]


def values(model, x, names):
    """The named layers' values, by one compiled call."""
    return jax.jit(lambda model, x: jaxviz.capture(model, x, names))(model, x)


def test_packaged_weights_know_fresh_images(packaged):
    name, model = packaged
    accuracy = evaluate(model, SOURCE, key=jax.random.key(31), count=2000)
    assert accuracy >= 0.97, name


def test_the_record_tells_the_truth(packaged):
    name, model = packaged
    folder = files("ports") / "weights"
    record = json.loads((folder / f"{name}.json").read_text())
    assert record["parameters"] == sum(
        leaf.size for leaf in jax.tree.leaves(nnx.state(model, nnx.Param))
    )
    assert record["parameters"] <= 250_000
    assert record["command"] == f"jaxviz train --model {name} --seed {record['seed']} --out DIR"
    assert f"`jaxviz train --model {name} --seed {record['seed']}`" in ports.card(name).source
    assert len((folder / f"{name}.safetensors").read_bytes()) < 1.1e6
    assert [line["step"] for line in record["curve"]][-1] == record["steps"]
    fresh = record["fresh_images"]
    again = evaluate(model, SOURCE, key=jax.random.key(fresh["key"]), count=fresh["count"])
    # Rounding may tip an image or two on another processor.
    assert again == pytest.approx(fresh["accuracy"], abs=2e-3)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_further_training_runs_are_as_good_and_others(name, seed):
    model = ports.load(name, weights=f"shapes-{seed}")
    record = json.loads((files("ports") / "weights" / f"{name}-{seed}.json").read_text())
    assert (record["model"], record["seed"]) == (name, seed)
    assert record["command"] == f"jaxviz train --model {name} --seed {seed} --out DIR"
    assert list(record) == list(
        json.loads((files("ports") / "weights" / f"{name}.json").read_text())
    )
    fresh = record["fresh_images"]
    accuracy = evaluate(model, SOURCE, key=jax.random.key(fresh["key"]), count=fresh["count"])
    assert accuracy == pytest.approx(fresh["accuracy"], abs=2e-3)
    assert accuracy >= 0.97
    first = ports.load(name, weights="shapes")
    assert not np.array_equal(first.fc.kernel, model.fc.kernel)


def test_the_card_names_the_weights_that_there_are():
    for name in NAMES:
        assert "'shapes-1' and 'shapes-2'" in ports.card(name).source
        with pytest.raises(ValueError, match="are: 'shapes', 'shapes-1', 'shapes-2'"):
            ports.load(name, weights="shapes-3")


def test_classes_are_those_of_the_set():
    for name in NAMES:
        assert ports.card(name).categories == SHAPE_NAMES


def test_stages_have_the_same_shapes_in_all_three(packaged):
    name, model = packaged
    layers = jaxviz.layers(model, IMAGES)
    for number, (width, side) in enumerate(zip(WIDTHS, (64, 32, 16, 8, 8), strict=True), start=1):
        assert layers[f"layer{number}"].shape == (2, side, side, width), name
    assert layers["fc"].shape == (2, 10)


def test_every_module_and_every_relu_has_a_name(packaged):
    name, model = packaged
    layers = set(jaxviz.layers(model, IMAGES))
    modules = {".".join(map(str, path[:-1])) for path, _ in nnx.to_flat_state(nnx.state(model))}
    containers = {module.rsplit(".", 1)[0] for module in modules if "." in module}
    assert modules | containers <= layers
    jaxpr = str(jax.make_jaxpr(model)(jnp.zeros((1, 64, 64, 3))))
    relus = {layer for layer in layers if "relu" in layer}
    assert len(relus) == (13 if name == "shapes-dense" else 9)
    assert jaxpr.count("name=relu") >= len(relus)


def test_class_activation_maps_explain_the_logits(packaged, picture):
    # CAM's condition: the logits are the dense head applied to the mean of the last maps.
    _, model = packaged
    logits, layers = values(model, picture, ["layer5"])
    pooled = np.asarray(layers["layer5"], np.float64).mean((1, 2))
    by_hand = pooled @ np.asarray(model.fc.kernel[...]) + np.asarray(model.fc.bias[...])
    np.testing.assert_allclose(logits, by_hand, rtol=1e-4, atol=1e-4)


def normalised(x, norm):
    """Batch normalisation by its formula."""
    scale, shift = np.asarray(norm.scale[...], np.float64), np.asarray(norm.bias[...])
    mean, variance = np.asarray(norm.mean[...]), np.asarray(norm.var[...], np.float64)
    return (x - mean) / np.sqrt(variance + 1e-5) * scale + shift


def convolved(x, kernel):
    """A convolution with zeros around, as sums over shifted copies, in float64."""
    kernel = np.asarray(kernel, np.float64)
    reach = kernel.shape[0] // 2
    height, width = x.shape[1:3]
    padded = np.pad(np.asarray(x, np.float64), [(0, 0), (reach, reach), (reach, reach), (0, 0)])
    return sum(
        padded[:, i : i + height, j : j + width] @ kernel[i, j]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    )


def pooled(x):
    n, height, width, channels = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, channels).max((2, 4))


def by_hand(name, model, x):
    """The whole net in NumPy, from the papers' formulas."""

    def block(x, conv, norm):
        return normalised(convolved(x, conv.kernel[...]), norm)

    def relu(x):
        return np.maximum(x, 0)

    x = relu(block(x, model.layer1.conv1, model.layer1.bn1))
    for number in range(2, 6):
        stage = getattr(model, f"layer{number}")
        x = pooled(x) if number < 5 else x
        first = relu(block(x, stage.conv1, stage.bn1))
        if name == "shapes-plain":
            x = relu(block(first, stage.conv2, stage.bn2))
        elif name == "shapes-residual":
            shortcut = block(x, *stage.downsample)
            x = relu(block(first, stage.conv2, stage.bn2) + shortcut)
        else:
            so_far = np.concatenate([x, first], -1)
            second = relu(block(so_far, stage.conv2, stage.bn2))
            so_far = np.concatenate([so_far, second], -1)
            x = relu(block(so_far, stage.conv3, stage.bn3))
    return x.mean((1, 2)) @ np.asarray(model.fc.kernel[...]) + np.asarray(model.fc.bias[...])


def test_logits_agree_with_numpy(packaged, picture):
    name, model = packaged
    logits = jax.jit(lambda model, x: model(x))(model, picture)
    truth = by_hand(name, model, np.asarray(picture))
    assert np.abs(logits - truth).max() / np.abs(truth).max() < 1e-5


def test_training_mode_learns_statistics():
    model = ports.load("shapes-plain", key=jax.random.key(0), num_classes=3)
    model.train()

    @jax.jit
    def run(model, x):
        return model(x), model.layer3.bn1.mean[...]

    logits, mean = run(model, jnp.ones((2, 64, 64, 3)))
    assert logits.shape == (2, 3)
    assert np.abs(mean).max() > 0
