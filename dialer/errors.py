"""What the domain answers when a wish cannot be met now."""


class Refused(Exception):
    """A wish that the state of things does not allow (HTTP: 409). Wrong input is a ``ValidationError`` instead.

    ``code`` is for programs (``NO_ROUTE``, ``WRONG_STATE``, …), the text is for people and says what to do.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
