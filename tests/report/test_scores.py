"""Scores of an animator are printed in tables that a terminal can hold."""

from __future__ import annotations

from dataclasses import replace

from edgeanim.models.evaluation.quality import Quality
from edgeanim.models.evaluation.score import Score, Tips
from edgeanim.report.scores import score_tables

STILL = Quality(0.5, 0.6, 0.9, 20.0, 5.0, 1.0, 8.0)
AFFINE = replace(STILL, moving=0.4, temporal=7.5, ghosts=0.5, tint=20.0)
MADE = Quality(0.8, 0.9, 0.98, 30.0, 4.0, -0.001, 6.0)
PUPPETS = Score("puppets", 8, STILL, AFFINE, MADE, Tips(0.3, 0.7, 0.9), 0.85, 0.2, "puppets")
CLIPS = [
    Score(
        f"clips/{name}", 12, STILL, AFFINE, replace(MADE, moving=moving), None, None, 0.3, "clips"
    )
    for name, moving in (("wave", 0.7), ("nod", 0.55))
]
AT_REST = replace(STILL, moving=None, temporal=None, ghosts=None, tint=None)
STOOD = Score("clips/stood", 12, AT_REST, AT_REST, AT_REST, None, None, 0.3, "clips")

GOLDEN = """\
set               frames  won back  affine  SSIM, moving: still  affine  animator  temporal: still  affine  animator
----------------  ------  --------  ------  -------------------  ------  --------  ---------------  ------  --------
puppets                8      0.60   -0.20                0.500   0.400     0.800              5.0     7.5       4.0
clips/wave            12      0.40   -0.20                0.500   0.400     0.700              5.0     7.5       4.0
clips/nod             12      0.10   -0.20                0.500   0.400     0.550              5.0     7.5       4.0
clips/stood           12         –       –                    –       –         –                –       –         –
clips: mean           24      0.25   -0.20
mean                  32      0.37   -0.20
least: clips/nod      12      0.10   -0.20

set          MS-SSIM: still  animator  PSNR: still  animator  ghosts: affine  animator  tint: affine  animator
-----------  --------------  --------  -----------  --------  --------------  --------  ------------  --------
puppets               0.900     0.980         20.0      30.0            0.50      0.00          20.0       6.0
clips/wave            0.900     0.980         20.0      30.0            0.50      0.00          20.0       6.0
clips/nod             0.900     0.980         20.0      30.0            0.50      0.00          20.0       6.0
clips/stood           0.900     0.900         20.0      20.0               –         –             –         –

set          tips, SSIM: still  animator  tips, sharpness  mIoU  cover
-----------  -----------------  --------  ---------------  ----  -----
puppets                   0.30      0.70             0.90  0.85   0.20
clips/wave                   –         –                –     –   0.30
clips/nod                    –         –                –     –   0.30
clips/stood                  –         –                –     –   0.30"""  # noqa: E501


def test_baselines_stand_beside_the_animator_and_means_leave_out_what_stands_still():
    assert score_tables([PUPPETS, *CLIPS, STOOD]) == GOLDEN


def test_columns_that_no_set_knows_are_left_out():
    plain = [replace(score, affine=None, cover=None) for score in CLIPS]
    moving, whole = score_tables(plain).split("\n\n")
    assert moving.splitlines()[0].split("  ")[0] == "set"
    assert "affine" not in moving + whole
    titles = [title.strip() for title in whole.splitlines()[0].split("  ") if title]
    assert titles[-2:] == ["ghosts: animator", "tint: animator"]  # they were `animator`, both
    assert moving.splitlines()[-1].split()[-3:] == ["clips/nod", "12", "0.10"]


def test_where_nothing_moves_there_is_no_mean():
    lines = score_tables([STOOD]).splitlines()
    assert lines[0].split() == ["set", "frames"]
    assert "mean" not in "".join(lines)
