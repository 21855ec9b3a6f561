"""Simulated providers, disorder and faults: what the demo, the benchmarks and the crash tests feed from."""
