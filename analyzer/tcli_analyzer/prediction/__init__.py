"""What a configuration would do under a load, from a small table of how long executions take."""
