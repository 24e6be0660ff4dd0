"""The shapes that clients already speak, all in front of one ranker."""
