"""What is rendered natively and by `traceback` before the first exception, to see that both agree in this Python."""


def samples():
    """The exceptions to compare."""

    class Own(Exception):
        pass

    def deep(n):
        if n:
            deep(n - 1)
        raise KeyError("deep")

    def raised(error, *notes):
        try:
            raise error
        except BaseException as caught:
            if notes and hasattr(caught, "add_note"):
                caught.__notes__ = [*notes]
            return caught

    def chained():
        try:
            try:
                deep(6)
            except KeyError as inner:
                raise Own("two\nlines") from inner
        except Own:
            raise ValueError  # noqa: B904

    def caught(function):
        try:
            function()
        except Exception as error:
            return error

    outer = caught(chained)
    found = [outer, raised(TypeError("x"), "a note", "of two\nlines"), caught(lambda: no_such_name)]  # noqa: F821
    if hasattr(__builtins__, "ExceptionGroup") or "ExceptionGroup" in __builtins__:
        group = ExceptionGroup("inner", [raised(OSError(2, "no")), Own()])  # noqa: F821
        found.append(raised(ExceptionGroup("outer", [outer, group, *[Own()] * 14]), "of a group"))  # noqa: F821
    return found
