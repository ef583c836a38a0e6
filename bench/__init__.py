"""Reference benchmark of reverse-process variances for diffusion models."""

__version__ = "0.1.0"
