import pytest
import torch
from bringing import pixels
from torch import nn

from raygrid.victims.check import check_victim
from raygrid.victims.info import VictimInfo
from raygrid.victims.victim import Victim

CLASSES = 4
LABELS = torch.tensor([0, 1, 3])


def victim_of(function, access="gradient", input_shape=(3, 5, 5), classes=CLASSES) -> Victim:
    class Model(nn.Module):
        def forward(self, x):
            return function(x)

    info = VictimInfo(
        id="mine",
        arch="test.model",
        classes=classes,
        input_shape=input_shape,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        weights_sha256="",
        access=access,
    )
    return Victim(Model(), info)


def logits(x):
    return torch.einsum("bchw,kchw->bk", x, pixels(CLASSES, 3, 5, 5, seed=1) - 0.5)


def fail(x):
    raise KeyError("lost")


def normalized_over_the_batch(x):
    return logits((x - x.mean(0)) / x.std(0, correction=0).clamp_min(0.1))


def random(x):
    return logits(x) + torch.randn(len(x), CLASSES)


def one_hot(x):
    return nn.functional.one_hot(logits(x).argmax(1), CLASSES).float()


FAULTS = {
    "tuple": (
        (lambda x: (logits(x),)),
        "output: the victim returns tuple; it must return one tensor of logits [B, classes]",
    ),
    "rank": ((lambda x: logits(x)[:, :, None]), "output: the victim returns [3, 4, 1]; it must return logits [3, 4]"),
    "batch": (
        (lambda x: logits(x).mean(0, keepdim=True)),
        "output: the victim returns [1, 4]; it must return logits [3, 4]",
    ),
    "classes": ((lambda x: logits(x)[:, :3]), "classes: the victim returns 3 scores, not 4; say classes: 3"),
    "integers": ((lambda x: logits(x).long()), "output: the victim returns torch.int64; it must return float logits"),
    "nan": ((lambda x: logits(x).log()), "output: NaN or infinity for "),
    "random": (random, "output: two runs of one batch differ by "),
    "batch statistics": (normalized_over_the_batch, "output: one sample's output moves by "),
    "constant": (
        (lambda x: 0 * logits(x) + 1),
        "output: the victim gives the same output for different inputs; check its weights, `mean` and `std`",
    ),
    "detached": ((lambda x: logits(x.detach())), "access: no gradient reaches the input; remove no_grad and detach"),
    "flat": (
        (lambda x: logits(x.detach()) + 0 * logits(x)),
        "access: the input gradient is zero everywhere; return logits",
    ),
    "nan gradient": (
        (lambda x: logits(x) + (x.flatten(1)[:, :1] * 0).sqrt()),
        "access: the input gradient has NaN or infinity; check for roots and logarithms of zero",
    ),
}


def test_a_victim_that_keeps_its_contract_has_no_faults():
    assert check_victim(victim_of(logits), pixels(3, 3, 5, 5), LABELS, CLASSES) == []


def test_a_batch_of_one_is_enough():
    assert check_victim(victim_of(logits), pixels(1, 3, 5, 5), LABELS[:1], CLASSES) == []
    assert check_victim(victim_of(normalized_over_the_batch), pixels(1, 3, 5, 5), LABELS[:1], CLASSES) != []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_told_with_its_field(fault):
    function, message = FAULTS[fault]
    torch.manual_seed(0)
    problems = check_victim(victim_of(function), pixels(3, 3, 5, 5), LABELS, CLASSES)
    assert any(problem.startswith(message) for problem in problems), problems


@pytest.mark.parametrize(
    ("access", "function"), [("score", logits), ("decision", one_hot), ("decision", lambda x: one_hot(0 * x))]
)
def test_a_victim_that_gives_no_gradient_needs_none(access, function):
    def without_gradient(x):
        return function(x.detach())

    assert check_victim(victim_of(without_gradient, access), pixels(3, 3, 5, 5), LABELS, CLASSES) == []


def test_an_exception_is_told_with_the_last_frame_of_the_user_s_code():
    (problem,) = check_victim(victim_of(fail), pixels(3, 3, 5, 5), LABELS, CLASSES)
    line = fail.__code__.co_firstlineno + 1
    assert problem.startswith(f"the victim raised KeyError: 'lost' ({__file__}:{line} in fail) on a batch [3, 3, 5, 5]")


def test_an_exception_inside_torch_is_told_where_the_user_called_it():
    (problem,) = check_victim(victim_of(lambda x: nn.functional.linear(x, x)), pixels(3, 3, 5, 5), LABELS, CLASSES)
    assert f"({__file__}:" in problem


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((3, 5, 5), None),
        ((3, None, None), None),
        (
            (3, 8, 8),
            "input: the victim takes [3, 8, 8], the data has [3, 5, 5]; choose data of this size or mend `input`",
        ),
        ((1, None, 5), "input: the victim takes [1, 'any', 5], the data has [3, 5, 5]"),
    ],
)
def test_the_input_shape_must_fit_the_data(shape, message):
    problems = check_victim(victim_of(logits, input_shape=shape), pixels(3, 3, 5, 5), LABELS, CLASSES)
    assert problems == [] if message is None else problems[0].startswith(message)


@pytest.mark.parametrize(
    ("labels", "classes_of_data", "message"),
    [
        (LABELS, 5, "classes: the data has 5 classes and the victim 4; the victim cannot name them all"),
        (LABELS + 1, 4, "labels: 1..4 are not all in the victim's 0..3"),
        (LABELS - 1, 4, "labels: -1..2 are not all in the victim's 0..3"),
    ],
)
def test_the_classes_must_fit_the_data(labels, classes_of_data, message):
    assert check_victim(victim_of(logits), pixels(3, 3, 5, 5), labels, classes_of_data) == [message]


def test_a_victim_of_pictures_is_not_asked_about_recordings():
    (fault,) = check_victim(victim_of(logits), torch.rand(3, 100), LABELS, CLASSES)
    assert fault == "input: the victim takes pictures, the data has recordings; choose others"
