"""Shared by every layer: errors, strict parsing, the contract, the recipe, the artifact store."""
