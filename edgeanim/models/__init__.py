"""The reference animator: networks, data, training, shipped weights.

`animator` is the three networks of `nets` as one thing, by the sizes in `config`. `data` makes what
they learn from and `dataset` keeps it on disk; `train` and `adapt` run the `training`. `evaluation`
scores an animator, `export` makes a model folder of it, and `shipped_files` finds what comes with
the package, which `showcase` made.
"""
