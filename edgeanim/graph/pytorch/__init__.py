"""To and from PyTorch: graphs as modules, modules as graphs, and weights on their way back."""
