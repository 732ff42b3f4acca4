"""The constants of structural similarity, which drift, evaluation and training share.

SSIM: Wang, Bovik, Sheikh and Simoncelli 2004. MS-SSIM: Wang, Simoncelli and Bovik 2003.
"""

WINDOW = 11
"""The side of the Gaussian window in pixels."""
SIGMA = 1.5
"""The window's standard deviation in pixels."""
K1, K2 = 0.01, 0.03
"""What steadies luminance and contrast, as shares of the range of values."""
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""The exponents of MS-SSIM, finest scale first."""
