"""The first stage: the data set."""

from bench.data import dataset
from bench.experiment import sizes
from bench.runtime import paths
from bench.stages.inputs import check_images, one_at_a_time, place_of


@one_at_a_time(lambda experiment, name: place_of(experiment, name).data)
def prepare_data(experiment, name):
    """Reads and splits the data set: results/<setting>/data/."""
    setting, place = experiment.setting(name), paths.Setting(name)

    def accept(raw):
        """What does not fit the setting is refused here, hours before the bound would."""
        check_images(setting, name, raw)
        sizes.check_shape(experiment, setting, raw.train.shape[1:])

    dataset.prepare(setting.data.name, place.data, setting.data.options, accept)
