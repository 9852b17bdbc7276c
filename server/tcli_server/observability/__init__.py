"""What the server tells about itself: statistics, Prometheus metrics, logs."""
