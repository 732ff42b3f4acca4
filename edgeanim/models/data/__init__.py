"""Training data: procedural puppets, real clips, and how both are augmented.

All of it becomes `sequences` of frames, and these `pairs` of a still and a driving frame:

- `puppets`: a `puppet` from `anatomy`, `sprites` and `wardrobe`, moved by `actions` and `keyposes`;
  `scenes` with several of them, and `effects` between a scene and its picture.
- `drawings`: `sketches` made by seed (`sketch_bodies`, `crayons`), or each `drawing` of a folder;
  `drawn` moves them by motion capture (`bvh`, `retarget`, `rigs`, `mesh`).
- `people` in the round, swept surfaces seen by a camera. All of these wear `textures`.
- `clips`: `importers` read them, `weak_labels` and `mattes` find what can be known of them, and
  `disguise` makes more people of few.

What a pair knows of its flow is exact for what was drawn (`known_flow`), and for clips what
`optical_flow` finds; `augmentation` changes both pictures alike.
"""
