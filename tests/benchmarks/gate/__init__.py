"""Error rates of the gate, by simulation on real per-query metrics."""
