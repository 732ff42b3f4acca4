"""What the tensors of an image-to-image graph mean, judged by their shapes and names alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from edgeanim.core.contract import CONDITION, FEATURE, STATE, GraphSpec, Layout, TensorSpec
from edgeanim.core.errors import BadInput

DEFAULT_RANGE = (0.0, 1.0)
FRAME = "frame"
_PICTURE_CHANNELS = (1, 3, 4)
_STACKED_CHANNELS = (6, 9, 12)
"""Of several pictures of three channels each."""
_SMALLEST_SIDE = 8
_VECTOR_AXES = 2
_MOST_STRETCHED = 2.0
"""Nets may crop a wide picture to a square one, but hardly a strip."""
OWN_CONTRACT = "Put it into a folder with a model.toml that describes it, and give the folder."
_STACKED = (
    "{} seems to hold {} pictures: take each as an input of its own, or make them of one, and join "
    "them in the net."
)
_ONE_PICTURE = (
    f"A picture is 1xCxHxW or 1xHxWxC, of 1, 3 or 4 channels and {_SMALLEST_SIDE} pixels or more "
    "either way; there is one in a batch."
)
_FINISHED = f"Call the finished one `{FRAME}`."
_TWO_NAMES = (
    "Call the one that is animated `source`, `still` or `reference`, or the frame before the other "
    "one `previous`. If that is what the net made last, it must also output what it is to be given "
    "next time, and both have the role `state:previous`."
)
_PREVIOUS = re.compile("prev|before")
_NOISE = re.compile("(?<!de)noise(?!d)")

Shapes = Mapping[str, tuple[int, ...]]
Range = tuple[float, float]


def finished_picture(outputs: Shapes, path: Path) -> str:
    """The name of the output that is the finished picture: the only one there is, else the one that
    is called so, else the only one in colour beside grey ones, which are mattes or masks.
    `BadInput` if there is not exactly one."""
    pictures = [name for name, shape in outputs.items() if _picture_layout(shape)]
    called = [name for name in pictures if name.lower() == FRAME]
    coloured = [name for name in pictures if not _is_grey(outputs[name])]
    for found in (pictures, called, coloured):
        if len(found) == 1:
            return found[0]
    raise BadInput(
        f"Of the outputs ({_shown(outputs)}), {len(pictures) or 'none'} could be the "
        "finished picture; exactly one is needed to tell what this model does.",
        where=path,
        hint=f"{_FINISHED if pictures else _ONE_PICTURE} {OWN_CONTRACT}",
    )


def spec_of_shapes(
    path: Path,
    inputs: Shapes,
    outputs: Shapes,
    values: Range = DEFAULT_RANGE,
    given: Mapping[str, Range] = MappingProxyType({}),
) -> GraphSpec:
    """The description of the graph in the file `path`: one picture in, one picture out.

    The picture input becomes `driving_frame` (`still` or `previous_frame` if its name says so and
    there is another), the picture output `frame` (see `finished_picture`). What lies beside a
    picture and is stretched quite unlike the frame, or is grey and of another size than the frame,
    is sound; what is grey beside one in colour is a mask or a map, and what is called noise is
    that. Other inputs of three axes and more of which there are as many as other outputs of that
    shape are `state:NAME` with these, in their order; any other input is `condition:NAME`, any
    other output `feature:NAME`. A graph of vectors alone, or of these and grey noise, takes no
    picture: all are conditions. Layout follows from the axis that has 1, 3 or 4 channels; pictures
    are in the interval `values`, inputs in that which `given` has for their names.
    `BadInput` if the graph is not of that kind.
    """
    finished = finished_picture(outputs, path)
    others = {name: shape for name, shape in outputs.items() if name != finished}
    names = _pictures(inputs, others, outputs[finished])
    roles = _picture_roles(names, inputs, path)
    states = _states({n: shape for n, shape in inputs.items() if n not in roles}, others)
    taken = set(roles.values())
    try:
        return GraphSpec(
            name=identifier(path.stem),
            # In a model folder it gets a name that a contract can hold and that leads nowhere else.
            file=f"{identifier(path.stem)}{path.suffix}",
            runs="frame",
            inputs=tuple(
                _picture(n, roles[n], shape, given.get(n, values))
                if n in roles
                else TensorSpec(
                    n, states.get(n) or _unused(f"{CONDITION}{identifier(n)}", taken), shape
                )
                for n, shape in inputs.items()
            ),
            outputs=tuple(
                _picture(n, "frame", shape, values)
                if n == finished
                else TensorSpec(
                    n, states.get(n) or _unused(f"{FEATURE}{identifier(n)}", taken), shape
                )
                for n, shape in outputs.items()
            ),
        )
    except ValueError as error:
        raise BadInput(f"This graph has no contract: {error}.", where=path) from error


def identifier(name: str) -> str:
    """`name` with everything but letters, digits, `.`, `-` and `_` replaced by `_`."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("_.") or "unnamed"


def _picture_layout(shape: tuple[int, ...]) -> Layout | None:
    """The layout if this can be one picture; channels-first where both readings are possible."""
    if len(shape) != 4 or shape[0] != 1:
        return None
    if shape[1] in _PICTURE_CHANNELS and min(shape[2:]) >= _SMALLEST_SIDE:
        return "NCHW"
    if shape[3] in _PICTURE_CHANNELS and min(shape[1:3]) >= _SMALLEST_SIDE:
        return "NHWC"
    return None


