"""Real Debian machines behind the lab's Proxmox API, in namespaces of their own."""
