"""The files feature: files that jobs make, below the data directory."""
