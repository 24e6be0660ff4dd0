"""How often the drift watch is wrong and how much it finds, beside fixed thresholds and Evidently. See README.md."""
