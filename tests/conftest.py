"""Four simulated devices of the CPU, for the tests of sharding; before JAX starts."""

import contextlib
import os

import pytest

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
).strip()


@contextlib.contextmanager
def counted_compilations():
    """A list that every compilation is added to."""
    import jax

    events = []

    def listen(event, *_, **__):
        if "backend_compile" in event:
            events.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.block_until_ready(jax.jit(lambda x: 3 * x)(1.0))
        assert len(events) == 1  # the count counts
        events.clear()
        yield events
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


@pytest.fixture
def compilations():
    """A context that gives a list, to which every compilation is added."""
    return counted_compilations
