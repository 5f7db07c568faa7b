"""The pure core: bytes in, values out. No I/O, no clock, no asyncio, no logging."""
