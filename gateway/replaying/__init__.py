"""The past again, beside the node that lives on: any moment of the log, under this code or another."""
