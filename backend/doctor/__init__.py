"""`lineup doctor`: look at everything Lineup needs to run, and say what to do about what is not well."""
