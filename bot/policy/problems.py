"""What is wrong with a policy file, in words that say file, field and mend."""


class PolicyError(ValueError):
    """A policy file cannot be used. The operator has to act; the program does not start with it."""

    def __init__(self, file: str, field: str, wrong: str, mend: str) -> None:
        where = f"{file}: {field}" if field else file
        super().__init__(f"{where}: {wrong}. {mend}" if mend else f"{where}: {wrong}")
        self.file = file
        self.field = field
        self.mend = mend
