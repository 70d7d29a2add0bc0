"""What Lineup is worth and what it costs, beside what people use otherwise: ``python -m benchmarks``."""
