"""The search in bfloat16 and float16: alone, beside INT8, and judged among their own."""

from __future__ import annotations

from edgeanim.pipeline.search.order import Search
from tests.pipeline.table_study import UNPRUNED, TableStudy, search, states

Figures = tuple[float, float, float]


def searched(table: dict[str, Figures], half: str, *methods: str) -> Search:
    """OpenVINO unpruned, with these floats beside float32, by these methods."""
    study = TableStudy(table, halves=(half,))
    found = search(study, backends=("openvino",), methods=methods, prunes=(UNPRUNED,))
    found.run()
    return found


def test_half_floats_are_tried_alone_and_beside_int8_and_judged_among_their_own() -> None:
    found = searched({
        "openvino-float32": (0.0, 1.0, 0), "openvino-bfloat16": (0.001, 0.5, 0),
        "openvino-int8-ptq": (0.01, 0.6, 0.5), "openvino-int8-ptq-bfloat16": (0.011, 0.4, 0.5),
        "openvino-int8-mixed": (0.001, 0.8, 0.3),
    }, "bfloat16", "float32", "ptq", "mixed")  # fmt: skip
    assert states(found) == {
        "openvino-float32": "measured",
        "openvino-bfloat16": "measured",
        "openvino-int8-ptq": "measured",
        "openvino-int8-ptq-bfloat16": "measured",
        "openvino-int8-mixed": "measured",
        "openvino-int8-mixed-bfloat16": "failed",
    }


def test_int8_that_is_slower_than_half_floats_is_not_made_more_elaborate() -> None:
    found = searched({
        "openvino-float32": (0.0, 1.0, 0), "openvino-bfloat16": (0.001, 0.3, 0),
        "openvino-int8-ptq": (0.1, 0.45, 0.5), "openvino-int8-ptq-bfloat16": (0.1, 0.4, 0.5),
        "openvino-int8-mixed": (0.001, 0.8, 0.3),
    }, "bfloat16", "float32", "ptq", "mixed")  # fmt: skip
    reasons = {result.id: result.reason for result in found.results if result.state == "skipped"}
    assert reasons == {
        "openvino-int8-mixed-bfloat16": "all in INT8 takes 1.33 times as long as bfloat16 on "
        "openvino"
    }


def test_half_floats_without_kernels_worth_it_are_not_tried_beside_int8() -> None:
    found = searched({
        "openvino-float32": (0.0, 1.0, 0), "openvino-float16": (0.001, 1.5, 0),
        "openvino-int8-ptq": (0.01, 0.6, 0.5), "openvino-int8-ptq-float16": (0.01, 0.5, 0.5),
    }, "float16", "float32", "ptq")  # fmt: skip
    assert found.results[-1].reason == (
        "float16 is no help to it on openvino, being slower than float32"
    )


def test_half_floats_that_drift_too_far_say_nothing_of_pruning() -> None:
    """Everything after them was skipped, as if pruning by nothing had drifted."""
    table = {
        "openvino-float32": (0.0, 1.0, 0), "openvino-bfloat16": (0.03, 0.5, 0),
        "openvino-int8-ptq": (0.01, 0.6, 0.5), "openvino-float32-pruned50": (0.01, 0.4, 0),
        "openvino-bfloat16-pruned50": (0.04, 0.3, 0),
        "openvino-int8-ptq-pruned50": (0.01, 0.3, 0.5),
    }  # fmt: skip
    study = TableStudy(table, halves=("bfloat16",))
    found = search(study, backends=("openvino",), methods=("float32", "ptq"))
    found.run()
    measured = {name for name, state in states(found).items() if state == "measured"}
    assert measured == {name for name in table if "bfloat16" not in name}
