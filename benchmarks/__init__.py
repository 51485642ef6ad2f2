"""Side-by-side speed measurements, one script per question; see docs/benchmarks.md."""
