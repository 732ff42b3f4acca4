"""What a bundle's `manifest.json` says, and how compiled graphs are named inside the bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from edgeanim.core.artifact import FLOAT32, CompiledGraph, FloatPrecision, Precision
from edgeanim.core.contract import Contract, GraphSpec
from edgeanim.core.errors import BadInput, UsageError
from edgeanim.core.files import inside
from edgeanim.core.parsing import nearest

MANIFEST = "manifest.json"
GOLDEN = "golden.npz"
_HEX = set("0123456789abcdef")


@dataclass(frozen=True)
class Variant:
    """A whole model compiled for one backend in one precision."""

    backend: str
    precision: Precision
    graphs: tuple[CompiledGraph, ...]

    def __post_init__(self) -> None:
        for graph in self.graphs:
            if (graph.backend, graph.precision) != (self.backend, self.precision):
                raise ValueError(f"the graph {graph.spec.name!r} is not for {self.id}")

    @property
    def id(self) -> str:
        """For example `openvino-int8`."""
        return f"{self.backend}-{self.precision}"

    @property
    def needs_vnni(self) -> bool:
        """Whether any of its graphs does."""
        return any(graph.needs_vnni for graph in self.graphs)


class _Named(Protocol):
    @property
    def id(self) -> str: ...


Named = TypeVar("Named", bound=_Named)


def variant_called(name: str, variants: Iterable[Named]) -> Named:
    """The one of `variants` whose id is `name`; `UsageError` names the nearest."""
    known = {variant.id: variant for variant in variants}
    if name not in known:
        raise UsageError(f"There is no variant {name!r}.", hint=nearest(name, list(known)))
    return known[name]


def variants_called(names: Iterable[str], variants: Sequence[Named]) -> tuple[Named, ...]:
    """Those of `variants` that are named, once each, in the order of their names; without a name
    all of them."""
    chosen = tuple(variant_called(name, variants) for name in dict.fromkeys(names))
    return chosen or tuple(variants)


@dataclass(frozen=True)
class FileEntry:
    """Size in bytes and hex SHA-256 of one member."""

    size: int
    sha256: str

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("a size cannot be negative")
        if len(self.sha256) != 64 or not set(self.sha256) <= _HEX:
            raise ValueError("`sha256` must be 64 hexadecimal digits")


@dataclass(frozen=True)
class GraphEntry:
    """A `CompiledGraph` with members of the bundle as its files."""

    scheme: str
    spec: GraphSpec
    files: tuple[str, ...]
    bindings: Mapping[str, str]
    floats: FloatPrecision = FLOAT32
    needs_vnni: bool = False

    def __post_init__(self) -> None:
        if not self.files:
            raise ValueError(f"the graph {self.spec.name!r} has no file")


@dataclass(frozen=True)
class VariantEntry:
    """A `Variant` with members of the bundle as its files."""

    backend: str
    precision: Precision
    graphs: tuple[GraphEntry, ...]

    @property
    def id(self) -> str:
        """As `Variant.id`."""
        return f"{self.backend}-{self.precision}"

    def __post_init__(self) -> None:
        if self.precision == "int8":
            return
        for graph in self.graphs:
            if graph.floats != self.precision:
                raise ValueError(f"{graph.spec.name!r} of {self.id} computes in {graph.floats}")


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle but the bytes of its members.

    `files` lists every member but the manifest; `tracks` maps a motion's name to its member.
    """

    schema: Literal["edgeanim.bundle/1"]
    contract: Contract
    variants: tuple[VariantEntry, ...]
    files: Mapping[str, FileEntry]
    golden: str | None = None
    tracks: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.variants:
            raise ValueError("the bundle has no variant")
        ids = [variant.id for variant in self.variants]
        if len(set(ids)) != len(ids):
            raise ValueError("two variants have the same backend and precision")
        for variant in self.variants:
            check_graphs(self.contract, [graph.spec for graph in variant.graphs], variant.id)
        named: dict[str, tuple[str, ...]] = {}
        for name, owner in self.members():
            if named.setdefault(name, owner) != owner:
                raise ValueError("two parts of the bundle are the same file")
        if unlisted := set(named) - set(self.files):
            raise ValueError(f"no hash for {min(unlisted)!r}")
        if unused := set(self.files) - set(named):
            raise ValueError(f"nothing uses {min(unused)!r}")

    def members(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """The members that the parts of the bundle name, each with the part whose it is. Variants
        that store a graph alike, and differ in what it computes in, have it in common."""
        for variant in self.variants:
            for graph in variant.graphs:
                for index, name in enumerate(graph.files):
                    yield name, (variant.backend, graph.scheme, graph.spec.name, str(index))
        for track, name in self.tracks.items():
            yield name, ("track", track)
        if self.golden is not None:
            yield self.golden, ("golden",)


def check_graphs(contract: Contract, specs: Sequence[GraphSpec], variant: str) -> None:
    """`ValueError` unless a variant has the contract's graphs, in order, with the same tensors.

    Layouts may differ, since each backend has its own; nothing else of a tensor may.
    """
    if [spec.name for spec in specs] != [graph.name for graph in contract.graphs]:
        raise ValueError(f"the variant {variant!r} does not have the graphs of the contract")
    for spec, graph in zip(specs, contract.graphs, strict=True):
        for have, want in ((spec.inputs, graph.inputs), (spec.outputs, graph.outputs)):
            alike = [t.in_layout(w.layout) == w for t, w in zip(have, want, strict=False)]
            if len(have) != len(want) or not all(alike) or spec.runs != graph.runs:
                raise ValueError(f"{variant!r} has another interface in the graph {spec.name!r}")


def variant_files(variant: Variant) -> Iterator[tuple[str, Path]]:
    """Member name and file, for every file of a variant. Files of one graph share a folder."""
    for graph in variant.graphs:
        yield from zip(_members(graph), graph.files, strict=True)


def to_entry(variant: Variant) -> VariantEntry:
    """A variant as the manifest has it."""
    return VariantEntry(
        variant.backend,
        variant.precision,
        tuple(
            GraphEntry(
                graph.scheme,
                graph.spec,
                _members(graph),
                dict(graph.bindings),
                graph.floats,
                graph.needs_vnni,
            )
            for graph in variant.graphs
        ),
    )


def from_entry(entry: VariantEntry, folder: Path) -> Variant:
    """A variant whose files lie below `folder`."""
    return Variant(
        entry.backend,
        entry.precision,
        tuple(
            CompiledGraph(
                backend=entry.backend,
                precision=entry.precision,
                scheme=graph.scheme,
                spec=graph.spec,
                files=tuple(inside(folder, name).resolve() for name in graph.files),
                bindings=graph.bindings,
                floats=graph.floats,
                needs_vnni=graph.needs_vnni,
            )
            for graph in entry.graphs
        ),
    )


def track_member(name: str) -> str:
    """The member that holds the motion `name`; `UsageError` if it cannot be a file's name."""
    try:
        inside(Path(), name)
    except BadInput as error:
        raise UsageError(f"A motion cannot be called {name!r}.") from error
    if "/" in name or name.startswith("."):
        raise UsageError(f"A motion cannot be called {name!r}.")
    return f"tracks/{name}.npz"


def _members(graph: CompiledGraph) -> tuple[str, ...]:
    """By how the graph is stored: whatever it computes in, its files are the same."""
    stored = "float32" if graph.scheme == FLOAT32 else graph.precision
    folder = f"variants/{graph.backend}-{stored}/{graph.spec.name}"
    return tuple(f"{folder}/{path.name}" for path in graph.files)
