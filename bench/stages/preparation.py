"""The first stage: the data set."""

from bench.data import dataset
from bench.runtime import paths
from bench.stages.inputs import check_data, one_at_a_time, place_of


@one_at_a_time(lambda experiment, name: place_of(experiment, name).data)
def prepare_data(experiment, name):
    """Reads and splits the data set: results/<setting>/data/."""
    setting, place = experiment.setting(name), paths.Setting(name)
    # What does not fit the setting is refused here, hours before the bound would.
    dataset.prepare(
        setting.data.name,
        place.data,
        setting.data.options,
        lambda raw: check_data(experiment, setting, name, raw),
    )
