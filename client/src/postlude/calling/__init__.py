"""How a function and its arguments travel as JSON. Knows nothing of FastAPI, and sends nothing."""
