"""Views are counted and pages dropped from a cache; the suite calls endpoints by hand."""
