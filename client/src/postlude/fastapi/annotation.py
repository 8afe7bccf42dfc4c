"""Lets an annotation stand for its class, as `BackgroundTasks` has always been a class to its users."""

from typing import Any


def as_class(annotated: Any, *, instead_of: type) -> Any:
    """Return an `Annotated` that `isinstance` takes, and tests patch, as they do with its class.

    Instances of the class that it is `instead_of` are its instances, too: tests, and other packages, still make them.

    `unittest.mock.patch("app.main.BackgroundTasks.add_task")` deletes at its end what it has set. To be read, set and
    called, an `Annotated` forwards to its class by itself.
    """

    class Annotation(type(annotated), _root=True):  # type: ignore[misc, call-arg]
        def __hash__(self) -> int:  # for `| None`: FastAPI 0.121's `Depends` has no hash
            return hash(self.__origin__)

        def __delattr__(self, name: str) -> None:
            delattr(self.__origin__, name)

        def __instancecheck__(self, instance: Any) -> bool:
            return isinstance(instance, (self.__origin__, instead_of, Annotation))  # the last: a mock of this

        def __subclasscheck__(self, subclass: type) -> bool:
            return issubclass(subclass, self.__origin__)

    return Annotation(annotated.__origin__, annotated.__metadata__)
