"""A store in a bucket has what a store on a disk has."""

import signal

import jax
import numpy as np
import pytest

import jaxviz as jv
from jaxviz.sweep import OtherSweep

from .bucket import Bucket
from .conftest import files


@pytest.fixture(scope="module")
def bucket():
    with pytest.MonkeyPatch.context() as environment, Bucket() as served:
        environment.setenv("TENSORSTORE_GCS_HTTP_URL", served.address)
        environment.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "anything")
        yield served
        served.shutdown()


def sweep(out, **options):
    model = jax.tree_util.Partial(lambda w, x: x.mean((1, 2)) @ w, np.eye(3, dtype=np.float32))
    images = jv.data.shapes_images(21, size=8)
    options = {"prepare": np.asarray, "batch": 2, "devices": jax.devices()[:1], **options}
    return jv.sweep(images, model, "saliency", out=out, **options)


def test_a_bucket_gets_what_a_disk_gets(bucket, tmp_path):
    place = "gs://my-bucket/run/maps.zarr"
    with pytest.raises(KeyboardInterrupt):
        sweep(place, watch=lambda progress: signal.raise_signal(signal.SIGINT))
    assert 0 < jv.sweep_status(place).counts["pending"] < 21
    assert sweep(place).counts["done"] == 21
    sweep(tmp_path / "maps.zarr")
    stored = {
        name.removeprefix("run/maps.zarr/"): content
        for name, (content, _) in bucket.objects.items()
    }
    assert stored == files(tmp_path / "maps.zarr")
    with pytest.raises(OtherSweep, match=r"target top \(now 1\)"):
        sweep(place, target=1)


def test_what_is_not_in_the_bucket(bucket):
    with pytest.raises(FileNotFoundError, match=r"no store of a sweep at gs://my-bucket/none.zarr"):
        jv.sweep_status("gs://my-bucket/none.zarr")
