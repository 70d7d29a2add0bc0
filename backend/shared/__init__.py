"""`MODEL_DIR` as the URL of an object store: what many machines share without a shared file system."""
