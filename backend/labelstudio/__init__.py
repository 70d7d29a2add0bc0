"""All that knows Label Studio: its API, its label config, its result JSON and where its images are."""
