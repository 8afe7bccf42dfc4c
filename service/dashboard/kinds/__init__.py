"""The pages of kinds: how fast and how reliable each is, and a form to enqueue one by hand."""
