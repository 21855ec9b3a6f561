"""The edges: what comes in over HTTP and NATS, and what goes out."""
