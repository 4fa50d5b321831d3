"""Cards: preprocessing and its faults. tests/parity compares it with torchvision's."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxviz as jv
import ports


def test_sizes_types_and_batches():
    card = ports.card("vgg16")
    one = np.random.default_rng(0).random((40, 60, 3), np.float32)
    other = np.random.default_rng(1).random((50, 30, 3), np.float32)
    x = card.preprocess(one)
    assert (x.shape, x.dtype) == ((1, 224, 224, 3), np.float32)
    np.testing.assert_array_equal(card.preprocess([one, other])[0], x[0])
    np.testing.assert_array_equal(card.preprocess([one, other])[1], card.preprocess(other)[0])
    np.testing.assert_array_equal(card.preprocess(np.stack([one, one]))[1], x[0])


def test_what_the_model_saw_is_the_input_without_normalisation():
    card = ports.card("resnet50")
    image = np.random.default_rng(0).random((256, 300, 3), np.float32)
    seen = card.to_display(image)
    # The shorter side has the right length already: a crop, in 8 bits.
    np.testing.assert_allclose(seen[0], image[16:240, 38:262], atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(card.preprocess(image), card.normalize(jnp.asarray(seen)))


def test_normalisation_is_differentiable_and_keeps_the_precision():
    card = ports.card("resnet50")
    x = jnp.full((2, 2, 3), 0.5)
    np.testing.assert_allclose(
        card.normalize(x)[0, 0], (0.5 - np.array(card.mean)) / np.array(card.std), rtol=1e-6
    )
    gradient = jax.grad(lambda x: card.normalize(x).sum())(x)
    np.testing.assert_allclose(gradient[1, 1], 1 / np.array(card.std), rtol=1e-6)
    assert card.normalize(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_program_with_a_cards_function_compiles_once():
    compiled = []

    @partial(jax.jit, static_argnames="preprocess")
    def program(x, preprocess):
        compiled.append(1)
        return preprocess(x)

    for _ in range(2):
        program(jnp.ones((2, 2, 3)), ports.card("vgg16").normalize)
    assert len(compiled) == 1
    program(jnp.ones((2, 2, 3)), ports.card("shapes-plain").normalize)
    assert len(compiled) == 2


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((4, 4)), r"an image is an array \(h, w, 3\) .* shape \(4, 4\)"),
        (np.zeros((4, 4, 4)), r"shape \(4, 4, 4\)"),
        (np.zeros((0, 4, 3)), r"shape \(0, 4, 3\)"),
        (np.zeros((4, 4, 3), np.uint8), "dtype uint8; divide 8-bit values by 255"),
        (np.full((4, 4, 3), 255.0), r"values in \[0, 1\] and this one has \[255, 255\]"),
        (np.full((4, 4, 3), -0.5), r"values in \[0, 1\]"),
        (np.full((4, 4, 3), np.nan), "finite values"),
        (np.full((4, 4, 3), np.inf), "finite values"),
        (np.zeros((1, 101, 3)), "at most 100 times as long as wide and this one has 101 x 1"),
        ([], "at least one image"),
    ],
)
def test_faults_of_an_image(image, message):
    with pytest.raises(ValueError, match=message):
        ports.card("vgg16").preprocess(image)


def test_rounding_errors_beyond_the_range_are_no_fault():
    seen = ports.card("vgg16").to_display(np.full((8, 8, 3), 1.0 + 1e-6))
    assert seen.max() == 1.0


def test_shapes_cards_are_those_of_the_data():
    for name in ("shapes-plain", "shapes-residual", "shapes-dense"):
        card = ports.card(name)
        assert card.categories == jv.data.SHAPE_NAMES
        assert card.preprocess(np.zeros((64, 64, 3))).shape == (1, 64, 64, 3)


def test_categories():
    categories = ports.card("resnet50").categories
    assert (len(categories), categories[0], categories[-1]) == (1000, "tench", "toilet tissue")
    assert ports.card("zfnet").categories == ()


def test_where_weights_come_from_is_told_honestly():
    vgg, other = ports.card("vgg16").source, ports.card("vgg19").source
    assert "timm/vgg16.tv_in1k, revision b8d8aa2dd860af9233c8c67385a8097fd6c35d3f; no che" in vgg
    assert "timm/vgg19.tv_in1k, branch 'main' (not pinned to a commit); no checksum" in other
    assert ports.card("alexnet").source == "torchvision's alexnet-owt-7be5be79.pth"
    assert ports.card("zfnet").source == "no public weights"


@pytest.mark.parametrize("size", [(300, 400), (512, 256), (100, 90)])
def test_a_box_is_where_its_pixels_are(size):
    """A white box on black, through the card: where it is white is where the card places it."""
    card, (height, width) = ports.card("resnet18"), size
    box = (height // 4, width // 3, height // 2, 3 * width // 4)
    image = np.zeros((*size, 3), np.float32)
    image[box[0] : box[2], box[1] : box[3]] = 1
    white = card.to_display(image)[0, ..., 0] > 0.5
    rows, columns = (np.flatnonzero(white.any(axis)) for axis in (1, 0))
    top, left, bottom, right = card.place(box, size=size)
    expected = np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1])
    assert np.abs(np.array([top, left, bottom, right]) - expected).max() <= 1


def test_a_box_that_is_cropped_away():
    card = ports.card("vgg16")
    assert card.place((0, 0, 256, 256), size=(256, 512)) == (0, 0, 224, 112)
    with pytest.raises(ValueError, match="the middle 224 of the 256 x 512 pixels"):
        card.place((0, 0, 50, 50), size=(256, 512))
