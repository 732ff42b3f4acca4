"""Measuring and playing elsewhere: on a board over SSH, or on a processor that is emulated."""
