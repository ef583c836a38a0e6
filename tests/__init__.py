"""The tests. Types and shapes of what they import from `bench` are checked as it is called."""

from jaxtyping import install_import_hook

import tests.helpers.types  # noqa: F401 - found as an attribute by the check

install_import_hook("bench", "tests.helpers.types.check")