def _pictures(inputs: Shapes, others: Shapes, frame: tuple[int, ...]) -> list[str]:
    """The inputs that may be pictures. Noise beside them is none, nor is what is grey beside one in
    colour to work on: a mask, say, or a depth. A state of `others` may have as many channels as a
    picture; beside one as large as the frame it is none, nor is one that is called previous."""
    names = _like_pictures(inputs, frame)
    if any(_sides(inputs[name]) == _sides(frame) for name in names):
        smaller = {n: inputs[n] for n in names if _sides(inputs[n]) != _sides(frame)}
        states = _states({n: s for n, s in smaller.items() if not _is_named_still(n)}, others)
        names = [name for name in names if name not in states]
    previous = {name: inputs[name] for name in names if _is_named_previous(name)}
    if len(previous) < len(names):
        states = _states(previous, others)
        names = [name for name in names if name not in states]
    names = [name for name in names if not _is_noise(name)] or _seen_as_noise(names, inputs)
    coloured = [name for name in names if not _is_grey(inputs[name])]
    if all(map(_is_named_still, coloured)):
        return names
    has_still = any(map(_is_named_still, coloured))
    return [n for n in names if n in coloured or (_is_named_still(n) and not has_still)]


def _seen_as_noise(names: list[str], inputs: Shapes) -> list[str]:
    """Those of `names`, all called noise, that are pictures even so. Grey ones beside a vector are
    what a style generator adds to its features."""
    styled = any(len(shape) <= _VECTOR_AXES for shape in inputs.values())
    return [name for name in names if not (styled and _is_grey(inputs[name]))]


def _like_pictures(inputs: Shapes, frame: tuple[int, ...]) -> list[str]:
    """The inputs that look like pictures, beside the shape of the finished one. A spectrogram may,
    but is mostly a strip, or grey and of a size of its own."""
    wanted = _sides(frame)
    found = {name: _sides(shape) for name, shape in inputs.items() if _picture_layout(shape)}
    alike = [name for name, sides in found.items() if _is_alike(sides, wanted)]
    if not alike and _stack_in(inputs) is None:
        return list(found)
    if any(found[name] == wanted for name in alike):
        return [
            name
            for name in alike
            if found[name] == wanted or not _is_grey(inputs[name]) or _is_named_still(name)
        ]
    return alike


def _stack_in(inputs: Shapes) -> str | None:
    """The input that holds several pictures of three channels, which no role means."""
    return next((n for n, s in inputs.items() if len(s) == 4 and s[1] in _STACKED_CHANNELS), None)


def _is_grey(shape: tuple[int, ...]) -> bool:
    return shape[1 if _picture_layout(shape) == "NCHW" else 3] == 1


def _is_noise(name: str) -> bool:
    return _NOISE.search(name.lower()) is not None


def _is_named_still(name: str) -> bool:
    return re.search(r"still|source|reference", name.lower()) is not None


def _is_named_previous(name: str) -> bool:
    return _PREVIOUS.search(name.lower()) is not None


def _sides(shape: tuple[int, ...]) -> tuple[int, int]:
    """Height and width of a picture."""
    height, width = shape[2:] if _picture_layout(shape) == "NCHW" else shape[1:3]
    return height, width


def _is_alike(sides: tuple[int, int], others: tuple[int, int]) -> bool:
    """Whether two pictures are about as much longer than wide."""
    (height, width), (other_height, other_width) = sides, others
    ratio = height * other_width / (width * other_height)
    return 1 / _MOST_STRETCHED < ratio < _MOST_STRETCHED


def _picture_roles(names: list[str], inputs: Shapes, path: Path) -> dict[str, str]:
    """The role of each picture input; beside a driving frame, a still and the frame before are told
    by their names."""
    roles = dict.fromkeys(names, "driving_frame")
    if len(names) > 1:
        for name in names:
            if _is_named_still(name):
                roles[name] = "still"
            elif _is_named_previous(name):
                roles[name] = "previous_frame"
    takes_none = not names and all(
        len(shape) <= _VECTOR_AXES or _is_noise(name) for name, shape in inputs.items()
    )
    if not takes_none and (not names or len(set(roles.values())) != len(names)):
        raise BadInput(
            f"Of the inputs ({_shown(inputs)}), {len(names) or 'none'} could be the picture to "
            "work on; exactly one is needed to tell what this model does.",
            where=path,
            hint=_hint(names, inputs),
        )
    return roles


def _hint(names: list[str], inputs: Shapes) -> str:
    """What to do where these `names` could be the picture, and not just one."""
    if len(names) == 2:
        return f"{_TWO_NAMES} {OWN_CONTRACT}"
    stack = _stack_in(inputs)
    if not names and stack is not None:
        return _STACKED.format(repr(stack), inputs[stack][1] // 3)
    return OWN_CONTRACT


def _states(inputs: Shapes, outputs: Shapes) -> dict[str, str]:
    """The roles, by tensor, of what a recurrent graph takes and gives again. A vector of one or two
    axes is rather a style."""
    found = {}
    for shape in dict.fromkeys(shape for shape in inputs.values() if len(shape) > _VECTOR_AXES):
        taken = [name for name, other in inputs.items() if other == shape]
        given = [name for name, other in outputs.items() if other == shape]
        if len(taken) == len(given):
            for before, after in zip(taken, given, strict=True):
                found[before] = found[after] = f"{STATE}{identifier(before)}"
    return found


def _picture(name: str, role: str, shape: tuple[int, ...], values: Range) -> TensorSpec:
    return TensorSpec(name, role, shape, layout=_picture_layout(shape) or "plain", range=values)


def _unused(role: str, taken: set[str]) -> str:
    """`role`, numbered if two names came out the same."""
    candidate, count = role, 2
    while candidate in taken:
        candidate, count = f"{role}_{count}", count + 1
    taken.add(candidate)
    return candidate


def _shown(shapes: Shapes) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in shapes.items())
