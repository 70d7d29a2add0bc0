"""The distributed mode: hints, leases and RQ jobs in Redis, and workers on any number of machines."""
