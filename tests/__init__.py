"""The tests. Types and shapes of what they import from `bench` are checked as it is called."""

from jaxtyping import install_import_hook

install_import_hook("bench", "beartype.beartype")
