"""The pretend data centre: other vendors' worlds, each a process that speaks the real protocol."""
