"""What the service tells of itself: metrics, traces, logs. Never the text it was sent."""
