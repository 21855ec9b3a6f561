"""From a question to an answer that cites its evidence. Pure: what is known comes in, an answer goes out."""
