"""One device, eight, or two machines: the same store, to the bit."""

import functools
import socket

import jax
import numpy as np
import pytest
from jax.sharding import PartitionSpec as P

import jaxviz as jv
import ports
from jaxviz.sweep.devices import mesh_of

from .conftest import files

CASES = {
    # More batches than devices, the last one not full; and the other way round: then devices share
    # the positions of an occluder.
    "saliency": {"images": 37, "method": "saliency", "options": {"batch": 2}},
    "occlusion": {
        "images": 21,
        "method": "occlusion",
        "options": {"batch": 2, "window": 6, "stride": 3},
    },
    "few": {
        "images": 3,
        "method": "occlusion",
        "options": {"batch": 1, "window": 16, "stride": 4, "fill": "mean"},
        "model": "shapes-plain",
        "size": 64,
    },
}


def free_port():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return free.getsockname()[1]


@pytest.fixture(scope="module")
def alone(server, tmp_path_factory):
    """`alone(case)`: the store of a run on one device."""
    folder = tmp_path_factory.mktemp("alone")

    @functools.cache
    def stored(case):
        server.do(folder / case, **CASES[case])
        return files(folder / case)

    return stored


@pytest.mark.parametrize("case", CASES)
def test_eight_devices_store_what_one_does(case, alone, server, tmp_path):
    server.do(tmp_path / "eight", **CASES[case], devices=8)
    assert files(tmp_path / "eight") == alone(case)


@pytest.mark.parametrize("case", ["saliency", "occlusion"])
def test_two_processes_store_what_one_does(case, alone, servers, tmp_path):
    both = servers(2)
    port = free_port()
    for process, server in enumerate(both):
        task = {"devices": 2, "processes": 2, "process": process, "port": port}
        server.begin(tmp_path / "two", **CASES[case], **task)
    for server in both:
        assert server.status() == 0, server.log.read_text()
    assert files(tmp_path / "two") == alone(case)


@pytest.mark.parametrize("late", [False, True])
def test_a_process_that_fails_ends_the_others(late, servers, tmp_path):
    # Before there is a store, for an option; or later, for a journal that cannot be written.
    wrong = {"log": str(tmp_path / "nowhere" / "log")} if late else {"curves": -1}
    both, port = servers(2), free_port()
    before = [server.log.stat().st_size for server in both]
    for process, server in enumerate(both):
        options = {"batch": 2, **(wrong if process else {})}
        task = {"options": options, "processes": 2, "process": process, "port": port}
        server.begin(tmp_path / "two", **task)
    for server in both:
        assert server.status(60) != 0
    said = [server.log.read_text()[size:] for server, size in zip(both, before, strict=True)]
    step = "opening the store" if late else "reading the images"
    assert f"process 1 stopped while {step}, and said why" in said[0]
    reason = "nowhere" if late else "curves must not be negative"
    assert f"process 1 stopped while {step}, and waits" in said[1]
    assert reason in said[1]
    # What was begun can be gone on with, here by one process.
    both[0].do(tmp_path / "two", options={"batch": 2})


@pytest.mark.parametrize("method", ["guided", "deconvnet", "grad-cam", "cam", "saliency"])
def test_a_real_net_on_four_devices(method, tmp_path):
    model, card = ports.load("shapes-plain", weights="shapes"), ports.card("shapes-plain")
    images = jv.data.shapes_images(11)
    layer = {"layer": "layer5"} if "cam" in method else {}
    for count in (1, 4):
        out = tmp_path / str(count)
        devices = jax.devices()[:count]
        options = {"batch": 2, "devices": devices, **layer}
        jv.sweep(images, model, method, out=out, prepare=card.preprocess, **options)
    assert files(tmp_path / "1") == files(tmp_path / "4")


@pytest.mark.parametrize(
    ("devices", "batches", "method", "expected"),
    [
        (4, 100, "saliency", (4, 1)),
        (4, 3, "saliency", (3, 1)),
        (4, 3, "occlusion", (2, 2)),
        (4, 1, "occlusion", (1, 4)),
        (3, 2, "occlusion", (1, 3)),
        (4, 0, "occlusion", (1, 4)),
    ],
)
def test_devices_share_positions_where_images_are_few(devices, batches, method, expected):
    mesh = mesh_of(jax.devices()[:devices], batches, method)
    assert (mesh.shape["images"], mesh.shape["positions"]) == expected


def test_positions_over_an_axis_are_the_positions():
    model, card = ports.load("shapes-plain", weights="shapes"), ports.card("shapes-plain")
    x = card.normalize(jv.data.shapes(jax.random.key(0), 2).image)
    options = {"window": (16, 16), "stride": (4, 4)}
    mesh = jax.make_mesh((4,), ("places",))
    found = jax.jit(
        jax.shard_map(
            lambda model, x: jv.occlusion(model, x, 3, over="places", **options),
            mesh=mesh,
            in_specs=P(),
            out_specs=P(),
            check_vma=False,
        )
    )(model, x)
    expected = jv.occlusion(model, x, 3, **options)
    # Other batches of positions may round differently.
    np.testing.assert_allclose(found.score, expected.score, atol=1e-4)
    assert (np.asarray(found.label) == expected.label).mean() > 0.99
