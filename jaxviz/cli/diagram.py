"""`jaxviz diagram`: a port's architecture, for the tools that draw it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import jax
import jax.numpy as jnp
import tyro

__all__ = ["diagram"]


def diagram(
    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")],
    *,
    format: Annotated[tuple[str, ...], tyro.conf.arg(metavar="FORMAT...")] = ("text", "mermaid"),
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-diagram",
    depth: Annotated[int | None, tyro.conf.arg(metavar="N")] = None,
    size: Annotated[int | None, tyro.conf.arg(metavar="PIXELS")] = None,
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
) -> None:
    """Draws a model's architecture; no weights are needed but for ONNX.

    Example: jaxviz diagram resnet50 --format svg tikz --depth 2 --out resnet50

    Args:
      model: A port; `jaxviz layers` lists them.
      format: One or more of text, dot, svg, png, mermaid, tikz, pdf, plotneuralnet, daft, daft-pdf,
        prototxt (Netscope), convnetdraw, onnx (Netron), or "all".
      out: Folder for the files; each is named after the model.
      depth: How many parts of the layers' names to tell apart; by default as many as are readable.
      size: Side of the input; by default the model's own.
      weights: For onnx, as for `jaxviz explain`, or "random".
    """
    from flax import nnx

    import ports
    from jaxviz import report
    from jaxviz.cli import inputs
    from jaxviz.cli.mistakes import Mistake, one_sentence
    from jaxviz.cli.progress import progress
    from jaxviz.diagram.architecture import architecture
    from jaxviz.diagram.formats import FORMATS, checked_format, written

    report.check_writable(out)
    card = inputs.checked_card(model)
    side = card.input_size if size is None else size
    if not 1 <= side <= 4096:
        raise Mistake(f"--size must be from 1 to 4096 pixels, not {side}")
    if depth is not None and depth < 1:
        raise Mistake(f"--depth must be at least 1, not {depth}")
    if not format:
        raise Mistake(f"--format needs at least one of {', '.join(FORMATS)}, or all")
    names = list(dict.fromkeys(FORMATS if "all" in format else format))
    x = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
    net = nnx.eval_shape(lambda: ports.new(model, rngs=nnx.Rngs(0)))
    try:
        graph = architecture(net, x)
    except ValueError as error:
        raise Mistake(f"--size {side} does not suit {model}: {error}") from error
    files, failed = [], []
    with progress(len(names)) as step:
        for name in names:
            step(name)
            try:
                suffix = checked_format(name).suffix
                given = inputs.load_port(model, weights).model if name == "onnx" else net
                content = written(given, x, graph, name, depth=depth, title=model)
                files.append(report.write_file(Path(out) / f"{model}{suffix}", content))
            except Exception as error:
                sentence = one_sentence(error)
                if sentence is None:
                    raise
                failed.append(f"{name}: {sentence}" if name in FORMATS else sentence)
    if files:
        listed = ", ".join(path.name for path in files)
        print(
            f"wrote {listed} to {out}: {graph.parameters:,} parameters, "
            f"{graph.multiplications:,} multiplications"
        )
    if failed:
        raise Mistake("; ".join(sentence.rstrip(".") for sentence in failed))
