"""What is wrong with a question."""


class QuestionError(ValueError):
    """A question cannot be asked as it was typed; the text says what to type instead. `option`: without its dashes."""

    def __init__(self, option: str, detail: str) -> None:
        self.option = option
        super().__init__(detail)
