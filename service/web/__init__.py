"""The base of every route and page: the door, bounds, guards, problems, cursors."""
