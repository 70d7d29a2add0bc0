"""Light classifiers on vectors: out-of-sample probabilities for judging and a head for serving."""
