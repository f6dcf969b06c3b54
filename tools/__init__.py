"""The tools of the crew: the one list is `all_tools` (at the end of this increment)."""
