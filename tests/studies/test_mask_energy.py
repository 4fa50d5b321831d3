"""Energy on the object, against counting pixels."""

import numpy as np
import pytest

from jaxviz.studies import MaskEnergy, mask_energy, object_share
from jaxviz.transform import ReceptiveFields


def test_shares_by_hand():
    rng = np.random.default_rng(0)
    projections = rng.normal(size=(5, 7, 9, 3))
    masks = rng.random((5, 7, 9)) < 0.4
    top, left = rng.integers(0, 4, (2, 5))
    fields = ReceptiveFields(top, top + 3, left, left + 5)
    found = mask_energy(projections, masks, fields)
    for i in range(5):
        box = np.zeros((7, 9), bool)
        box[top[i] : top[i] + 3, left[i] : left[i] + 5] = True
        energy = (projections[i] ** 2).sum(-1)
        assert found.inside[i] == pytest.approx(energy[masks[i]].sum() / energy.sum(), rel=1e-12)
        assert found.chance[i] == (box & masks[i]).sum() / 15
        assert found.visible[i] == (box & masks[i]).sum() / masks[i].sum()


def test_an_even_projection_has_the_share_of_chance():
    projections, masks = np.zeros((1, 8, 8, 3)), np.zeros((1, 8, 8), bool)
    projections[0, 2:6, 1:7] = -2.0
    masks[0, 4:, :3] = True
    fields = ReceptiveFields(*(np.array([edge]) for edge in (2, 6, 1, 7)))
    found = mask_energy(projections, masks, fields)
    assert found.inside == pytest.approx(found.chance, rel=1e-12)


def test_an_empty_projection_has_no_share_and_an_empty_mask_none_of_it():
    fields = ReceptiveFields(*(np.array([edge]) for edge in (0, 4, 0, 4)))
    found = mask_energy(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4), bool), fields)
    assert np.isnan(found.inside).all()
    assert [float(part[0]) for part in found[1:]] == [0, 0]
    assert mask_energy(np.ones((1, 4, 4, 1)), np.zeros((1, 4, 4), bool), fields).inside == 0


def energies(inside, chance, visible):
    return MaskEnergy(*(np.array(part, float) for part in (inside, chance, visible)))


def test_channels_that_are_shown_the_object_count_with_the_images_that_show_it():
    channels = [
        energies([1, 1, 1], [0, 0, 0], [0.1, 0.2, 0.9]),  # one image of three
        energies([0.2, 0.4, np.nan, 0.9], [0.1, 0.3, 0.9, 0.9], [1, 0.5, 1, 0.4]),  # three
        energies([0.6, 0.8], [0.1, 0.1], [0.7, 0.3]),  # just half of them
        energies([np.nan], [0.5], [1]),  # an empty projection is none beside the object
    ]
    found = object_share(channels)
    assert found.channels.tolist() == [1]
    assert found.inside == pytest.approx([0.3])
    assert found.chance == pytest.approx([0.2])
    means = found.estimates()
    assert means is not None
    assert (means[0].mean, means[0].error) == (pytest.approx(0.3), 0)
    assert object_share(channels[:1]).estimates() is None
    assert len(object_share([]).channels) == 0
