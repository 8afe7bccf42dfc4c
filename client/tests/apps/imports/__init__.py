"""Files are taken in: the path travels, and a plain function reads the file in a thread."""
