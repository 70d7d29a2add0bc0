"""A demonstration of Lineup on a real Label Studio, and the tools to play people in it."""
