"""The critics report's words: captions with the lengths that were trained, and the document."""

from __future__ import annotations

from reports.critics_settings import Part, Preset
from reports.kit.latex import Latex, render


def coverage(preset: Preset) -> Latex:
    """Caption of the table of modes."""
    critics, generators = preset.critics, preset.generators
    return Latex(
        r"Peaks: data centres at which the critic's value is above its value all around, on a circle half-way to the "
        r"nearest centre. Dip: how far the critic's surface sags half-way between neighbouring centres, divided by "
        r"what it would be for a cone at each (1: cones, 0: a plane). Modes: centres that have a tenth or more of "
        r"their share of points (as many points as the test split has) within a third of the distance between "
        r"centres; near: the share of points so near a centre; close: within three standard deviations. "
        rf"Mean $\pm$ 95\% interval over {_count(len(critics.seeds), 'seed')}; "
        rf"{_length(critics)} (critic alone), {_length(generators)} (generator)."
    )


def distances(preset: Preset) -> Latex:
    """Caption of the table of images."""
    part = preset.images
    return Latex(
        "The critic's distance between digits and generated images at the end, on three splits, in a unit of its own: "
        rf"numbers of two rows do not compare. {_count(len(part.seeds), 'seed')}, "
        rf"{_count(part.epochs, 'epoch')}, {_length(part)}."
    )


def document(preset: Preset) -> Latex:
    """The document, with every part's size and length."""
    parts = {name: _told(getattr(preset, name)) for name in ("critics", "generators", "deep", "images")}
    bound, epochs = f"{preset.clips[0]:g}", _count(preset.images.epochs, "epoch")
    return render("critics.tex", **parts, bound=bound, epochs=epochs, deepseeds=_count(len(preset.deep.seeds), "seed"))


def _told(part: Part) -> Latex:
    layers = rf"{len(part.hidden)} hidden layers of {part.hidden[0]}"
    own = f" (generator {part.generator_rate:g})" if part.generator_rate else ""
    return Latex(f"{layers}, batches of {part.batch}, step size {part.rate:g}{own}, {_length(part)}")


def _length(part: Part) -> str:
    return f"{part.updates:,} updates of the critic".replace(",", r"\,")


def _count(number: int, name: str) -> str:
    return f"{number} {name}{'s' * (number > 1)}"
