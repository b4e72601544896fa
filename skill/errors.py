"""The exception tree of Strop: a leaf that imports nothing of ours and that every stage may import.

StropError
├── UsageError            2   an option or argument that cannot be right
├── ConfigError           2   strop.toml or the environment holds something unknown or impossible
├── NothingToDo          10   the work asked for is already done
├── NotEnoughData        11   too few ratings, or of one kind only
├── Missing              30   a package, a model or a program is not there; the hint says how to get it
│   └── DiskFull         30   no space was left to write to, in the middle of the work
├── Locked               40   another run holds the lock
├── JobError              1   a command in the background that could not be started or read
│   ├── UnknownJob        2   an id that no job in this home has
│   └── StillRunning    124   a job that has not ended in the time that was given to it (as of `timeout`)
├── FeedbackError         1
│   ├── BadRecord         2   a row that cannot be stored or read; names its line
│   ├── UnknownInteraction 2  a reaction to an answer that the ledger does not hold
│   ├── Forgotten        10   a row that was taken out by `forget` and is not stored again
│   └── LedgerError       1   the database cannot be opened or is newer than this Strop
├── TrainerError          1
│   ├── BadTrainingFile   2   a training file: names line, column and what was expected
│   ├── UnknownModel     30   a model name that resolves to nothing here
│   └── TrainingFailed    1   the training run itself ended badly
│       └── OutOfMemory   1   even one row at a time does not fit
├── EvaluationError       1
│   └── BadSuite          2   a suite file that cannot be read
└── DeployError           1
    ├── CannotMerge       1   an adapter that cannot be merged exactly
    │   └── NeedsFullMerge 1  nor in GGUF space, but through transformers and PEFT
    ├── BadGguf           1   a GGUF file that is damaged or not what it says
    ├── NotCertified      1   the build does not answer as the adapter does
    ├── TargetError       1   llama-server or Ollama refused or failed
    ├── TargetDown       30   no server answers there
    │   └── TargetAway   30   nor would it for any other version: the server is not ours to start
    ├── TargetTooOld     30   a server with a known vulnerability or without what we need
    ├── UnknownVersion    2   a version that is not in this home
    ├── HubError          1   the Hub refused a push, or holds other bytes than were sent
    ├── HubDown          30   the Hub does not answer, asks to wait, or offline mode is set
    └── HoldsPersonalData 1   a file that would be published holds what the scrubber knows

Every error carries what happened (`str(error)`), the next command to run (`hint`), a stable `code` for `--json`,
and the exit code of the command line.
"""


class StropError(Exception):
    """The base of all errors that are meant for the person at the keyboard: printed without a traceback."""

    code = "failed"
    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class UsageError(StropError):
    code, exit_code = "usage", 2


class ConfigError(StropError):
    code, exit_code = "config", 2


class NothingToDo(StropError):
    code, exit_code = "nothing_to_do", 10


class NotEnoughData(StropError):
    code, exit_code = "not_enough_data", 11


class Missing(StropError):
    code, exit_code = "missing", 30


class DiskFull(Missing):
    code = "disk_full"


class Locked(StropError):
    code, exit_code = "locked", 40


class JobError(StropError):
    code = "job"


class UnknownJob(JobError):
    code, exit_code = "unknown_job", 2


class StillRunning(JobError):
    code, exit_code = "still_running", 124


class FeedbackError(StropError):
    code = "feedback"


class BadRecord(FeedbackError):
    code, exit_code = "bad_record", 2


class UnknownInteraction(FeedbackError):
    code, exit_code = "unknown_interaction", 2


class Forgotten(FeedbackError):
    code, exit_code = "forgotten", 10


class LedgerError(FeedbackError):
    code = "ledger"


class TrainerError(StropError):
    code = "trainer"


class BadTrainingFile(TrainerError):
    code, exit_code = "bad_training_file", 2


class UnknownModel(TrainerError):
    code, exit_code = "unknown_model", 30


class TrainingFailed(TrainerError):
    code = "training_failed"


class OutOfMemory(TrainingFailed):
    code = "out_of_memory"


class EvaluationError(StropError):
    code = "evaluation"


class BadSuite(EvaluationError):
    code, exit_code = "bad_suite", 2


class BadResults(EvaluationError):
    code, exit_code = "bad_results", 2


class DeployError(StropError):
    code = "deploy"


class CannotMerge(DeployError):
    code = "cannot_merge"


class NeedsFullMerge(CannotMerge):
    code = "needs_full_merge"


class BadGguf(DeployError):
    code = "bad_gguf"


class NotCertified(DeployError):
    code = "not_certified"


class TargetError(DeployError):
    code = "target"


class ServerTrouble(TargetError):
    code = "server_trouble"


class OnlyThought(TargetError):
    code = "only_thought"


class TargetDown(DeployError):
    code, exit_code = "target_down", 30


class TargetAway(TargetDown):
    code, exit_code = "target_away", 30


class TargetTooOld(DeployError):
    code, exit_code = "target_too_old", 30


class UnknownVersion(DeployError):
    code, exit_code = "unknown_version", 2


class HubError(DeployError):
    code = "hub"


class HubDown(DeployError):
    code, exit_code = "hub_down", 30


class HoldsPersonalData(DeployError):
    code = "personal_data"
