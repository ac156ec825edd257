"""From a layer equation to its derivatives."""
