"""Chaos: faults on a live node, each proved to bite and taken back, with invariants that must hold."""
