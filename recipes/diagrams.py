"""The diagram of what `deploy` does."""

from __future__ import annotations

from drawing import picture

from nagsdk.reports.svg import COLORS, GREY, line, text

WIDTH, LEFT, BOX, STEP, TALL = 480.0, 20.0, 300.0, 74.0, 50.0
# What happens, and what comes out of it.
STEPS = (
    ("1. Calibrate", "some thirty reference networks are measured", "cost model"),
    ("2. Generate", "one pass of a trained policy; no limit is broken", "architecture"),
    ("3. Build", "cut out of the supernet, compared with torch", "model file"),
    ("4. Measure", "on the device; a miss corrects the cost model", "latency"),
    ("5. Confirm", "in fresh sessions", "verdict: held"),
)


def deploy_diagram() -> str:
    """The steps from top to bottom, with the way back from measuring to generating."""
    parts = [
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0,0 L8,4 L0,8 z" fill="{GREY}"/></marker></defs>'
    ]
    arrow = ' stroke-width="1.6" marker-end="url(#tip)"'
    for number, (title, what, result) in enumerate(STEPS):
        y = 16 + number * STEP
        last = number == len(STEPS) - 1
        color = COLORS[1] if last else COLORS[0]
        parts += [
            f'<rect x="{LEFT}" y="{y}" width="{BOX}" height="{TALL}" rx="6" fill="none" stroke="{color}" '
            'stroke-width="1.8"/>',
            text(LEFT + 12, y + 20, title, size=14, color=color, extra=' font-weight="600"'),
            text(LEFT + 12, y + 39, what, size=12),
            text(LEFT + BOX + 16, y + 30, f"→ {result}", size=12, color=color),
        ]
        if not last:
            parts.append(line(LEFT + 40, y + TALL, LEFT + 40, y + STEP - 2, GREY, arrow))
    right, low, high = WIDTH - 22.0, 16 + 3 * STEP, 16 + STEP
    parts += [
        f'<path d="M{LEFT + BOX},{low + 40} H{right} V{high + 12} H{LEFT + BOX + 3}" fill="none" stroke="{GREY}" '
        f'stroke-dasharray="4 3"{arrow}/>',
        text(
            right + 12,
            (low + high) / 2 + 26,
            "missed: again, at most five times",
            size=11,
            color=GREY,
            anchor="middle",
            extra=f' transform="rotate(-90 {right + 12:.0f} {(low + high) / 2 + 26:.0f})"',
        ),
    ]
    label = "The steps of deploy: calibrate, generate, build, measure, confirm; a missed budget leads back to generate"
    return picture(WIDTH, 16 + len(STEPS) * STEP, label, parts)
