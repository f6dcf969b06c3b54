"""The one door through which the lab's binaries come."""
