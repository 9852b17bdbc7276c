"""The highest rate of requests that keeps a latency limit."""
