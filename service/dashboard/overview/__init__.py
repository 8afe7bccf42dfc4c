"""The overview: are side effects going out, which are not, why, and what to do."""
