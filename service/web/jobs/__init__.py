"""What the API and the pages share about jobs: how to select, page through and show them."""
