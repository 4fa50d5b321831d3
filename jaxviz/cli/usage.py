"""Words that make no command, told in one sentence."""

from __future__ import annotations

import re

__all__ = ["usage_sentence"]


def usage_sentence(said: str) -> str | None:
    """The gist of what tyro says of arguments that it cannot use.

    tyro draws a box: what is wrong, and, after a rule, what may have been meant. Of both the
    headings and the options are kept, and the help texts between them dropped.

    Args:
      said: the box as it stands.

    Returns:
      One line without a full stop, or None where it is no such box.

    Example:
      >>> print(usage_sentence('''
      ... ╭─ Required options ────────────────╮
      ... │ Missing from jaxviz explain:      │
      ... │     --model NAME                  │
      ... │         A port. (required)        │
      ... │ ───────────────────────────────── │
      ... │ For full helptext, run:           │
      ... │     jaxviz explain --help         │
      ... ╰───────────────────────────────────╯'''))
      Missing from jaxviz explain: --model NAME
    """
    plain = re.sub("\x1b\\[[0-9;]*m", "", said)  # without the colours of a terminal
    # Without Unicode the box has blanks for its sides, and a rule below its title.
    text = "\n".join(line[2:].rstrip("│ ") for line in plain.strip().splitlines()[1:])
    blocks: list[str] = []
    for block in re.split(r"^[─-]{9,}.?$", text, flags=re.MULTILINE):
        heading = " ".join(re.findall(r"^\S.*", block, flags=re.MULTILINE))
        options = re.findall(r"^ {4}([\w-].*)", block, flags=re.MULTILINE)
        if heading and (not blocks or heading.startswith("Perhaps")):
            listed = ", ".join(dict.fromkeys(options[:3]))
            blocks.append(f"{heading} {listed}".strip().rstrip("."))
    told = "; ".join(block[0].lower() + block[1:] if n else block for n, block in enumerate(blocks))
    return told or None
