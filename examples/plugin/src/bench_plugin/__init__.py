"""A variant, a metric and a reader for the benchmark, in a package of their own."""
