"""A backbone of a project's own: asked for, trained beside the loop, compared, and published if it is better."""
