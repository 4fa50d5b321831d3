"""Sweeps in processes of their own, which may be killed: `python small_sweep.py`.

JAX is imported once, and not yet started. Every line of the input is a sweep, as JSON, which a
fork of this process does; on the output come its number and, when it has ended, its status.
"""

import json
import os
import sys
import time


def run(task):
    os.environ["XLA_FLAGS"] = f"--xla_force_host_platform_device_count={task['devices']}"
    import jax
    import numpy as np
    from jax.tree_util import Partial

    import jaxviz as jv
    import ports

    jax.config.update("jax_compilation_cache_dir", task["cache"])
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    if task["processes"] > 1:
        address = f"localhost:{task['port']}"
        jax.distributed.initialize(address, task["processes"], task["process"])

    def prepare(image):
        time.sleep(task["pause"])
        return np.float32(2) * image - np.float32(1)

    if task["model"] == "linear":
        weights = np.linspace(-1, 1, 30, dtype=np.float32).reshape(3, 10)
        model = Partial(lambda weights, x: jax.nn.relu(x).mean((1, 2)) @ weights, weights)
    else:
        model = ports.load(task["model"], weights="shapes")
    images = jv.data.shapes_images(task["images"], size=task["size"])
    jv.sweep(
        images,
        model,
        task["method"],
        out=task["out"],
        prepare=prepare,
        masks=images.masks,
        **task["options"],
    )


def main():
    # What a sweep needs, without a device being looked for.
    import tensorstore  # noqa: F401

    import jaxviz  # noqa: F401
    import ports  # noqa: F401

    print("ready", flush=True)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            os.dup2(2, 1)  # the output is for what this process has to say
            status = 1
            try:
                run(json.loads(line))
                status = 0
            except BaseException:
                import traceback

                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(status)
        print(child, flush=True)
        print(os.waitpid(child, 0)[1], flush=True)


if __name__ == "__main__":
    main()
