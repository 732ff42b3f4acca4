from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeanim.core.artifact import GraphArtifact
from edgeanim.quantize.calibration.samples import ArraySamples
from edgeanim.quantize.chain import Node
from edgeanim.quantize.mixed.islands import (
    FloatGraph,
    Search,
    Times,
    estimated_times,
    node_times,
    read_graph,
)
from edgeanim.quantize.mixed.sensitivity import layer_errors
from edgeanim.quantize.ranges.histogram import Histogram
from edgeanim.quantize.ranges.histograms_onnx import collect_histograms
from edgeanim.targets.backends import NodeTime


def line(*kinds: str, size: int = 1000) -> FloatGraph:
    """Nodes 0, 1, 2, … in a row, each of one of the letters c, g and f, `size` elements between."""
    words = {"c": "convolution", "g": "glue", "f": "float"}
    nodes = tuple(
        Node(str(i), words[kind], (f"t{i}",), (f"t{i + 1}",), 100 if kind == "c" else 0)  # type: ignore[arg-type]
        for i, kind in enumerate(kinds)
    )
    sizes = {f"t{i}": size for i in range(len(kinds) + 1)}
    return FloatGraph(nodes, sizes, frozenset({f"t{len(kinds)}"}), {})


def searched(graph: FloatGraph, times: Times, errors: dict[str, float]) -> Search:
    return Search({"g": graph}, {"g": times}, {("g", node): e for node, e in errors.items()})


def test_a_border_is_crossed_on_both_sides_of_an_island() -> None:
    graph = line("c", "c", "c", "c")
    whole = graph.int8(frozenset())
    assert graph.crossings(whole) == 2000  # in and out
    assert graph.crossings(graph.int8(frozenset({"1"}))) == 4000
    assert graph.crossings(graph.int8(frozenset({"1", "2"}))) == 4000  # one wider island
    assert graph.crossings(graph.int8(frozenset({"0"}))) == 2000  # at the edge: nothing added


def test_an_island_that_saves_more_crossings_than_it_costs_comes_first() -> None:
    """A lone convolution between two floats gains less in INT8 than its border costs."""
    graph = line("c", "c", "f", "c", "f", "c", "c")
    float_ = {node.name: 10.0 for node in graph.nodes}
    int8 = {node.name: 5.0 for node in graph.nodes}
    search = searched(
        graph, Times(float_, int8, crossing=4.0), {"0": 1, "1": 1, "3": 1e-9, "5": 1, "6": 1}
    )
    assert search.path()[0] == ("g", "3")
    assert search.time([("g", "3")]) < search.time([])


def test_of_equal_times_the_largest_error_comes_first() -> None:
    graph = line("c", "f", "c", "f", "c", "f", "c")
    float_, int8 = ({n.name: time for n in graph.nodes} for time in (10.0, 1.0))
    search = searched(graph, Times(float_, int8, 0.0), {"0": 0.1, "2": 0.9, "4": 0.5, "6": 0.2})
    assert [node for _, node in search.path()] == ["2", "4", "6"]  # one is left in INT8


@given(
    st.lists(st.sampled_from("cgf"), min_size=2, max_size=9).filter(lambda k: k.count("c") > 1),
    st.randoms(use_true_random=False),
)
def test_the_path_holds_every_candidate_but_one_once(kinds: list[str], rnd: object) -> None:
    graph = line(*kinds)
    draw = rnd.random  # type: ignore[attr-defined]
    times = Times(*({n.name: 10 * draw() for n in graph.nodes} for _ in range(2)), draw())
    search = searched(graph, times, {name: draw() for name in graph.candidates()})
    path = [node for _, node in search.path()]
    assert len(set(path)) == len(path) == len(graph.candidates()) - 1
    assert set(path) < set(graph.candidates())
    assert graph.int8(frozenset(path))


def test_a_frame_takes_its_nodes_in_what_they_run_in_and_the_borders_between() -> None:
    graph = line("c", "c", "c", "f")
    float_ = {"0": 10.0, "1": 20.0, "2": 30.0, "3": 40.0}
    int8 = {"0": 1.0, "1": 2.0, "2": 3.0, "3": 4.0}
    search = searched(graph, Times(float_, int8, crossing=100.0, weight=0.5), {})
    assert search.time([]) == 0.5 * (1 + 2 + 3 + 40 + 200)
    assert search.time([("g", "1")]) == 0.5 * (1 + 20 + 3 + 40 + 400)
    assert search.time([("g", "0"), ("g", "2")]) == 0.5 * (10 + 2 + 30 + 40 + 200)


def test_of_several_graphs_the_last_convolution_of_each_stays() -> None:
    graphs = {"a": line("c", "f", "c"), "b": line("c", "f", "c", "f", "c")}
    same = dict.fromkeys("01234", 1.0)
    errors = {("a", "0"): 5.0, ("a", "2"): 1.0, ("b", "0"): 2.0, ("b", "2"): 4.0, ("b", "4"): 3.0}
    search = Search(graphs, dict.fromkeys("ab", Times(same, same, 0.0)), errors)
    assert search.path() == search.safest() == [("a", "0"), ("b", "2"), ("b", "4")]


