"""Shared by every layer: errors, strict parsing, the contract, the recipe, the artifact store.

- What a model is and what is done to it: `contract`, `recipe`, `artifact`, `limit`.
- What comes in is checked: `parsing`, `archives`, `arrays`, `tensors`, `choices`.
- What is written is whole or not there: `files`, `store`, `locks`, `scratch`.
- How a run behaves: `errors`, `interruption`, `signals`, `progress`, `quiet`, `threads`, `overlap`.
- What is said of numbers: `figures`.
- Other packages: `packages`, `requirements`, `offline`, `native`.
"""
