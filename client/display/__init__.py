"""Studies shown in a terminal, from what the SDK reads; knows nothing of the command line's options."""
