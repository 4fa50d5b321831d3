"""The command line: `jaxviz COMMAND ...`, one file for each command."""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["main"]


def _later(command: Callable[..., None]) -> Callable[..., Any]:
    """`command` with its arguments, to be run when all of them have been understood."""

    @functools.wraps(command)
    def understood(*args: Any, **options: Any) -> Callable[[], None]:
        return functools.partial(command, *args, **options)

    return understood


def _understood(words: Sequence[str]) -> Callable[[], None]:
    """The command that the words stand for; a mistake if they stand for none."""
    from tyro.extras import SubcommandApp

    from jaxviz.cli import (
        convert,
        demo,
        diagram,
        explain,
        features,
        layers,
        occlude,
        study,
        sweep,
        train,
    )
    from jaxviz.cli.mistakes import Mistake
    from jaxviz.cli.usage import usage_sentence

    commands = {
        "demo": demo.demo,
        "explain": explain.explain,
        "occlude": occlude.occlude,
        "features": features.features,
        "layers": layers.layers,
        "diagram": diagram.diagram,
        "sweep": sweep.sweep,
        "train": train.train,
        "convert": convert.convert,
        "study": study.study,
    }
    program, told = "jaxviz", "What a convolutional network sees."
    if words[:1] == ["study"]:
        commands, words = study.STUDIES, words[1:]
        program, told = "jaxviz study", "Experiments of the literature, repeated."
    app = SubcommandApp()
    for name, command in commands.items():
        app.command(name=name)(_later(command))
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            return app.cli(prog=program, args=words, description=told)
    except SystemExit as stop:
        sentence = usage_sentence(said.getvalue()) if stop.code else None
        if sentence is None:
            sys.stderr.write(said.getvalue())
            raise
        command = f"{program} {words[0]}" if words and words[0] in commands else program
        raise Mistake(f"{sentence}; `{command} --help` tells more") from None


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
        from jaxviz.cli.mistakes import one_sentence

        try:
            _understood(sys.argv[1:] if args is None else args)()
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
    except SystemExit as stop:  # help
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except KeyboardInterrupt:
        return 130
    return 0
