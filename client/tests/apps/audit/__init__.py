"""Who did what is written down by dependencies: of a router, of other dependencies, and of one with `yield`."""
