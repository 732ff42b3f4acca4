"""What is done on other machines: over SSH, or emulated on this one."""
