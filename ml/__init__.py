"""Learning on image vectors: arrays in, arrays out. Knows nothing of Label Studio, jobs or settings."""
