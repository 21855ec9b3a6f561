"""The rules: pure functions over frozen structs. No clock, no environment, no randomness, no input or output."""
