"""Structured pruning: which channels go together, which are spared, and what makes up for them.

`prune` prunes a model in `rounds`, each of these steps:

- `surgeon` finds in a traced module which channels can only go together (`strands`, by what
  `channels` and `moves` know of single layers and ops).
- `ranking` orders them by `importance`, or by what the model loses if other weights make up for
  them (`elimination`, `judge`).
- `selection` decides how many stay of each group: the same share of all (`allocation`), or by what
  each costs on the target (`macs`, `layer_times`).
- The surgeon cuts, and `refit` fits what is left to the unpruned layers (`layer_fit`).

At the end `recover` trains the `whole` model, and `pruned` writes it. `takes` are the inputs of it
all. `holders` tells users why the other channels stay.
"""
