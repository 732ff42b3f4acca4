from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeanim.core.contract import GraphSpec, TensorSpec
from edgeanim.core.errors import BadInput, DeviceFailed
from edgeanim.quantize.calibration.samples import (
    ArraySamples,
    DiskSamples,
    SampleWriter,
    check_samples,
    read_npz,
)

SPEC = GraphSpec(
    name="net",
    file="net.onnx",
    runs="frame",
    inputs=(
        TensorSpec("image:0", "driving_frame", (1, 3, 4, 5), "NCHW", range=(-1.0, 1.0)),
        TensorSpec("style/vector", "condition:style", (1, 7)),
    ),
    outputs=(TensorSpec("result", "frame", (1, 3, 4, 5), "NCHW", range=(-1.0, 1.0)),),
)


def make(count: int = 4, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "image:0": rng.uniform(-1, 1, (count, 1, 3, 4, 5)).astype(np.float32),
        "style/vector": rng.normal(size=(count, 1, 7)).astype(np.float32),
    }


def write(folder: Path, arrays: dict[str, np.ndarray]) -> SampleWriter:
    with SampleWriter(folder, SPEC) as writer:
        for sample in ArraySamples(arrays):
            writer.add(sample)
    return writer


floats = st.floats(width=32, allow_nan=False, allow_infinity=False)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(count=st.integers(0, 5), data=st.data())
def test_what_is_written_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, count: int, data: st.DataObject
) -> None:
    arrays = {
        tensor.name: data.draw(hnp.arrays(np.float32, (count, *tensor.shape), elements=floats))
        for tensor in SPEC.inputs
    }
    folder = tmp_path_factory.mktemp("calibration") / "net"
    writer = write(folder, arrays)
    samples = DiskSamples(folder)
    assert len(samples) == writer.count == count
    assert samples.digest == writer.digest == ArraySamples(arrays).digest
    for _ in range(2):  # can be iterated many times
        for i, sample in enumerate(samples):
            for name, array in sample.items():
                assert array.dtype == np.float32
                np.testing.assert_array_equal(array, arrays[name][i])


def test_digest_depends_on_values_and_order(tmp_path: Path) -> None:
    arrays = make()
    digests = {write(tmp_path / "a", arrays).digest}
    digests.add(write(tmp_path / "b", {n: a[::-1].copy() for n, a in arrays.items()}).digest)
    arrays["style/vector"][2, 0, 3] += 1
    digests.add(write(tmp_path / "c", arrays).digest)
    assert len(digests) == 3


def test_a_failed_block_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), SampleWriter(tmp_path / "net", SPEC) as writer:
        writer.add(next(iter(ArraySamples(make()))))
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_index_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_path: Path, _text: str) -> None:
        raise DeviceFailed("No space is left.")

    monkeypatch.setattr("edgeanim.quantize.calibration.samples.write_text", full)
    writer = SampleWriter(tmp_path / "net", SPEC)
    with pytest.raises(DeviceFailed), writer:
        writer.add(ArraySamples(make())[0])
    assert not list(tmp_path.iterdir())


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "net", make())
    file = next((tmp_path / "net").glob("*.f32"))
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(BadInput, match="bytes"):
        DiskSamples(tmp_path / "net")


def test_an_index_that_leads_outside_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "net", make())
    index = tmp_path / "net" / "samples.json"
    index.write_text(index.read_text().replace("input0.f32", "../input0.f32"))
    with pytest.raises(BadInput, match="outside"):
        DiskSamples(tmp_path / "net")


def test_a_folder_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="No such file"):
        DiskSamples(tmp_path)


def test_good_samples_pass() -> None:
    check_samples(ArraySamples(make()), SPEC)


@given(
    index=st.integers(0, 3),
    place=st.integers(0, 59),
    bad=st.sampled_from([np.nan, np.inf, -np.inf]),
)
def test_a_single_bad_value_is_found_and_placed(index: int, place: int, bad: float) -> None:
    arrays = make()
    arrays["image:0"][index].flat[place] = bad
    with pytest.raises(BadInput, match=r"'image:0' contains.*Leave this sample out") as caught:
        check_samples(ArraySamples(arrays), SPEC)
    assert caught.value.where == f"calibration sample {index}"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a[:1], "at least 2"),
        (lambda a: np.repeat(a[:1], 4, 0), "are the same"),
        (lambda a: np.broadcast_to(a.mean((1, 2, 3, 4), keepdims=True), a.shape), "flat colour"),
        (lambda a: (a + 1) * 127.5, "-1 to 1"),
        (lambda a: a / 500, "next to nothing"),
        (lambda a: (a + 1) / 2, "none is negative"),
    ],
    ids=["too few", "one frame", "flat", "0..255", "tiny", "0..1"],
)
def test_senseless_pictures_are_named(change: object, message: str) -> None:
    arrays = make()
    arrays["image:0"] = change(arrays["image:0"])  # type: ignore[operator]
    arrays["style/vector"] = np.repeat(arrays["style/vector"][:1], len(arrays["image:0"]), 0)
    with pytest.raises(BadInput, match=message):
        check_samples(ArraySamples(arrays), SPEC)


