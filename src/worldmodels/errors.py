"""The one exception that users see: a sentence that says what is wrong, where, and what to do."""


class UserError(Exception):
    """Something that the user can mend. The command line prints the message alone and exits with status 1."""
