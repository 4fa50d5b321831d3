"""`jaxviz study correspondence`: the same part covered in different images."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Any

import jax
import numpy as np
import tyro

from jaxviz import report, studies
from jaxviz.cli import choose, inputs, pictures
from jaxviz.cli.correspondence_groups import Group, drawn_groups, read_group
from jaxviz.cli.mistakes import Mistake
from jaxviz.cli.progress import progress
from jaxviz.cli.study_claims import claim_numbers, claim_section
from jaxviz.cli.study_subject import checked_layers, top_layer, write_study

__all__ = ["correspondence"]

DRAWS = 5
"""How often places are drawn at random for the control."""

CONTROLS = {"anywhere": "random place", "object": "random place of the object"}

Found = dict[str, dict[str, np.ndarray]]
"""By layer and part, the distance of each pair of images, or its mean in each group."""


def correspondence(
    *,
    model: Annotated[str, tyro.conf.arg(metavar="NAME")] = "shapes-plain",
    weights: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    boxes: Annotated[str | None, tyro.conf.arg(metavar="FILE")] = None,
    layers: Annotated[tuple[str, ...], tyro.conf.arg(metavar="LAYER...")] = (),
    seed: int = 0,
    out: Annotated[str, tyro.conf.arg(metavar="DIR")] = "jaxviz-correspondence",
) -> None:
    """Covers the same part of different images, and tells how alike the features change.

    Example: jaxviz study correspondence --model shapes-residual --out correspondence

    Args:
      model: A port; `jaxviz layers` lists them.
      weights: As for `jaxviz explain`.
      boxes: A JSON file of images and the places of their parts, {"rex.jpg": {"left eye": [top,
        left, bottom, right], ...}, ...}, in pixels of the images, whose paths are relative to the
        file. By default, five drawn images of each shape, with parts that the outlines show.
      layers: By default the last layer with positions and the last one before the logits.
      seed: Which images are drawn, and of the random places.
      out: Folder for the page, its PNG files and numbers.json.
    """
    start = time.perf_counter()
    report.check_writable(out)
    inputs.checked_seed(seed)
    card = inputs.checked_card(model)
    if boxes is None and not model.startswith("shapes-"):
        raise Mistake(f"study correspondence of {model} needs --boxes: images and their parts")
    groups = [read_group(boxes, card)] if boxes else []
    port = inputs.load_port(model, weights)
    default = (choose.last_spatial(port.layers), top_layer(port))
    names = checked_layers(port, layers, default)
    with progress(2) as step:
        step("covering parts")
        groups = groups or drawn_groups(seed=seed)
        keys = jax.random.split(jax.random.key(seed), len(groups))
        told = [_of_group(port, one, names, key) for one, key in zip(groups, keys, strict=True)]
        each, changes = ([one[n] for one in told] for n in (0, 1))
        step("writing")
        found = _together(each)
        changed = {
            layer: {part: float(np.mean([one[layer][part] for one in changes])) for part in parts}
            for layer, parts in found.items()
        }
        several = len(groups) > 1
        # The pairs of one group share their images: they are no sample that a verdict could use.
        claims = _claims(found, list(groups[0].boxes)) if several else []
        sample = f"{len(groups)} kinds of shape" if several else "pairs of images"
        page = report.Page(
            f"What {port.name} puts in correspondence",
            [
                *(
                    [claim_section(claims, error=f"± is the standard error over the {sample}.")]
                    if several
                    else []
                ),
                _table(found, changed, sample, several=several),
                *([_by_group(groups, each)] if several else []),
                _pictures(groups),
            ],
            lead="The same part of different images is covered. Where the network knows it for the "
            "same, its features change alike: the share of units whose change has another sign in "
            "another image is lower than for places taken at random.",
            facts=[
                ("Network", port.name),
                ("Weights", port.weights),
                ("Images", f"{sum(len(one.names) for one in groups)} in {len(groups)} groups"),
                ("Layers", ", ".join(names)),
                ("Seed", str(seed)),
            ],
        )
        write_study(
            out,
            page,
            command="correspondence",
            start=start,
            claims=claims,
            sheets=[_sheet(groups)],
            numbers={
                "model": port.name,
                "weights": port.weights,
                "claims": claim_numbers(claims),
                "layers": {
                    layer: {
                        part: {
                            "mean": values.mean(),
                            "std": values.std(ddof=1),
                            "changed": changed[layer][part],
                        }
                        for part, values in parts.items()
                    }
                    for layer, parts in found.items()
                },
                "groups": [_group_numbers(one, own) for one, own in zip(groups, each, strict=True)],
                "seed": seed,
            },
        )


def _of_group(port: inputs.Port, group: Group, layers: Sequence[str], key) -> tuple[Found, Found]:
    """The distances of all pairs of a group, for its parts and for random places.

    And for each of them the share of units that change at all.
    """
    x = np.asarray(port.card.normalize(group.shown))
    parts = np.stack(list(group.boxes.values()), 1)
    asked = {"": [parts]}
    where = {"anywhere": None} | ({} if group.masks is None else {"object": group.masks})
    for n, (name, masks) in enumerate(where.items()):
        draws = jax.random.split(jax.random.fold_in(key, n), DRAWS)
        size = group.shown.shape[1:3]
        asked[name] = [studies.random_boxes(k, parts, size=size, masks=masks) for k in draws]
    boxes = np.concatenate([one for several in asked.values() for one in several], 1)
    found = studies.correspondence(port.model, x, boxes, layers=layers)
    count = len(boxes[0]) // len(parts[0])

    def by_name(values: np.ndarray) -> dict[str, np.ndarray]:
        """The values of the parts, and the mean over the draws of each part's controls."""
        each = iter(np.split(values, count))
        told = dict(zip(group.boxes, next(each), strict=True))
        for name in where:
            drawn = np.mean([next(each) for _ in range(DRAWS)], axis=0)
            names = [_control(name, part) for part in group.boxes]
            told |= dict(zip(names, drawn, strict=True))
        return told

    return (
        {layer: by_name(one.pairs) for layer, one in found.items()},
        {layer: by_name(one.changed) for layer, one in found.items()},
    )


