"""A skeleton that regions are not jointed by is refused."""

from __future__ import annotations

import pytest

from edgeanim.core.skeleton import Bone, Joints, Skeleton


@pytest.mark.parametrize(
    ("bones", "said"),
    [
        ((Bone(), Bone("torso")), "2 bones for 3 regions"),
        ((Bone(), Bone("torso"), Bone("tail")), "hangs on 'tail'"),
        ((Bone("hand"), Bone("torso"), Bone("arm")), "in a circle"),
        ((Bone("torso"), Bone(), Bone()), "in a circle"),
        ((), "1 to 256 bones"),
        ((Bone(),) * 300, "1 to 256 bones"),
    ],
)
def test_a_skeleton_that_cannot_be_is_refused(bones, said):
    with pytest.raises(ValueError, match=said):
        Joints(Skeleton(bones), ("torso", "arm", "hand"))


@pytest.mark.parametrize("absent", [-0.1, 2.0, float("nan")])
def test_a_size_of_what_is_absent_that_cannot_be_is_refused(absent):
    with pytest.raises(ValueError, match="between 0 and 1"):
        Skeleton((Bone(),), absent=absent)


@pytest.mark.parametrize(
    ("parent", "joint"), [(None, 1.0), ("torso", 50.0), ("torso", float("nan"))]
)
def test_a_bone_that_cannot_be_is_refused(parent, joint):
    with pytest.raises(ValueError, match="joint"):
        Bone(parent, joint)
