"""How numbers are written for people."""


def short(value: float) -> str:
    """Three significant digits or more, no exponent: 111200 -> "111,200", 31.37 -> "31.4", 0.0204 -> "0.0204"."""
    if value >= 100:
        return f"{value:,.0f}"
    if value >= 10:
        return f"{value:.1f}"
    if value >= 1:
        return f"{value:.2f}"
    if value >= 0.1:
        return f"{value:.3f}"
    return f"{value:.4f}" if value else "0"