def _control(name: str, part: str) -> str:
    """What a part is held against: a larger place changes more, so each has its own."""
    return f"{CONTROLS[name]}, as large as the {part}"


def _together(each: Sequence[Found]) -> Found:
    """Of several groups the mean of each; of a single one its pairs."""
    if len(each) == 1:
        return each[0]
    return {
        layer: {part: np.array([one[layer][part].mean() for one in each]) for part in parts}
        for layer, parts in each[0].items()
    }


def _claims(found: Found, parts: Sequence[str]) -> list[studies.Claim]:
    return [
        studies.verdict(
            "The network puts the same part of different images in correspondence.",
            [
                # Of the same images: their differences are the sample.
                studies.compared(
                    f"{layer}: a {CONTROLS[name]} has more other signs than the {part}, by",
                    larger=studies.estimate([own[_control(name, part)] - own[part]]),
                    smaller=studies.Estimate(0.0, 0.0, 0.0),
                )
                for layer, own in found.items()
                for part in parts
                for name in CONTROLS
                if _control(name, part) in own
            ],
        )
    ]


def _table(
    found: Found, changed: dict[str, dict[str, float]], sample: str, *, several: bool
) -> report.Section:
    layers = list(found)
    rows = [
        [
            part,
            *(f"{found[of][part].mean():.3f} ± {found[of][part].std(ddof=1):.3f}" for of in layers),
            *(f"{changed[of][part]:.3f}" for of in layers),
        ]
        for part in found[layers[0]]
    ]
    return report.Section(
        "Other signs",
        [
            report.Table(
                ["covered", *layers, *(f"{layer}: changed" for layer in layers)],
                rows,
                caption=f"Share of units whose change has another sign in another image: mean and "
                f"standard deviation over the {sample}; lower is more alike. Changed: the share "
                "of units that change at all",
            )
        ],
        [
            "A unit that no part reaches changes in no image, and counts as alike. So a share can "
            "be held against that of a place as large, and not against that of another size or "
            "layer.",
            *([] if several else [_ONE_GROUP]),
        ],
    )


_ONE_GROUP = (
    "The pairs share their images and are no independent sample, so no verdict is drawn from them."
)


def _lines(names: Sequence[str], parts: Sequence[str]) -> dict[str, list[str]]:
    """Of a chart: each part, and each control as the mean over the parts' own."""
    controls = {
        words: [_control(name, part) for part in parts if _control(name, part) in names]
        for name, words in CONTROLS.items()
    }
    return {part: [part] for part in parts} | {k: own for k, own in controls.items() if own}


def _by_group(groups: Sequence[Group], each: Sequence[Found]) -> report.Section:
    blocks = []
    for layer, parts in each[0].items():
        chart = report.line_chart(
            list(range(len(groups))),
            {
                words: [float(np.mean([one[layer][name] for name in names])) for one in each]
                for words, names in _lines(list(parts), list(groups[0].boxes)).items()
            },
            across="",
            up="share of other signs",
            title=layer,
            ticks=[one.name for one in groups],
            size=(360, 760),
        )
        stem = f"groups-{report.file_stem(layer)}"
        alt = f"Share of other signs in {layer}, for each kind of shape"
        blocks.append(report.Figure([report.Picture(stem, chart, alt)], layer))
    return report.Section("Kind by kind", [report.Gallery(blocks, size=480)])


def _covered(group: Group, part: str, i: int) -> np.ndarray:
    image, (top, left, bottom, right) = group.shown[i].copy(), group.boxes[part][i]
    image[top:bottom, left:right] = 0.5
    return pictures.enlarged(image, least=128, smooth=False)


def _pictures(groups: Sequence[Group]) -> report.Section:
    galleries = []
    for n, group in enumerate(groups, 1):
        figures = [
            report.Figure(
                [
                    report.Picture(
                        f"covered-{n:02d}-{report.file_stem(part)}-{i + 1}",
                        _covered(group, part, i),
                        f"{name} with its {part} covered",
                        smooth=False,
                    )
                ],
                name,
                part,
            )
            for part in group.boxes
            for i, name in enumerate(group.names)
        ]
        galleries.append(report.Gallery(figures, title=group.name, size=112))
    return report.Section("What was covered", galleries)


def _sheet(groups: Sequence[Group]) -> report.Picture:
    """The parts of all images of a group, or of the first one of each group."""
    one = groups[0]
    shown = (
        [(group, 0) for group in groups]
        if len(groups) > 1
        else [(one, i) for i in range(len(one.names))]
    )
    told = report.sheet(
        [[_covered(group, part, i) for group, i in shown] for part in one.boxes],
        rows=list(one.boxes),
        columns=[group.names[i] for group, i in shown],
        title="The parts that are covered",
    )
    return report.Picture("parts", told, "Images with each of their parts covered")


def _group_numbers(group: Group, found: Found) -> dict[str, Any]:
    return {
        "name": group.name,
        "images": group.names,
        "boxes": group.boxes,
        "layers": {
            layer: {part: {"mean": v.mean(), "std": v.std(ddof=1)} for part, v in parts.items()}
            for layer, parts in found.items()
        },
    }
