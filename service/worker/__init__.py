"""The worker: claims ids, starts attempts, performs them, and keeps house."""
