"""What mixed precision chooses by: how much each convolution suffers, and what float would cost."""
