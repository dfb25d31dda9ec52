"""What Switchback is compared with: the same trials, run as people run them without it."""
