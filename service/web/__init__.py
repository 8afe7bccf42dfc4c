"""What every route and page stands on: the door, bounds, guards, problems, cursors."""
