"""Texts of small jobs."""


def grid(attack="{use: pgd, eps: 1/255}", data="imagenet-samples", victims="efficientnet-lite0", more=""):
    """Write a job whose attack stands in line 6 from column 14 on, whatever the rest."""
    return f"version: 1\ngrids:\n  g:\n    data: {data}\n    victims: {victims}\n    attacks: {attack}\n" + (
        f"    {more}\n" if more else ""
    )
