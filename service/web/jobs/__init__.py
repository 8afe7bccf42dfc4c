"""Jobs as the API and the pages have them in common: which are meant, page by page, and how they are shown."""
