"""The nouns of the design as frozen types, and the ports. Imports nothing of ours outside this folder."""
