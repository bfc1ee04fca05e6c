"""The distilled victim is a negative control: it looks robust to who takes the textbook's loss, and to nobody else."""

import torch
from models import digits, victim

import raygrid


def textbook_fgsm(model, x, y, eps):
    """One step along the sign of the gradient of float32 cross-entropy, which is 0 where the softmax is 1."""
    z = x.clone().requires_grad_()
    (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(model(z), y, reduction="sum"), z)
    return (x + eps * g.sign()).clamp(0, 1), float((g.flatten(1).abs().sum(1) == 0).float().mean())


def standing(model, x, y):
    return float((model(x).argmax(1) == y).float().mean())


def test_the_textbooks_fgsm_finds_it_defended_and_ours_does_not():
    x, y = digits(100)
    plain, distilled = victim("mnist-cnn"), victim("mnist-cnn-distilled")
    found = {model.info.id: textbook_fgsm(model, x, y, 0.15) for model in (plain, distilled)}
    shares = {model.info.id: standing(model, found[model.info.id][0], y) for model in (plain, distilled)}
    assert shares["mnist-cnn-distilled"] >= 2 * shares["mnist-cnn"]  # 0.81 against 0.37
    assert found["mnist-cnn-distilled"][1] > 0.5 and found["mnist-cnn"][1] == 0
    ours = raygrid.attack(distilled, x, y, "fgsm", eps=0.15)
    assert ours.robust_accuracy < 0.5 * shares["mnist-cnn-distilled"]


def test_carlini_and_wagner_break_it_at_about_the_distance_at_which_they_break_the_plain_net():
    x, y = digits(20)
    medians = {}
    for name in ("mnist-cnn", "mnist-cnn-distilled"):
        done = raygrid.attack(
            victim(name), x, y, "carlini-wagner", eps=28.0, steps=100, binary_steps=4, c_init=0.1, rivals=0, lr=0.05
        )
        assert done.statuses["robust"] == 0
        medians[name] = torch.tensor([verdict.l2 for verdict in done.verdicts if verdict.status == "broken"]).median()
    assert medians["mnist-cnn-distilled"] < 1.5 * medians["mnist-cnn"]
