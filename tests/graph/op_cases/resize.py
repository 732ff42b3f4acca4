"""Resize, and the moves between depth and space."""

from __future__ import annotations

import numpy as np

from tests.graph.op_cases.case import I64, Case

CASES: dict[str, Case] = {
    "resize volumes": (
        "float[1,2,4,20,24] y, float[1,2,2,10,12] z, float[1,2,8,15,12] v, float[1,2,6,10,12] w",
        """r = Reshape (x, deep)
           y = Resize <mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric"> (r, , planes)
           z = Resize <mode="nearest"> (r, , , thin)
           v = Resize <mode="linear"> (r, , , sizes)
           w = Resize <mode="linear", coordinate_transformation_mode="align_corners">
               (r, , , thick)""",
        {"deep": np.array([1, 2, 4, 10, 12], I64),
         "planes": np.array([1, 1, 1, 2, 2], np.float32),
         "thin": np.array([1, 2, 2, 10, 12], I64), "sizes": np.array([1, 2, 8, 15, 12], I64),
         "thick": np.array([1, 2, 6, 10, 12], I64)}, 18),
    "resize nearest": (
        "float[1,8,20,24] y",
        """y = Resize <mode="nearest", nearest_mode="floor",
                       coordinate_transformation_mode="asymmetric"> (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "resize linear": (
        "float[1,8,15,18] y", 'y = Resize <mode="linear"> (x, , , sizes)',
        {"sizes": np.array([1, 8, 15, 18], I64)}, 18),
    "resize aligned": (
        "float[1,8,20,24] y",
        """y = Resize <mode="linear", coordinate_transformation_mode="align_corners">
               (x, , scales)""",
        {"scales": np.array([1, 1, 2, 2], np.float32)}, 18),
    "depth to space": (
        "float[1,2,20,24] y, float[1,2,20,24] z, float[1,32,5,6] w",
        """y = DepthToSpace <blocksize=2> (x)
           z = DepthToSpace <blocksize=2, mode="CRD"> (x)
           w = SpaceToDepth <blocksize=2> (x)""", {}, 18),
    "symmetric resizing": (
        "float[1,8,15,18] y",
        '''y = Resize <mode="cubic", coordinate_transformation_mode="half_pixel_symmetric">
               (x, , scales)''',
        {"scales": np.array([1, 1, 1.5, 1.5], np.float32)}, 19),
    "resize from the corner": (
        "float[1,8,20,36] y, float[1,8,5,4] z, float[1,8,20,6] v, float[1,2,8,5,12] w",
        """y = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , up)
           z = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , down)
           v = Resize <mode="linear", coordinate_transformation_mode="asymmetric"> (x, , , both)
           r = Reshape (x, deep)
           w = Resize <mode="linear", coordinate_transformation_mode="asymmetric">
               (r, , , volume)""",
        {"up": np.array([1, 8, 20, 36], I64), "down": np.array([1, 8, 5, 4], I64),
         "both": np.array([1, 8, 20, 6], I64), "deep": np.array([1, 2, 4, 10, 12], I64),
         "volume": np.array([1, 2, 8, 5, 12], I64)}, 18),
    "resize with a rest": (
        "float[1,8,15,4] y, float[1,8,3,18] z",
        """y = Resize <mode="cubic"> (x, , cubic)
           z = Resize <mode="linear"> (x, , linear)""",
        {"cubic": np.array([1, 1, 1.5, 0.4], np.float32),
         "linear": np.array([1, 1, 0.3, 1.5], np.float32)}, 18),
    "resize by weights": (
        "float[1,8,5,12] y, float[1,8,25,30] z, float[1,8,5,4] v, float[1,2,3,20,12] w",
        """y = Resize <mode="linear", antialias=1> (x, , half)
           z = Resize <mode="cubic", coordinate_transformation_mode="asymmetric"> (x, , larger)
           v = Resize <mode="cubic", antialias=1, cubic_coeff_a=-0.5> (x, , , sizes)
           r = Reshape (x, deep)
           w = Resize <mode="linear", coordinate_transformation_mode="asymmetric">
               (r, , , volume)""",
        {"half": np.array([1, 1, 0.5, 1], np.float32),
         "larger": np.array([1, 1, 2.5, 2.5], np.float32), "sizes": np.array([1, 8, 5, 4], I64),
         "deep": np.array([1, 2, 4, 10, 12], I64), "volume": np.array([1, 2, 3, 20, 12], I64)},
        18),
}  # fmt: skip
