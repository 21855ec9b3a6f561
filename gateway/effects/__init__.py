"""What is done in the world: one module per kind of other side, all of them ports (`domain.effects.Port`)."""
