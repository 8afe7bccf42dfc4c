"""Jobs over HTTP: how they are enqueued, shown and acted on."""
