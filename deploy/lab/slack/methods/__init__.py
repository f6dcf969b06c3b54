"""The Web API methods, one file a family; each names its methods in METHODS."""
