"""Numbers as people read them."""


def percent(fraction: float) -> str:
    """Return 0.534 as "53.4 %"."""
    return f"{100 * fraction:.1f} %"


def minutes(seconds: float) -> str:
    """Return 2100 as "35.0 min"."""
    return f"{seconds / 60:,.1f} min"


def duration(seconds: float) -> str:
    """Return seconds as "48 s", "3 min 5 s" or "1 h 12 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
