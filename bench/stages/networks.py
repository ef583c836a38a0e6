"""The networks of a setting: they are trained, or imported."""

from bench import heads
from bench.data import dataset
from bench.mean import checkpoint, oracle, published, storage, train
from bench.mean.model import Trunk
from bench.report import tracking
from bench.runtime import devices, digests, files, paths, records
from bench.runtime.errors import BenchError
from bench.scores import extractors
from bench.stages import VERSIONS, joint_versions, variant_versions
from bench.stages.inputs import load_data, one_at_a_time, place_of
from bench.stages.models import load_model


@one_at_a_time(lambda experiment, name: place_of(experiment, name).mean)
def train_mean(experiment, name):
    """Trains the mean model, imports it, or takes the exact one: results/<setting>/mean/."""
    setting, place = experiment.setting(name), paths.Setting(name)
    data = load_data(experiment, setting, place)
    if setting.mean.oracle:
        oracle.save(setting.mean.oracle, data, place.mean)
        return
    if setting.mean.published or setting.mean.checkpoint:
        found = (
            published.read(setting.mean.published)
            if setting.mean.published
            else checkpoint.read(setting.mean.checkpoint, setting.schedule)
        )
        source = setting.mean.checkpoint or setting.mean.published.path
        storage.check_channels(found["unet"], data.shape, source)
        storage.note_size(found["unet"], data.shape, source)
        for head in setting.heads.imported if setting.heads else ():
            heads.frozen(head, found["heads"], Trunk.of(found["unet"]), data.shape)
        storage.save(folder=place.mean, **found)
        return
    about = dataset.read_about(place.data)
    with tracking.live_run(experiment, name, "mean", about) as log_loss:
        network, trained, log = train.train(
            data,
            setting.schedule.make(),
            setting.mean,
            (experiment.seed, name),
            place.checkpoints / "mean.pt",
            log_loss,
            devices.choose(experiment.device),
            _identity(experiment, setting, f"mean {VERSIONS['mean']}, {joint_versions(setting)}"),
        )
    storage.save(network, "epsilon", place.mean, trained, source="trained", log=log)


def _identity(experiment, setting, versions):
    """What a training depends on beside its section: a checkpoint of another one is not continued.

    versions: of the code behind it.
    """
    return digests.digest(
        [versions, experiment.seed, setting.schedule.model_dump(), records.inputs()]
    )


@one_at_a_time(lambda experiment, name: place_of(experiment, name).extractor)
def prepare_extractor(experiment, name):
    """Prepares the feature extractor of the scores: results/<setting>/extractor/."""
    setting, place = experiment.setting(name), paths.Setting(name)
    data, about = load_data(experiment, setting, place), dataset.read_about(place.data)
    with tracking.live_run(experiment, name, "extractor", about) as log_loss:
        extractors.get(setting.extractor.name).prepare(
            data,
            setting.extractor,
            (experiment.seed, name),
            place.extractor,
            place.checkpoints / "extractor.pt",
            log_loss,
        )


@one_at_a_time(lambda experiment, name: place_of(experiment, name).heads)
def train_heads(experiment, name):
    """Trains all heads together: results/<setting>/heads/. BenchError if none is configured."""
    setting, place = experiment.setting(name), paths.Setting(name)
    if setting.heads is None:
        raise BenchError(f"settings.{name}.heads: not configured; expected targets and train")
    model, data, schedule = load_model(experiment, setting, place)
    moments = None
    if setting.heads_need_moments:
        moments = files.read_arrays(place.moments, ["x0_error_sq_mean"])
    about = dataset.read_about(place.data)
    with tracking.live_run(experiment, name, "heads", about) as log_loss:
        trained, log = heads.train(
            model,
            data,
            schedule,
            setting.heads,
            (experiment.seed, name),
            place.checkpoints / "heads.pt",
            log_loss,
            moments,
            _identity(
                experiment,
                setting,
                f"heads {VERSIONS['heads']}, {variant_versions(setting.heads.trained)}",
            ),
        )
    heads.save(trained, log, place.heads)
