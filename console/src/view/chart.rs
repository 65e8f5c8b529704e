//! The chart of decisions: stacked bars, drawn as SVG without styles.

use maud::{Markup, html};

/// One bar: its label, and the number of decisions by outcome.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bar {
    /// When it begins, in words.
    pub(crate) label: String,
    /// The numbers, in the order of [`OUTCOMES`].
    pub(crate) counts: [u64; 5],
}

/// The outcomes: names, which are also their classes in the style sheet.
pub(crate) const OUTCOMES: [&str; 5] = ["applied", "denied", "failed", "cancelled", "declined"];

const HEIGHT: u64 = 100;
const STEP: usize = 12;
const WIDTH: usize = 9;

/// Draws the bars. `unit` says what a bar covers, such as `minute`.
pub(crate) fn bars(bars: &[Bar], unit: &str) -> Markup {
    let highest = bars
        .iter()
        .map(|bar| bar.counts.iter().sum::<u64>())
        .max()
        .unwrap_or(0);
    let total: u64 = bars.iter().flat_map(|bar| bar.counts).sum();
    let view = format!("0 0 {} {HEIGHT}", bars.len() * STEP);
    let label = format!("Decisions per {unit}: {total} in total, {highest} at most");
    html! {
        figure.chart {
            svg viewBox=(view) preserveAspectRatio="none" role="img" aria-label=(label) {
                @for (at, bar) in bars.iter().enumerate() {
                    @if bar.counts.iter().any(|n| *n > 0) {
                        g {
                            title { (described(bar)) }
                            @let x = at * STEP + 1;
                            @for (class, y, height) in stack(bar, highest) {
                                rect.(class) x=(x) y=(y) width=(WIDTH) height=(height) {}
                            }
                        }
                    }
                }
            }
            figcaption {
                span { (bars.first().map_or("", |bar| bar.label.as_str())) }
                span { @if highest > 0 { "at most " (highest) " per " (unit) } @else { "no decisions" } }
                span { "now" }
            }
        }
    }
}

fn described(bar: &Bar) -> String {
    let parts = OUTCOMES.iter().zip(bar.counts).filter(|(_, n)| *n > 0);
    let parts: Vec<String> = parts.map(|(name, n)| format!("{n} {name}")).collect();
    format!("{}: {}", bar.label, parts.join(", "))
}

/// Returns the class, the top and the height of each part of a bar, from the bottom. A part is
/// never too small to be seen.
fn stack(bar: &Bar, highest: u64) -> Vec<(&'static str, u64, u64)> {
    let mut top = HEIGHT;
    let mut parts = Vec::new();
    for (class, n) in OUTCOMES.iter().zip(bar.counts).filter(|(_, n)| *n > 0) {
        let height = (n * HEIGHT / highest.max(1)).max(2).min(top);
        top -= height;
        parts.push((*class, top, height));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_stacked_from_the_bottom_and_never_vanish() {
        let bar = Bar {
            label: String::new(),
            counts: [50, 0, 1, 49, 0],
        };
        let parts = stack(&bar, 100);
        let expected = [("applied", 50, 50), ("failed", 48, 2), ("cancelled", 0, 48)];
        assert_eq!(parts, expected);
    }
}
