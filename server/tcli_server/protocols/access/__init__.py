"""Who may ask for what: tokens, and APIs that are restricted as Triton restricts them."""
