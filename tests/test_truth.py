"""Maps against the masks of the shapes set: the object is where the label comes from."""

import jax
import jax.numpy as jnp

import jaxviz as jv
import ports


def test_the_peak_of_the_occlusion_drop_lies_in_the_object():
    """Over 500 fresh images; `python -m benchmarks.pointing` plays it for all maps and nets.

    The occluder has the image's mean colour and is smaller than most objects: a grey square beside
    an object makes new outlines, and one that is larger than a ring has its peak in the hole.
    """
    model, card = ports.load("shapes-residual", weights="shapes"), ports.card("shapes-residual")
    images, labels, masks = jv.data.shapes(jax.random.key(7), 500)
    x = card.normalize(images)
    maps = jv.occlusion(
        model, x, labels, window=(8, 8), stride=(4, 4), fill=x.mean((1, 2), keepdims=True)
    ).to_pixels()
    peak = jnp.argmax(maps.reshape(len(maps), -1), 1)
    hit = masks.reshape(len(masks), -1)[jnp.arange(len(masks)), peak]
    assert hit.mean() >= 0.95
