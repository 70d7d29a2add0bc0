"""Lineup's server side: the Label Studio ML-backend protocol, the refresh loop, its jobs and the command line."""

__version__ = "0.1.0"
