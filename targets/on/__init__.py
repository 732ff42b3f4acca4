"""Measuring and playing elsewhere: on a board over SSH, or on a processor that is emulated.

`places` parses where. To a host, `remote` makes a call over a `link`, whose far end is `stub`, with
what `payload` pushes and what `needs` asks of the Python there. A processor that is emulated is an
`emulator`, which `emulator_setup` fetches.
"""
