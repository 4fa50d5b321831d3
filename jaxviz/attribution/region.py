"""Where an image shows the target: a mask for an ascent, from a class activation map."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxviz.attribution.cam import grad_cam
from jaxviz.synthesis.ascent import Region
from jaxviz.synthesis.objectives import Objective

__all__ = ["cam_region"]


@functools.cache
def cam_region(
    layer: str, *, threshold: float = 0.2, softness: float = 0.1, every: int = 8
) -> Region:
    """Confines an ascent to where the image, as it evolves, already speaks for its target.

    The mask is a soft threshold of the Grad-CAM map over its maximum. So one object grows where
    the target was first seen, instead of parts of it all over the image.

    Args:
      layer: a layer of shape (n, rows, cols, channels); usually the last such.
      threshold: the share of the map's maximum, in [0, 1], at which a pixel keeps half of its
        gradient; by default that which Zhou et al. take for the border of an object.
      softness: how much of the maximum lies between a half and three quarters of the gradient,
        about; above 0.
      every: after how many steps the map is made again.

    Returns:
      A region for `jv.maximize`. Where nothing speaks for the target the mask is 1 everywhere.

    Raises:
      ValueError: a number is out of range; when used, where the layer is unknown or has no places.

    Example:
      >>> import jax, jax.numpy as jnp, jaxviz as jv
      >>> model = lambda x: jv.tap(x, "conv").sum((1, 2))
      >>> region = jv.cam_region("conv")
      >>> x = jnp.array([1.0, 0.0]).reshape(1, 1, 2, 1)
      >>> (region.mask(model, x, jv.objectives.logit(0)) > 0.5).tolist()
      [[[True, False]]]

    References:
      Tao, Fu, Zhu, Wang, Deep visualization based on the spatial pyramid decomposition, 2017: the
      region by class activation map. The soft threshold is our choice.
      Zhou et al., Learning deep features for discriminative localization, 2016, section 3.2.
      Selvaraju et al., Grad-CAM, 2017.
    """
    if not (0 <= threshold <= 1 and softness > 0 and every >= 1):
        raise ValueError(
            "threshold must be in [0, 1], softness above 0 and every at least 1; got "
            f"{threshold}, {softness} and {every}."
        )

    def mask(
        model: Callable, x: Float[Array, "n h w c"], objective: Objective
    ) -> Float[Array, "n rows cols"]:
        heat = grad_cam(model, x, objective, layer=layer)
        most = heat.max((1, 2), keepdims=True)
        share = heat / jnp.where(most > 0, most, 1)
        return jnp.where(most > 0, jax.nn.sigmoid((share - threshold) / softness), 1)

    return Region(mask, every)
