"""The wire dialects: one file each, from its request to ours, and from our ranking to its reply and its error shape."""
