"""The search of `edgeanim optimize`: trials, their order, the finals and the outcome."""
