"""The HTTP edge: one module per resource."""
