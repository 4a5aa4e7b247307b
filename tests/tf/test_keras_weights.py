"""Checkpoints in TensorFlow's format into models of Keras 3 and tf_keras: what lands where."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from keras_cases import MODELS, inputs, outputs, scramble, weights

import ckptfast


@pytest.fixture(scope="module")
def keras(tf: ModuleType) -> ModuleType:
    import keras

    return keras


@pytest.fixture(scope="module")
def tf_keras(tf: ModuleType) -> ModuleType:
    import tf_keras

    return tf_keras


@pytest.fixture
def models(request: pytest.FixtureRequest) -> ModuleType:
    """Keras 3 or tf_keras, by the parameter."""
    found: ModuleType = request.getfixturevalue(request.param)
    return found


def save(tf: ModuleType, model: Any, path: Path) -> str:
    """As each Keras saves in TensorFlow's format."""
    if type(model).__mro__[-2].__module__.startswith("keras."):
        return str(tf.train.Checkpoint(model=model).write(str(path)))
    model.save_weights(str(path))
    return str(path)


def fresh(module: ModuleType, kind: str) -> Any:
    """A model whose layers have other numbers in their names, and other values."""
    for _ in range(2):
        MODELS["sequential"](module)
    return scramble(MODELS[kind](module), 99)


@pytest.mark.parametrize("models", ["keras", "tf_keras"], indirect=True)
@pytest.mark.parametrize("kind", ["text", "image", "sequential"])
def test_weights_cross_between_programs_and_versions_of_keras(
    tf: ModuleType,
    keras: ModuleType,
    tf_keras: ModuleType,
    models: ModuleType,
    kind: str,
    tmp_path: Path,
) -> None:
    source = scramble(MODELS[kind](models), 1)
    path = save(tf, source, tmp_path / "w")
    for module in (keras, tf_keras):
        target = fresh(module, kind)
        report = ckptfast.keras.load_weights(target, path)
        assert report.matched_by == "object"
        assert list(weights(target).values()) == list(weights(source).values())
        assert len(report.loaded) == len(target.weights)
        assert not report.unexpected
        if module is models:
            assert outputs(target, kind) == outputs(source, kind)


@pytest.mark.parametrize("bare", [False, True])
def test_a_trained_model_goes_on_as_if_it_had_not_been_stopped(
    tf: ModuleType, keras: ModuleType, tmp_path: Path, bare: bool
) -> None:
    batch = inputs("sequential")
    goal = np.ones((6, 4), "float32")

    def compiled() -> Any:
        model = fresh(keras, "sequential")
        model.layers[1].rate = 0.0  # seeds are not saved, so no dropout
        model.compile(keras.optimizers.Adam(0.01), "mse")
        return model

    source = compiled()
    for _ in range(3):
        source.train_on_batch(batch, goal)
    checkpoint = tf.train.Checkpoint(source) if bare else tf.train.Checkpoint(model=source)
    path = checkpoint.write(str(tmp_path / "t"))
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    target = compiled()
    report = ckptfast.keras.load_weights(target, path, optimizer=True)
    assert not report.unexpected
    for _ in range(10):
        source.train_on_batch(batch, goal)
        target.train_on_batch(batch, goal)
    assert outputs(target, "sequential") == outputs(source, "sequential")
    states = [[np.asarray(item).tobytes() for item in model.optimizer.variables] for model in
              (source, target)]  # fmt: skip
    assert states[0] == states[1]
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files


