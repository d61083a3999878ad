"""What an order is and how it may change: pure, no input or output."""
