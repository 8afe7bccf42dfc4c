"""What can be wrong with a step: its author's mistakes, so each fails the attempt and says what to do.

StepRefused (ValueError)
├── StepRepeated       its name was used before in this attempt
├── StepUnwritable     its result is no JSON, or is read back as nothing that fits
├── StepTooLarge       its name, its result or a checkpoint
└── TooManySteps       the job has as many as it may have, or as large ones
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