@pytest.mark.parametrize("older", [False, True])
def test_the_optimizer_of_tf_keras_goes_on_in_keras_3(
    tf: ModuleType, keras: ModuleType, tf_keras: ModuleType, tmp_path: Path, older: bool
) -> None:
    source = scramble(MODELS["sequential"](tf_keras), 1)
    module = tf_keras.optimizers.legacy if older else tf_keras.optimizers
    source.compile(module.Adam(0.25), "mse")
    for _ in range(2):
        source.train_on_batch(inputs("sequential"), np.ones((6, 4)))
    path = save(tf, source, tmp_path / "t")
    target = fresh(keras, "sequential")
    target.compile("adam", "mse")
    report = ckptfast.keras.load_weights(target, path, optimizer=True)
    assert target.optimizer.iterations == 2
    assert target.optimizer.learning_rate == 0.25
    stored = ckptfast.load(path, by="name")
    mine = {item.path.rpartition("/")[2]: np.asarray(item) for item in target.optimizer.variables}
    name = source.layers[0].kernel.name.removesuffix(":0")
    slots = (f"Adam/{name}/m", f"Adam/{name}/v") if older else (f"Adam/m/{name}", f"Adam/v/{name}")
    first = target.layers[0].kernel.path.replace("/", "_")
    for slot, kind in zip(slots, ("momentum", "velocity"), strict=True):
        np.testing.assert_array_equal(stored[slot], mine[f"{first}_{kind}"])
    assert len(report.loaded) == len(target.weights) + len(target.optimizer.variables)
    assert all("optimizer" in key for key in report.unexpected)


