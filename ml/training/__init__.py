"""Training networks end to end: see docs/training.md."""
