"""The model: its identity, its tokenizer, and the engines that can run it."""
