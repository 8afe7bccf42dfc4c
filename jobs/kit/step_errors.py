"""What can be wrong with a step. These are its author's mistakes, so each fails the attempt and says what to do.

StepRefused (ValueError)
├── StepRepeated       its name was used before in this attempt
├── StepUnwritable     its result is not JSON, or is not valid when read back
├── StepTooLarge       its name, its result or a checkpoint
└── TooManySteps       the job has the most steps, or bytes, that it may have
"""


class StepRefused(ValueError):
    """A step cannot be kept. The message says why and what to do."""


class StepRepeated(StepRefused):
    pass


class StepUnwritable(StepRefused):
    pass


class StepTooLarge(StepRefused):
    pass


class TooManySteps(StepRefused):
    pass
