"""Classes of whole images, one or several each: from vectors and labels to probabilities."""
