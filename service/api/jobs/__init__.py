"""Jobs over HTTP: how they come in, how they are shown, and what may be done to them."""
