"""From pairs of text to logits: the cache, the queue of all waiting requests, and the micro-batches cut from it."""
