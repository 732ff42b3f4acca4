"""What is calibrated on: which frames, the inputs that graphs are given for them, and what is wrong
with those."""
