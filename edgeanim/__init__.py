"""Image-animation networks on small machines: prune, quantise, compile, measure, animate, compare.

The library function behind each command is in `edgeanim.api`.
"""

from edgeanim.core import offline

__version__ = "0.13.0"

offline.apply()