def test_an_optimizer_of_another_kind_is_refused_whole(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    source = scramble(MODELS["sequential"](keras), 1)
    source.compile(keras.optimizers.SGD(momentum=0.5), "mse")
    source.optimizer.build(source.trainable_variables)
    path = save(tf, source, tmp_path / "t")
    target = fresh(keras, "sequential")
    target.compile("adam", "mse")
    target.optimizer.build(target.trainable_variables)
    before = weights(target)
    with pytest.raises(ckptfast.NotFoundError, match="optimizer=False leaves the optimizer"):
        ckptfast.keras.load_weights(target, path)
    assert weights(target) == before
    report = ckptfast.keras.load_weights(target, path, optimizer=False)
    assert len(report.loaded) == len(target.weights)
    assert outputs(target, "sequential") == outputs(source, "sequential")


def test_slots_follow_their_variables_not_their_places(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    source = scramble(MODELS["sequential"](keras), 1)
    source.compile("adam", "mse")
    source.optimizer.build(source.trainable_variables[::-1])
    for number, item in enumerate(source.optimizer.variables[2:]):
        item.assign(np.full(item.shape, number))
    path = save(tf, source, tmp_path / "s")
    target = fresh(keras, "sequential")
    target.compile("adam", "mse")
    ckptfast.keras.load_weights(target, path, optimizer=True)
    for module, other in zip(
        source.optimizer._momentums, target.optimizer._momentums[::-1], strict=True
    ):
        np.testing.assert_array_equal(module, other)


def test_without_slots_the_optimizer_is_left_alone(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    source = scramble(MODELS["sequential"](keras), 1)
    path = save(tf, source, tmp_path / "w")
    target = fresh(keras, "sequential")
    target.compile("adam", "mse")
    target.optimizer.build(target.trainable_variables)
    report = ckptfast.keras.load_weights(target, path)
    assert len(report.loaded) == len(target.weights)
    with pytest.raises(ValueError, match="does not hold one optimizer"):
        ckptfast.keras.load_weights(target, path, optimizer=True)
    with pytest.raises(ValueError, match="compile"):
        ckptfast.keras.load_weights(fresh(keras, "sequential"), path, optimizer=True)


def test_a_subclassed_model_goes_by_its_attributes(
    tf: ModuleType, keras: ModuleType, tf_keras: ModuleType, tmp_path: Path
) -> None:
    source = scramble(MODELS["subclassed"](tf_keras), 1)
    path = save(tf, source, tmp_path / "s")
    target = fresh(keras, "subclassed")
    assert ckptfast.keras.load_weights(target, path).matched_by == "object"
    assert outputs(target, "subclassed") == outputs(source, "subclassed")


def test_layers_in_lists_of_keras_3_are_found_through_the_optimizer(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    source = scramble(MODELS["subclassed"](keras), 1)
    path = save(tf, source, tmp_path / "without")
    target = fresh(keras, "subclassed")
    with pytest.raises(ckptfast.NotFoundError, match="14 of the model's variables"):
        ckptfast.keras.load_weights(target, path)  # Keras 3 did not save them
    source.compile("adam", "mse")
    source.optimizer.build(source.trainable_variables)
    path = save(tf, source, tmp_path / "with")
    report = ckptfast.keras.load_weights(target, path, strict=False)
    assert len(report.missing) == 4
    assert all("moving_" in name for name in report.missing)
    mine = {name: value for name, value in weights(target).items() if "moving" not in name}
    assert mine.items() <= weights(source).items()


@pytest.mark.parametrize("how", ["export", "saved_model"])
def test_saved_models_are_checkpoints_too(
    tf: ModuleType, keras: ModuleType, tmp_path: Path, how: str
) -> None:
    source = scramble(MODELS["sequential"](keras), 1)
    if how == "export":
        source.export(str(tmp_path / "m"), verbose=False)
    else:
        tf.saved_model.save(source, str(tmp_path / "m"))
    target = fresh(keras, "sequential")
    report = ckptfast.keras.load_weights(target, tmp_path / "m")
    assert outputs(target, "sequential") == outputs(source, "sequential")
    assert bool(report.kept) == (how == "saved_model")  # an export holds the seeds


def test_name_based_checkpoints_go_by_names(keras: ModuleType, tmp_path: Path) -> None:
    source = scramble(MODELS["image"](keras), 1)
    tensors = {item.path: np.asarray(item) for item in source.weights}
    path = ckptfast.save(tmp_path / "n", tensors)
    report = ckptfast.keras.load_weights(source, path)
    assert report.matched_by == "name"
    assert dict(report.loaded) == {item.path: item.path for item in source.weights}
    target = fresh(keras, "image")
    report = ckptfast.keras.load_weights(target, path)
    assert report.matched_by == "renumbered name"
    assert outputs(target, "image") == outputs(source, "image")
    renamed = ckptfast.save(tmp_path / "r", {f"old/{name}": tensors[name] for name in tensors})
    target = fresh(keras, "image")
    mapping = {
        new.path: f"old/{old.path}" for new, old in zip(target.weights, source.weights, strict=True)
    }
    for names in (mapping, mapping.get):
        scramble(target, 5)
        ckptfast.keras.load_weights(target, renamed, names=names)
        assert outputs(target, "image") == outputs(source, "image")


def test_numbers_are_not_replaced_where_the_model_has_fewer_layers(
    keras: ModuleType, tmp_path: Path
) -> None:
    layers = [keras.layers.Dense(3, name=name) for name in ("part", "part_1", "part_2")]
    source = keras.Sequential([keras.Input((3,)), *layers], name="net")
    path = ckptfast.save(tmp_path / "n", {item.path: np.asarray(item) for item in source.weights})
    fewer = [keras.layers.Dense(3, name=name) for name in ("part_5", "part_7")]
    target = keras.Sequential([keras.Input((3,)), *fewer], name="net")
    with pytest.raises(ckptfast.NotFoundError, match="part_7/bias: not in the checkpoint"):
        ckptfast.keras.load_weights(target, path)


def test_names_and_places_that_disagree_are_an_error(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    def net(*names: str) -> Any:
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return scramble(keras.Sequential([keras.Input((3,)), *layers], name="net"), 1)

    source, target = net("a", "b"), net("b", "a")
    path = save(tf, source, tmp_path / "d")
    before = weights(target)
    with pytest.raises(ValueError, match="by='object' or by='name'"):
        ckptfast.keras.load_weights(target, path)
    assert weights(target) == before
    ckptfast.keras.load_weights(target, path, by="object")
    assert list(weights(target).values()) == list(weights(source).values())
    ckptfast.keras.load_weights(target, path, by="name")
    np.testing.assert_array_equal(target.layers[1].kernel, source.layers[0].kernel)


def test_a_model_among_others_needs_its_root(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    teacher, student = (scramble(MODELS["sequential"](keras), seed) for seed in (1, 2))
    path = tf.train.Checkpoint(teacher=teacher, student=student).write(str(tmp_path / "two"))
    target = fresh(keras, "sequential")
    with pytest.raises(ValueError, match="'student', 'teacher'; root="):
        ckptfast.keras.load_weights(target, path)
    ckptfast.keras.load_weights(target, path, root="student")
    assert outputs(target, "sequential") == outputs(student, "sequential")
    with pytest.raises(ValueError, match="no 'pupil'; there: student, teacher"):
        ckptfast.keras.load_weights(target, path, root="pupil")


def test_everything_that_does_not_fit_is_in_one_error_and_nothing_is_assigned(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    def net(units: int, extra: str) -> Any:
        layers = keras.layers
        first = layers.Dense(4, name="first")
        second = layers.Dense(units, name="second")
        return scramble(
            keras.Sequential([keras.Input((3,)), first, second, layers.Dense(2, name=extra)]), 3
        )

    path = save(tf, net(5, "head"), tmp_path / "w")
    target = net(6, "head_new")
    target.add(keras.layers.Dense(1, name="last"))
    before = weights(target)
    with pytest.raises(ckptfast.NotFoundError) as caught:
        ckptfast.keras.load_weights(target, path)
    text = str(caught.value)
    assert "second/kernel: (4, 6) here, (4, 5) in the checkpoint" in text
    assert "last/kernel: not in the checkpoint" in text
    assert isinstance(caught.value, tf.errors.NotFoundError)
    assert weights(target) == before
    report = ckptfast.keras.load_weights(target, path, strict=False)
    assert [name.rpartition("/")[0][-5:] for name in report.missing] == ["/last", "/last"]
    assert {item.stored for item in report.mismatched} == {"(4, 5)", "(5,)", "(5, 2)"}
    assert "mismatched       3" in str(report)
    with pytest.raises(ValueError, match=r"\(4, 6\) here") as wrong:
        ckptfast.keras.load_weights(net(6, "head"), path)
    assert isinstance(wrong.value, ckptfast.keras.MismatchError)
    assert isinstance(wrong.value, tf.errors.InvalidArgumentError)


def test_types_are_not_converted(tf: ModuleType, keras: ModuleType, tmp_path: Path) -> None:
    path = save(tf, MODELS["sequential"](keras), tmp_path / "w")
    keras.config.set_dtype_policy("float64")
    try:
        target = MODELS["sequential"](keras)
    finally:
        keras.config.set_dtype_policy("float32")
    with pytest.raises(ValueError, match="float64 here, float32 in the checkpoint"):
        ckptfast.keras.load_weights(target, path)


def test_damage_is_found_before_anything_is_assigned(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    path = save(tf, MODELS["sequential"](keras), tmp_path / "w")
    data = Path(f"{path}.data-00000-of-00001")
    text = bytearray(data.read_bytes())
    with ckptfast.open(path) as reader:
        key = next(key for key in reader if "moving_mean" in key)
        text[reader.info(key).offset or 0] ^= 1
    data.write_bytes(text)
    target = fresh(keras, "sequential")
    before = weights(target)
    with pytest.raises(ckptfast.DataLossError, match="moving_mean"):
        ckptfast.keras.load_weights(target, path)
    assert weights(target) == before
    ckptfast.keras.load_weights(target, path, verify=False)


def test_a_model_without_variables_says_what_to_do(
    keras: ModuleType, tf_keras: ModuleType, tmp_path: Path
) -> None:
    path = ckptfast.save(tmp_path / "n", {"x": np.float32(1)})
    for module in (keras, tf_keras):
        model = module.Sequential([module.layers.Dense(2)])
        with pytest.raises(ValueError, match=r"call it on a batch of data, or call model\.build"):
            ckptfast.keras.load_weights(model, path)
    with pytest.raises(TypeError, match="not a Keras model"):
        ckptfast.keras.load_weights(np.zeros(3), path)


def test_options_that_have_no_use_are_refused(keras: ModuleType, tmp_path: Path) -> None:
    path = ckptfast.save(tmp_path / "n", {"x": np.float32(1)})
    model = MODELS["sequential"](keras)
    for options, complaint in (
        ({"by": "key"}, '"object" or "name"'),
        ({"by": "object"}, "name-based"),
        ({"root": "model"}, "name-based"),
        ({"names": {}, "by": "object"}, "no use"),
        ({"root": "model", "by": "name"}, "no use"),
    ):
        with pytest.raises(ValueError, match=complaint):
            ckptfast.keras.load_weights(model, path, **options)


def test_aligned_tensors_are_not_copied(tf: ModuleType, keras: ModuleType, tmp_path: Path) -> None:
    from ckptfast.tf.objects import Checkpoint

    source = scramble(MODELS["sequential"](keras), 1)
    path = Checkpoint(model=source).write(str(tmp_path / "w"))
    target = fresh(keras, "sequential")
    before = ckptfast.stats()
    report = ckptfast.keras.load_weights(target, path)
    after = ckptfast.stats()
    assert after.bytes_aliased - before.bytes_aliased >= report.nbytes
    assert after.fallbacks == before.fallbacks


def test_the_example_resumes_in_a_process_of_its_own(tf: ModuleType, tmp_path: Path) -> None:
    program = Path(__file__).resolve().parents[2] / "examples" / "keras_weights.py"
    printed = ""
    for action in ("train", "resume"):
        done = subprocess.run(
            [sys.executable, str(program), action, str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        printed += done.stdout
    assert "conv2d_1/kernel came from model/_operations/1/_kernel/" in printed
    assert "resumed at step 20" in printed
    assert float(printed.split("accuracy ")[1].split()[0]) > 0.9
    assert "of the first layer alone: 2 loaded, 0 missing" in printed


@pytest.mark.parametrize("strict", [True, False])
def test_a_layer_in_between_does_not_shift_the_others(
    tf: ModuleType, keras: ModuleType, tmp_path: Path, strict: bool
) -> None:
    def net(*names: str) -> Any:
        layers = [keras.layers.Dense(3, name=name) for name in names]
        return scramble(keras.Sequential([keras.Input((3,)), *layers], name="net"), 1)

    source, target = net("a", "b"), net("a", "new", "b")
    path = save(tf, source, tmp_path / "d")
    kind = ckptfast.NotFoundError if strict else ValueError
    with pytest.raises(kind, match="not in the checkpoint" if strict else "by='name'"):
        ckptfast.keras.load_weights(target, path, strict=strict)
    report = ckptfast.keras.load_weights(target, path, strict=False, by="name")
    assert report.missing == ("net/new/kernel", "net/new/bias")
    np.testing.assert_array_equal(target.layers[2].kernel, source.layers[1].kernel)


def test_dropout_more_or_less_shifts_nothing(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    def net(*between: Any) -> Any:
        layers = keras.layers
        rows = [keras.Input((3,)), layers.Dense(3), *between, layers.Dense(3), layers.Dense(3)]
        return scramble(keras.Sequential(rows), 1)

    path = save(tf, net(), tmp_path / "d")
    target = net(keras.layers.Activation("relu"), keras.layers.Dropout(0.5))
    before = weights(target)
    scramble(target, 8)
    assert ckptfast.keras.load_weights(target, path).matched_by == "object"
    assert weights(target) == before


def test_a_partial_place_among_several_gives_way_to_names(
    tf: ModuleType, keras: ModuleType, tmp_path: Path
) -> None:
    dense = keras.layers.Dense
    one = keras.Sequential([keras.Input((3,)), dense(3, name="one")], name="net")
    two = keras.Sequential([keras.Input((3,)), dense(3, name="two")], name="net")
    path = tf.train.Checkpoint(first=one, second=two).write(str(tmp_path / "d"))
    both = [dense(3, name="one"), dense(3, name="two")]
    target = keras.Sequential([keras.Input((3,)), *both], name="net")
    assert ckptfast.keras.load_weights(target, path).matched_by == "name"
    np.testing.assert_array_equal(target.layers[1].kernel, two.layers[0].kernel)


def test_an_export_of_tf_keras_goes_by_layers_not_by_its_list_of_variables(
    tf: ModuleType, keras: ModuleType, tf_keras: ModuleType, tmp_path: Path
) -> None:
    for kind in ("image", "subclassed"):
        source = scramble(MODELS[kind](tf_keras), 1)
        tf.saved_model.save(source, str(tmp_path / kind))
        target = fresh(keras, kind)
        report = ckptfast.keras.load_weights(target, tmp_path / kind)
        assert report.matched_by == "object"
        assert sorted(weights(target).values()) == sorted(weights(source).values())
        if kind == "subclassed":
            assert outputs(target, kind) == outputs(source, kind)


def test_a_layer_alone_is_a_model_too(tf: ModuleType, keras: ModuleType, tmp_path: Path) -> None:
    source = scramble(MODELS["sequential"](keras), 1)
    path = save(tf, source, tmp_path / "w")
    layer = keras.layers.Dense(4)
    layer.build((None, 5))
    ckptfast.keras.load_weights(layer, path, root="model/_functional/_operations/1")
    np.testing.assert_array_equal(layer.kernel, source.layers[0].kernel)


def convolved(keras: Any, seed: int, *, normalized: bool) -> tuple[Any, Any]:
    """A model, and what it gives."""
    random = np.random.default_rng(seed)
    layers = keras.layers
    image = keras.Input((8, 8, 3))
    normal = image
    if normalized:
        normalization = layers.Normalization()
        normalization.adapt(seed + random.random((50, 8, 8, 3), "float32"))
        normal = normalization(image)
    deep = layers.SeparableConv2D(4, 2)(layers.DepthwiseConv2D(3)(normal))
    model = keras.Model(image, layers.DepthwiseConv2D(2)(deep))
    for layer in model.layers:
        if "conv" in layer.name:
            values = [random.random(item.shape, "float32") for item in layer.get_weights()]
            layer.set_weights(values)
    return model, np.asarray(model(np.full((2, 8, 8, 3), 7.5, "float32")))


def numbered(model: Any) -> set[str]:
    """Names of the layers that have weights."""
    return {layer.name for layer in model.layers if layer.get_weights()}


@pytest.mark.parametrize("models", ["keras", "tf_keras"], indirect=True)
def test_factors_of_normalization_are_those_from_before(
    tf: ModuleType, keras: ModuleType, tf_keras: ModuleType, models: ModuleType, tmp_path: Path
) -> None:
    source, expected = convolved(models, 1, normalized=True)
    path = save(tf, source, tmp_path / "w")
    for module in (keras, tf_keras):
        target, before = convolved(module, 2, normalized=True)
        ckptfast.keras.load_weights(target, path)
        assert not np.allclose(before, expected)
        after = np.asarray(target(np.full((2, 8, 8, 3), 7.5, "float32")))
        np.testing.assert_allclose(after, expected, rtol=1e-4)


@pytest.mark.parametrize("models", ["keras", "tf_keras"], indirect=True)
def test_depthwise_kernels_are_missed(
    tf: ModuleType, keras: ModuleType, tf_keras: ModuleType, models: ModuleType, tmp_path: Path
) -> None:
    source, expected = convolved(models, 1, normalized=False)
    names = {getattr(item, "path", item.name).removesuffix(":0"): item for item in source.weights}
    named = ckptfast.save(tmp_path / "n", {name: names[name].numpy() for name in names})
    other = tf_keras if models is keras else keras
    for path, by in ((save(tf, source, tmp_path / "w"), "object"), (named, "renumbered name")):
        for module in (other, models):
            target = source
            while numbered(target) & numbered(source):  # each version of Keras counts on its own
                target, _ = convolved(module, 2, normalized=False)
            report = ckptfast.keras.load_weights(target, path)
            assert report.matched_by == by
            after = np.asarray(target(np.full((2, 8, 8, 3), 7.5, "float32")))
            np.testing.assert_allclose(after, expected, rtol=1e-4)
    spelled = {"depthwise_kernel": "kernel", "kernel": "depthwise_kernel"}
    turned = {
        name if "separable" in name else "/".join([layer, spelled.get(last, last)]): item.numpy()
        for name, item in names.items()
        for layer, _, last in [name.rpartition("/")]
    }
    report = ckptfast.keras.load_weights(source, ckptfast.save(tmp_path / "t", turned))
    assert report.matched_by == "name"


def test_a_size_that_only_the_values_have_is_refused(
    tf: ModuleType, tf_keras: ModuleType, tmp_path: Path
) -> None:
    def fitted(scale: float) -> Any:
        layer = tf_keras.layers.Discretization(num_bins=3)
        layer.adapt(scale * np.arange(12.0, dtype="float32").reshape(3, 4))
        return tf_keras.Sequential([tf_keras.Input((4,)), layer])

    source, target = fitted(1.0), fitted(5.0)
    assert source.weights[0].shape.as_list() == [2, None]
    ckptfast.keras.load_weights(target, save(tf, source, tmp_path / "w"))
    numbers = np.arange(12.0, dtype="float32").reshape(3, 4)
    np.testing.assert_array_equal(target(numbers), source(numbers))
