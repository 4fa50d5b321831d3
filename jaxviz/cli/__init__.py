"""The command line: `jaxviz COMMAND ...`, one file for each command."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> int:
    """Runs a command; a user's mistake is one sentence on stderr, a bug keeps its traceback.

    Args:
      args: the words after `jaxviz`; None takes those of the process.

    Returns:
      The exit status: 0, 2 for a mistake, 130 after Ctrl-C, 141 where nobody reads on.

    Example:
      >>> main(["convert", "weights.bin", "out.txt", "--model", "vgg16"])
      2
    """
    try:
        from tyro.extras import SubcommandApp

        from jaxviz.cli import convert, demo, explain, features, layers, train
        from jaxviz.cli.mistakes import one_sentence

        app = SubcommandApp()
        for command in (
            demo.demo,
            explain.explain,
            features.features,
            layers.layers,
            train.train,
            convert.convert,
        ):
            app.command(command)
        try:
            app.cli(prog="jaxviz", args=args, description="What a convolutional network sees.")
            sys.stdout.flush()
        except BrokenPipeError:  # `jaxviz layers vgg16 | head`: the reader has seen enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 141
        except Exception as error:
            sentence = one_sentence(error)
            if sentence is None:
                raise
            print(f"jaxviz: {sentence}", file=sys.stderr)
            return 2
    except SystemExit as stop:  # help, or words that make no command
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0
