"""The read side: what is derived from the log, says from which position, and can be deleted and rebuilt."""
