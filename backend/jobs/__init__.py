"""The seam between a request for a refresh and its execution."""
