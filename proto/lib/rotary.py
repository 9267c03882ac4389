"""How far the compiler tabulates rotary embeddings, and the runtime says so."""

POSITIONS = 4096
