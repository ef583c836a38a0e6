"""One module for each data set: `read()` returns a `bench.data.dataset.Raw`."""