def test_once_graphs_weigh_little() -> None:
    graph = line("c", "c")
    times = {"0": 10.0, "1": 10.0}
    often, once = (Times(times, times, 1.0, weight=weight) for weight in (1.0, 0.01))
    assert searched(graph, once, {}).time([]) == pytest.approx(
        0.01 * searched(graph, often, {}).time([])
    )


def test_profiles_are_read_by_the_graphs_own_names(unet: GraphArtifact, tmp_path: Path) -> None:
    graph = read_graph(unet.path, tmp_path / "named.onnx")
    assert graph.fused["stem.relu"] == "stem"
    in_float = [NodeTime(("stem.relu",), "compute", 50.0), NodeTime(("Reorder",), "layout", 3.0)]
    in_int8 = [
        NodeTime(("stem/WithoutBiases", "stem", "stem.relu"), "compute", 20.0),
        NodeTime(("image_QuantizeLinear",), "convert", 13.0),
    ]
    times = node_times(graph, in_float, in_int8, 1.0)
    assert times.float_ == {"stem": 50.0}
    assert times.int8 == {"stem": 20.0}
    crossing = graph.crossings(graph.int8(frozenset()))
    assert times.crossing == pytest.approx(10.0 / (crossing / 1000))


def test_what_a_graph_gives_is_carried_out_of_int8_and_not_fused(tmp_path: Path) -> None:
    from onnx import TensorProto, helper, numpy_helper, save

    shape = [1, 2, 8, 8]
    kernels = [numpy_helper.from_array(np.ones((2, 2, 1, 1), np.float32), k) for k in ("k", "l")]
    nodes = [
        helper.make_node("Conv", ["image", "k"], ["middle"], "first"),
        helper.make_node("Relu", ["middle"], ["bright"], "relu"),
        helper.make_node("Conv", ["bright", "l"], ["result"], "second"),
    ]
    for outputs, fused, crossings in (
        (["result"], {"relu": "first"}, 2 * 128),
        (["middle", "result"], {}, 3 * 128),
    ):
        infos = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in outputs]
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)
        model = helper.make_model(helper.make_graph(nodes, "net", [image], infos, kernels))
        save(model, str(tmp_path / "net.onnx"))
        graph = read_graph(tmp_path / "net.onnx", tmp_path / "named.onnx")
        assert graph.fused == fused
        assert graph.crossings(frozenset(node.name for node in nodes)) == crossings


def test_without_a_profile_the_whole_is_shared_out_by_arithmetic(
    unet: GraphArtifact, tmp_path: Path
) -> None:
    graph = read_graph(unet.path, tmp_path / "named.onnx")
    times = estimated_times(graph, 1000.0, 500.0, 1.0)
    search = searched(graph, times, dict.fromkeys(graph.candidates(), 1.0))
    assert times.basis == "macs"
    assert sum(times.float_.values()) == pytest.approx(1000.0)
    assert search.time([]) == pytest.approx(500.0, rel=0.05)


def spread(seen: Histogram) -> Histogram:
    """One of values that reach sixty times as far."""
    far = Histogram()
    far.add(60 * np.array([seen.low, seen.high], np.float32))
    return far


def test_the_layer_with_the_coarsest_grid_has_the_largest_error(
    unet: GraphArtifact, samples: ArraySamples
) -> None:
    names = ["stem", "enc1", "dec1", "dec0"]
    few = ArraySamples({"image": samples.arrays["image"][:2]})
    seen = dict(collect_histograms(unet, few))

    def errors() -> dict[str, float]:
        return layer_errors(unet.path, unet.spec, names, few, seen, "minmax", weight_limit=127.0)

    whole = errors()
    assert list(whole) == names
    assert all(0 < error < 0.1 for error in whole.values())
    seen["cat1"] = spread(seen["cat1"])
    after = errors()
    assert max(after, key=lambda name: after[name]) == "dec1"
    assert {name: after[name] for name in ("stem", "enc1", "dec0")} == {
        name: whole[name] for name in ("stem", "enc1", "dec0")
    }


def test_a_convolution_is_rounded_behind_its_relu_also_where_the_graph_gives_that(
    unet: GraphArtifact, samples: ArraySamples, tmp_path: Path
) -> None:
    import onnx

    few = ArraySamples({"image": samples.arrays["image"][:2]})
    seen = dict(collect_histograms(unet, few))

    def error(path: Path, wide: str) -> float:
        wider = {wide: spread(seen[wide])}
        (found,) = layer_errors(
            path, unet.spec, ["enc1"], few, seen | wider, "minmax", weight_limit=127.0
        ).values()
        return found

    model = onnx.load(str(unet.path))
    model.graph.output.append(onnx.ValueInfoProto(name="enc1.relu"))
    both = tmp_path / "both.onnx"
    onnx.save(model, str(both))
    assert error(unet.path, "enc1.relu") > 10 * error(unet.path, "enc1")
    assert error(both, "enc1.relu") == pytest.approx(error(unet.path, "enc1.relu"))
