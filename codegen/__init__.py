"""From a kernel IR to source text."""
