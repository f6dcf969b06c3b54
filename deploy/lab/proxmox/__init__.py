"""A Proxmox VE 9 cluster of two nodes, as its API shows it. Machines are entries; the wire is real."""