def test_mostly_blank_frames_are_named() -> None:
    arrays = make(8)
    arrays["image:0"][:5] = np.linspace(-1, 1, 5)[:, None, None, None, None]
    with pytest.raises(BadInput, match="5 of 8"):
        check_samples(ArraySamples(arrays), SPEC)
    arrays["image:0"][:2] = make(2, seed=1)["image:0"]
    check_samples(ArraySamples(arrays), SPEC)


def test_pixels_reshaped_instead_of_transposed_are_recognised() -> None:
    y, x = np.mgrid[0:24, 0:32] / 31
    pixels = np.stack([x, 1 - y, 0.2 * x * y], -1)
    image = TensorSpec("image", "driving_frame", (1, 3, 24, 32), "NCHW", range=(0.0, 1.0))
    spec = GraphSpec("net", "net.onnx", "frame", (image,), SPEC.outputs)

    def samples(one: np.ndarray) -> ArraySamples:
        return ArraySamples({"image": np.stack([one, one**2])[:, None].astype(np.float32)})

    check_samples(samples(pixels.transpose(2, 0, 1)), spec)
    with pytest.raises(BadInput, match="as in NHWC"):
        check_samples(samples(pixels.reshape(3, 24, 32)), spec)


def test_a_further_input_beyond_its_range_is_named() -> None:
    style = TensorSpec("style/vector", "condition:style", (1, 7), range=(0.0, 1.0))
    spec = GraphSpec("net", "net.onnx", "frame", (SPEC.inputs[0], style), SPEC.outputs)
    with pytest.raises(BadInput, match=r"'style/vector' holds values .* 0 to 1"):
        check_samples(ArraySamples(make()), spec)


def test_a_cue_that_never_moves_is_named() -> None:
    cue = TensorSpec("cue", "cue", (1, 3, 4, 5), "NCHW", range=(-1.0, 1.0))
    spec = GraphSpec("net", "net.onnx", "driver", (*SPEC.inputs, cue), SPEC.outputs)
    arrays = make() | {"cue": np.zeros((4, 1, 3, 4, 5), np.float32)}
    with pytest.raises(BadInput, match="a clip that moves"):
        check_samples(ArraySamples(arrays), spec)


def test_the_wrong_layout_is_recognised() -> None:
    arrays = make()
    arrays["image:0"] = arrays["image:0"].transpose(0, 1, 3, 4, 2)
    with pytest.raises(BadInput, match="looks like NHWC"):
        check_samples(ArraySamples(arrays), SPEC)


def test_npz_with_or_without_the_batch_axis(tmp_path: Path) -> None:
    arrays = make()
    np.savez(tmp_path / "full.npz", **arrays)
    np.savez(tmp_path / "short.npz", **{name: array[:, 0] for name, array in arrays.items()})
    full, short = (read_npz(tmp_path / f"{name}.npz", SPEC) for name in ("full", "short"))
    assert full.digest == short.digest == ArraySamples(arrays).digest
    assert len(full) == 4


def test_npz_mistakes_are_named(tmp_path: Path) -> None:
    path, arrays = tmp_path / "data.npz", make()

    def refused(match: str, **content: np.ndarray) -> None:
        np.savez(path, **content)
        with pytest.raises(BadInput, match=match):
            read_npz(path, SPEC)

    refused("Did you mean 'image:0'", **arrays | {"image": arrays["image:0"]})
    refused("lacks 'style/vector'", **{"image:0": arrays["image:0"]})
    refused("different numbers.*as many", **arrays | {"style/vector": arrays["style/vector"][:2]})
    refused("has the shape", **arrays | {"style/vector": arrays["style/vector"][..., :3]})
    refused("not plain numbers", **arrays | {"image:0": np.array([{}], object)})
    refused("not plain numbers", **arrays | {"style/vector": np.full((4, 7), "x")})


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY"])
def test_a_damaged_npz_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        read_npz(path, SPEC)


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 1500), flip=st.integers(0, 1500))
def test_any_damage_to_an_npz_is_a_clear_refusal_or_harmless(
    tmp_path_factory: pytest.TempPathFactory, cut: int, flip: int
) -> None:
    path = tmp_path_factory.mktemp("npz") / "data.npz"
    np.savez(path, **make(2))
    data = bytearray(path.read_bytes())
    data[flip % len(data)] ^= 0x55
    path.write_bytes(bytes(data[: len(data) - cut % len(data)]))
    with contextlib.suppress(BadInput):
        assert len(read_npz(path, SPEC)) == 2
