"""A GELU that was written out becomes ONNX Runtime's own op for it.

x / 2 (1 + erf(x / sqrt(2))), as exporters write it before opset 20. ONNX Runtime joins these parts
by itself, but not in INT8: see `layer_norm`. Hendrycks and Gimpel 2016, "Gaussian Error Linear
Units".
"""

from __future__ import annotations

import math
from typing import Any

from edgeanim.graph.edit import Editor, rewrite_each
from edgeanim.graph.queries import RUNTIME_DOMAINS

(_DOMAIN,) = RUNTIME_DOMAINS
_CLOSE = 1e-4


def rewrite(model: Any) -> int:
    """Returns the number of GELUs recognised; if there are any, the model counts on ONNX Runtime's
    extensions."""
    return rewrite_each(model, _match)


def _match(graph: Editor, node: Any) -> bool:
    x = _unscaled_input(graph, node) if node.op_type == "Erf" else None
    one = graph.only_user(node.output[0]) if x is not None else None
    if x is None or one is None or one.op_type != "Add" or _beside(graph, one, node) != 1.0:
        return False
    factors: list[str] = []
    last = one
    while len(factors) < 2:  # x and 1/2, in either order or already multiplied
        product = graph.only_user(last.output[0])
        if product is None or product.op_type != "Mul" or len(set(product.input)) < 2:
            return False
        (other,) = [name for name in product.input if name != last.output[0]]
        both = graph.maker(other, "Mul")
        factors += list(both.input) if both is not None and x in both.input else [other]
        last = product
    if x not in factors:
        return False
    factors.remove(x)
    half = graph.constants.get(factors[0])
    if len(factors) > 1 or half is None or half.size != 1 or half.item() != 0.5:
        return False
    _allow_extensions(graph.model)
    graph.replace(last, graph.add("Gelu", [x], near=last.output[0], domain=_DOMAIN))
    return True


def _unscaled_input(graph: Editor, erf: Any) -> str | None:
    """x, if `erf` reads x / sqrt(2), as a quotient or a product."""
    node = graph.maker(erf.input[0], "Div", "Mul")
    if node is None:
        return None
    wanted = math.sqrt(2 if node.op_type == "Div" else 0.5)
    for index in (0, 1) if node.op_type == "Mul" else (1,):
        factor = graph.scalar_of(node, index)
        if factor is not None and math.isclose(factor, wanted, rel_tol=_CLOSE):
            return str(node.input[1 - index])
    return None


def _beside(graph: Editor, node: Any, maker: Any) -> float | None:
    """The number that `node` combines with what `maker` makes."""
    return graph.scalar_of(node, 1 - list(node.input).index(maker.output[0]))


def _allow_extensions(model: Any) -> None:
    import onnx

    if all(opset.domain != _DOMAIN for opset in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_DOMAIN, 1))
