"""The write side: shards that decide and append, and the Ray processes that host them."""
