"""Personal data: what is taken out of text before it is kept."""
