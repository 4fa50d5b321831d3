"""Maps against the masks of the shapes set: the object is where the label comes from."""

import jax
import jax.numpy as jnp
import pytest

import jaxviz as jv
import ports


@pytest.mark.parametrize("name", ["shapes-plain", "shapes-residual", "shapes-dense"])
def test_the_peak_of_the_occlusion_drop_lies_in_the_object(name):
    model, card = ports.load(name, weights="shapes"), ports.card(name)
    images, labels, masks = jv.data.shapes(jax.random.key(7), 500)
    maps = jv.occlusion(
        model, card.normalize(images), labels, window=(16, 16), stride=(4, 4)
    ).to_pixels()
    peak = jnp.argmax(maps.reshape(len(maps), -1), 1)
    hit = masks.reshape(len(masks), -1)[jnp.arange(len(masks)), peak]
    assert hit.mean() >= 0.95
