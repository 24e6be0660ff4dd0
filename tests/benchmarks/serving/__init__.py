"""How fast, how large and how steady the service is, beside Infinity and beside the bare engine. See README.md."""
