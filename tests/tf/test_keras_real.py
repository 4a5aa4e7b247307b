"""Real checkpoints into models of Keras 3."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import ckptfast


@pytest.fixture(scope="module")
def keras(tf: ModuleType) -> ModuleType:
    import keras

    return keras


def gpt2(keras: ModuleType, size: int, heads: int, depth: int, words: int, length: int) -> Any:
    """GPT-2 as a functional model; its layers have names of their own."""
    layers, ops = keras.layers, keras.ops

    def linear(x: Any, width: int, name: str) -> Any:
        return layers.Conv1D(width, 1, name=name)(x)

    def norm(x: Any, name: str) -> Any:
        return layers.LayerNormalization(epsilon=1e-5, name=name)(x)

    def split(x: Any) -> Any:
        return ops.transpose(ops.reshape(x, (-1, length, heads, size // heads)), (0, 2, 1, 3))

    tokens = keras.Input((length,), dtype="int32")
    embedding = layers.Embedding(words, size, name="words")
    places = layers.Embedding(length, size, name="places")
    x = embedding(tokens) + places(ops.arange(length) + 0 * tokens)
    mask = np.triu(np.full((length, length), -1e9, "float32"), 1)
    for at in range(depth):
        query, key, value = (
            split(part)
            for part in ops.split(linear(norm(x, f"norm{at}a"), 3 * size, f"qkv{at}"), 3, -1)
        )
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / (size // heads) ** 0.5
        mixed = ops.transpose(ops.matmul(ops.softmax(scores + mask), value), (0, 2, 1, 3))
        x = x + linear(ops.reshape(mixed, (-1, length, size)), size, f"mix{at}")
        wide = linear(norm(x, f"norm{at}b"), 4 * size, f"wide{at}")
        x = x + linear(ops.gelu(wide, approximate=True), size, f"narrow{at}")
    return keras.Model(tokens, norm(x, "last"))


NAMES = {
    r"norm(\d)a/(.).*": r"model/h\1/ln_1/\2",
    r"norm(\d)b/(.).*": r"model/h\1/ln_2/\2",
    r"qkv(\d)/(.).*": r"model/h\1/attn/c_attn/\2",
    r"mix(\d)/(.).*": r"model/h\1/attn/c_proj/\2",
    r"wide(\d)/(.).*": r"model/h\1/mlp/c_fc/\2",
    r"narrow(\d)/(.).*": r"model/h\1/mlp/c_proj/\2",
    r"last/(.).*": r"model/ln_f/\1",
    r"words/.*": "model/wte",
    r"places/.*": "model/wpe",
}


def in_checkpoint(path: str) -> str:
    """What GPT-2's checkpoints call a variable: w and b, g and b."""
    for ours, theirs in NAMES.items():
        if re.fullmatch(ours, path):
            return re.sub(ours, theirs, path).replace("/k", "/w")
    raise AssertionError(path)


def by_hand(values: dict[str, Any], tokens: Any, heads: int, depth: int) -> Any:
    """The same network in NumPy, from the arrays of the checkpoint."""

    def norm(x: Any, name: str) -> Any:
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        return x * values[f"model/{name}/g"] + values[f"model/{name}/b"]

    def linear(x: Any, name: str) -> Any:
        return x @ values[f"model/{name}/w"][0] + values[f"model/{name}/b"]

    x = values["model/wte"][tokens] + values["model/wpe"][: len(tokens)]
    for at in range(depth):
        parts = np.split(linear(norm(x, f"h{at}/ln_1"), f"h{at}/attn/c_attn"), 3, -1)
        mixed = []
        for q, k, v in zip(*(np.split(part, heads, -1) for part in parts), strict=True):
            scores = q @ k.T / np.sqrt(q.shape[-1])
            scores[np.triu_indices(len(tokens), 1)] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            mixed.append(weights / weights.sum(-1, keepdims=True) @ v)
        x = x + linear(np.concatenate(mixed, -1), f"h{at}/attn/c_proj")
        wide = linear(norm(x, f"h{at}/ln_2"), f"h{at}/mlp/c_fc")
        curve = 0.5 * wide * (1 + np.tanh(np.sqrt(2 / np.pi) * (wide + 0.044715 * wide**3)))
        x = x + linear(curve, f"h{at}/mlp/c_proj")
    return norm(x, "ln_f")


def test_gpt_2_computes_what_its_checkpoint_says(keras: ModuleType, real: Path) -> None:
    folder = real / "keras-gpt2-toy"
    shape = json.loads((folder / "hparams.json").read_text())
    heads, depth, length = shape["n_head"], shape["n_layer"], shape["n_ctx"]
    model = gpt2(keras, shape["n_embd"], heads, depth, shape["n_vocab"], length)
    with pytest.raises(ckptfast.NotFoundError, match="40 of the model's variables"):
        ckptfast.keras.load_weights(model, folder)
    report = ckptfast.keras.load_weights(model, folder, names=in_checkpoint)
    assert len(report.loaded) == 40
    assert not report.unexpected
    tokens = np.random.default_rng(1).integers(0, shape["n_vocab"], length)
    expected = by_hand(ckptfast.load(folder), tokens, heads, depth)
    np.testing.assert_allclose(model(tokens[None])[0], expected, rtol=2e-4, atol=2e-5)


def test_a_digit_classifier_of_2018_goes_by_names(keras: ModuleType, real: Path) -> None:
    layers = keras.layers
    path = real / "tf-mnist-46900-snappy"
    model = keras.Sequential(
        [
            layers.Input((12, 12, 1)),
            layers.Conv2D(32, 3),
            layers.Conv2D(64, 3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(512),
            layers.Dense(10),
        ]
    )
    report = ckptfast.keras.load_weights(model, path)
    stored = ckptfast.load(path)
    assert "conv2d_1/bias/Adam" in report.unexpected
    for item, name in zip(
        model.weights,
        [f"{at}/{part}" for at in ("conv2d", "conv2d_1", "dense", "dense_1")
         for part in ("kernel", "bias")],
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(item, stored[name])


@pytest.mark.parametrize("root", [None, "_all_assets/_wrapped_policy/_q_network"])
def test_the_network_inside_an_exported_policy_is_found(
    keras: ModuleType, real: Path, root: str | None
) -> None:
    path = real / "dice-game-savedmodel-2024" / "policy"
    dense = keras.layers.Dense
    layers = [dense(size, name=f"dense_{at}") for at, size in ((7, 200), (8, 100), (9, 2))]
    model = keras.Sequential([keras.Input((4,)), *layers])
    report = ckptfast.keras.load_weights(model, path, root=root)
    assert report.matched_by == ("object" if root else "renumbered name")
    stored = ckptfast.load(path)
    for at, item in enumerate(model.weights):
        np.testing.assert_array_equal(
            item, stored[f"model_variables/{at}/.ATTRIBUTES/VARIABLE_VALUE"]
        )
