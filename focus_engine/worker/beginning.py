"""What a new run begins from: random weights, or those that `training.init_from` names."""

from focus_engine.config.schema import Config
from focus_engine.runs.folder import RunFolder
from focus_engine.runs.origin import file_to_begin_from
from focus_engine.training.initial_weights import InitialWeights, read_initial_weights


def initial_weights(run: RunFolder, config: Config) -> InitialWeights | None:
    """Return the weights that `run` begins from; None for random ones. Raises InputError if there are none such."""
    given = config.training.init_from
    return None if given is None else read_initial_weights(file_to_begin_from(run, given), config)
