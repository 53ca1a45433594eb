"""What can be plugged in: one folder for each wrapped library or family."""
