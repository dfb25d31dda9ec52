"""The built-in architectures: sizes, shapes, which data they fit."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision import models as published

from worker.tasks import Classification, Dataset, Model, Signature, TaskError, zoo
from worker.tasks.digits import DIGITS
from worker.tasks.models import CNN, MLP
from worker.tasks.patches import SAMPLE_PATCHES
from worker.tasks.resnet import RESNET20, RESNET38, ResidualBlock
from worker.tasks.stdlib_chars import STDLIB_CHARS
from worker.tasks.transformers import GPT_SMALL, HEADS, VIT_SMALL, Attention, patch_side

CIFAR = Signature(shape=(3, 32, 32), classes=10)
SMALL = [MLP, CNN, RESNET20, RESNET38, VIT_SMALL]


def parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def images(side: int, channels: int = 3) -> Signature:
    return Signature(shape=(channels, side, side), classes=5)


@pytest.mark.parametrize(("model", "count"), [(RESNET20, 269_722), (RESNET38, 561_370)])
def test_residual_networks_have_the_parameters_of_the_source(model: Model, count: int) -> None:
    # By hand, with m blocks per stage: 432 + 32 for the first layer, 4,672 m, 18,560 m - 4,608, 73,984 m - 18,432 for
    # the stages of 16, 32 and 64 channels, 650 for the last layer. The source's table 6 says 0.27M for 20 layers.
    assert parameters(model.build(CIFAR)) == count


@pytest.mark.parametrize(("model", "depth"), [(RESNET20, 20), (RESNET38, 38)])
def test_residual_networks_are_as_deep_as_their_names_say(model: Model, depth: int) -> None:
    layers = [layer for layer in model.build(CIFAR).modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(layers) == depth


def test_a_block_whose_convolutions_give_nothing_passes_its_input_on_with_zeros_for_new_channels() -> None:
    block = ResidualBlock(2, 4).eval()
    nn.init.zeros_(block.conv2.weight)
    given = torch.rand(1, 2, 6, 6)
    passed = block(given)
    assert torch.equal(passed[:, :2], given[:, :, ::2, ::2])
    assert torch.equal(passed[:, 2:], torch.zeros(1, 2, 3, 3))


@pytest.mark.parametrize("model", SMALL, ids=lambda model: model.name)
@pytest.mark.parametrize("signature", [DIGITS.signature, Signature((1, 28, 28), 10), CIFAR, images(64)], ids=str)
def test_every_small_model_scores_images_of_every_size_there_is(model: Model, signature: Signature) -> None:
    assert model.misfit(signature) is None
    assert model.build(signature)(torch.zeros(2, *signature.shape)).shape == (2, signature.classes)


@pytest.mark.parametrize(
    ("side", "patch"), [(8, 2), (16, 2), (28, 4), (32, 4), (64, 8), (224, 28), (7, None), (29, None)]
)
def test_patches_are_as_small_as_64_of_them_allow(side: int, patch: int | None) -> None:
    assert patch_side((3, side, side)) == patch


def test_attention_equals_torchs_own() -> None:
    attention, tokens = Attention(causal=True), torch.randn(2, 10, 64)
    query, key, value = (part.view(2, 10, HEADS, -1).transpose(1, 2) for part in attention.qkv(tokens).chunk(3, dim=-1))
    mixed = nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
    expected = attention.out(mixed.transpose(1, 2).reshape(2, 10, 64))
    assert torch.allclose(attention(tokens), expected, atol=1e-5)


def test_what_the_decoder_says_does_not_depend_on_what_comes_later() -> None:
    model = GPT_SMALL.build(STDLIB_CHARS.signature)
    tokens = torch.randint(97, (1, 64))
    changed = tokens.clone()
    changed[0, 40:] = (changed[0, 40:] + 1) % 97
    before, after = model(tokens), model(changed)
    assert torch.allclose(before[0, :40], after[0, :40], atol=1e-6)
    assert not torch.allclose(before[0, 40:], after[0, 40:], atol=1e-3)


def test_what_the_vision_transformer_says_depends_on_where_things_are() -> None:
    model, image = VIT_SMALL.build(CIFAR), torch.randn(1, 3, 32, 32)
    assert not torch.allclose(model(image), model(image.roll(16, dims=3)), atol=1e-4)


@pytest.mark.parametrize(
    ("dataset", "model", "said"),
    [
        (DIGITS, GPT_SMALL, "digits/gpt_small: gpt_small reads tokens, got image"),
        (STDLIB_CHARS, MLP, r"stdlib_chars/mlp: mlp reads images, got tokens \[64\]"),
        (Dataset("tiny", images(3), DIGITS.load), CNN, "cnn reads images .*height >= 4"),
        (Dataset("tiny", images(3), DIGITS.load), VIT_SMALL, "at most 64 equal squares"),
    ],
)
def test_a_model_that_cannot_read_a_dataset_is_refused_saying_why(dataset: Dataset, model: Model, said: str) -> None:
    with pytest.raises(TaskError, match=said):
        Classification(dataset, model)


def test_the_zoo_is_torchvisions_list_of_classifiers() -> None:
    assert sorted(zoo.NAMES) == published.list_models(module=published)


ZOO = {model.name.removeprefix(zoo.PREFIX): model for model in zoo.ZOO}


@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"])
def test_a_classifier_of_torchvision_has_as_many_outputs_as_there_are_classes(name: str) -> None:
    model = ZOO[name]
    task = Classification(SAMPLE_PATCHES, model)
    assert task.model()(torch.zeros(2, 3, 32, 32)).shape == (2, 12)


@pytest.mark.parametrize(
    ("name", "side", "fits"),
    [
        *(("alexnet", 32, False), ("alexnet", 64, True), ("inception_v3", 74, False), ("inception_v3", 75, True)),
        *(("vit_b_16", 48, True), ("vit_b_16", 50, False), ("vit_h_14", 224, True), ("vit_b_32", 48, False)),
        *(("maxvit_t", 224, True), ("maxvit_t", 112, False), ("vgg11", 32, True), ("vgg11", 31, False)),
        *(("swin_t", 32, True), ("convnext_tiny", 32, True), ("densenet121", 32, True), ("googlenet", 32, True)),
    ],
)
def test_the_rule_for_a_size_is_what_the_classifier_itself_does(name: str, side: int, fits: bool) -> None:
    assert (ZOO[name].misfit(images(side)) is None) == fits
    try:
        with torch.device("meta"):  # shapes alone, no arithmetic
            scores = zoo.build(images(side), name=name)(torch.empty(2, 3, side, side))
    except (RuntimeError, ValueError, AssertionError):
        assert not fits
    else:
        assert scores.shape == (2, 5)
        assert fits


def test_black_and_white_images_do_not_fit_the_zoo() -> None:
    assert ZOO["resnet18"].misfit(images(32, channels=1)) == "reads square images of 3 channels, got image [1, 32, 32]"
