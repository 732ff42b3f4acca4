"""People in the round: bodies of swept surfaces, lit and seen by a camera, their flow known."""
