"""What a transcript took of the workers, counted while it is made."""


class Cost:
    """Of one transcript, its windows that were tried again included."""

    def __init__(self) -> None:
        self.windows = 0  # given to a worker
        self.waited_s = 0.0  # the longest that one of them was in the queue
        self.worked_s = 0.0  # of workers: a batch's time, shared by seconds of sound

    def taken(self, waited_s: float) -> None:
        """A window was given to a worker."""
        self.windows += 1
        self.waited_s = max(self.waited_s, waited_s)

    def worked(self, seconds: float) -> None:
        """A worker was at work on a window, whatever came of it."""
        self.worked_s += seconds
