//! Results as pictures: horizontal bars on a logarithmic axis, both sides of a row below each other.
//! Pure: results in, SVG text out. Bars need no more than rectangles and text, so no crate draws them.

use std::fmt::Write;

use super::metric::Metric;
use super::results::Results;
use super::summary::{self, Line};
use crate::x::server::Kind;

const WIDTH: f64 = 960.0;
const LABEL_WIDTH: f64 = 430.0;
const VALUE_WIDTH: f64 = 90.0;
const TOP: f64 = 64.0;
const BAR: f64 = 13.0;
const ROW: f64 = 40.0;
const LABEL_LETTERS_MAX: usize = 62;
const COLOURS: [(Kind, &str, &str); 2] = [
    (Kind::Thalweg, "Thalweg", "#0b6e99"),
    (Kind::Kafka, "Apache Kafka", "#c9c5bd"),
];

/// A picture: its file's name, its title, and what it shows of which rows.
struct Picture {
    name: &'static str,
    title: &'static str,
    metric: Metric,
    wanted: fn(&Line) -> bool,
}

const PICTURES: &[Picture] = &[
    Picture {
        name: "latency",
        title: "p99 latency (logarithmic; shorter is better)",
        metric: Metric::P99Us,
        wanted: |line| {
            !line.row.headline.more_is_better() && line.row.headline != Metric::CpuSecondsPerGb
        },
    },
    Picture {
        name: "throughput",
        title: "MB of values per second (logarithmic; longer is better)",
        metric: Metric::MbPerSecond,
        wanted: |line| {
            line.cells
                .iter()
                .all(|cell| cell.get(Metric::RateAsked).is_none())
        },
    },
    Picture {
        name: "cpu",
        title: "server CPU-seconds per GB (logarithmic; shorter is better)",
        metric: Metric::CpuSecondsPerGb,
        wanted: |_| true,
    },
];

/// Every picture of a run that has something to show, by file name without its end.
pub(super) fn all(results: &Results) -> Vec<(&'static str, String)> {
    let lines = summary::lines(results);
    PICTURES
        .iter()
        .filter_map(|picture| Some((picture.name, draw(picture, &lines)?)))
        .collect()
}

struct Bars {
    label: String,
    values: [Option<f64>; 2],
}

fn draw(picture: &Picture, lines: &[Line]) -> Option<String> {
    let bars: Vec<Bars> = lines
        .iter()
        .filter(|line| (picture.wanted)(line))
        .map(|line| Bars {
            label: format!(
                "{} {} ({})",
                line.row.id,
                line.row.title,
                line.durability.name()
            ),
            values: COLOURS.map(|(kind, _, _)| line.best(kind)?.get(picture.metric)),
        })
        .filter(|bars| bars.values.iter().any(Option::is_some))
        .collect();
    let positive = bars.iter().flat_map(|bars| bars.values).flatten();
    let (low, high) = positive
        .filter(|value| *value > 0.0)
        .fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if high <= 0.0 {
        return None;
    }
    let axis = Axis::new(low, high);
    let height = TOP + ROW * bars.len() as f64 + 30.0;
    let mut svg = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = writeln!(
        svg,
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="system-ui, sans-serif" font-size="12">
<rect width="100%" height="100%" fill="#ffffff"/>
<text x="16" y="24" font-size="16" font-weight="600">{}</text>"##,
        escape(picture.title)
    );
    legend(&mut svg);
    axis.draw(&mut svg, picture.metric, height);
    for (index, bars) in bars.iter().enumerate() {
        row(
            &mut svg,
            picture.metric,
            &axis,
            (TOP + ROW * index as f64, bars),
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

fn legend(svg: &mut String) {
    for (index, (_, name, colour)) in COLOURS.iter().enumerate() {
        let x = 16.0 + 110.0 * index as f64;
        let _ = writeln!(
            svg,
            r#"<rect x="{x}" y="36" width="12" height="12" fill="{colour}"/><text x="{}" y="46">{name}</text>"#,
            x + 18.0
        );
    }
}

fn row(svg: &mut String, metric: Metric, axis: &Axis, (top, bars): (f64, &Bars)) {
    let label: String = match bars.label.chars().count() > LABEL_LETTERS_MAX {
        true => bars
            .label
            .chars()
            .take(LABEL_LETTERS_MAX)
            .chain("...".chars())
            .collect(),
        false => bars.label.clone(),
    };
    let _ = writeln!(
        svg,
        r#"<text x="{}" y="{}" text-anchor="end">{}</text>"#,
        LABEL_WIDTH - 10.0,
        top + BAR + 4.0,
        escape(&label)
    );
    for (index, (value, (_, _, colour))) in bars.values.iter().zip(COLOURS).enumerate() {
        let y = top + BAR * index as f64;
        let Some(value) = value.filter(|value| *value > 0.0) else {
            let _ = writeln!(
                svg,
                r##"<text x="{LABEL_WIDTH}" y="{}" fill="#888888">none</text>"##,
                y + BAR - 2.0
            );
            continue;
        };
        let width = (axis.at(value) - LABEL_WIDTH).max(1.0);
        let _ = writeln!(
            svg,
            r#"<rect x="{LABEL_WIDTH}" y="{y}" width="{width:.1}" height="{}" fill="{colour}"/><text x="{:.1}" y="{}">{}</text>"#,
            BAR - 1.0,
            LABEL_WIDTH + width + 4.0,
            y + BAR - 2.0,
            escape(&metric.show(value))
        );
    }
}

/// Whole decades from below the smallest value to above the largest.
struct Axis {
    low: i32,
    high: i32,
}

impl Axis {
    fn new(low: f64, high: f64) -> Self {
        let low = low.log10().floor() as i32;
        Self {
            low,
            high: (high.log10().ceil() as i32).max(low + 1),
        }
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - f64::from(self.low)) / f64::from(self.high - self.low);
        LABEL_WIDTH + share * (WIDTH - LABEL_WIDTH - VALUE_WIDTH)
    }

    fn draw(&self, svg: &mut String, metric: Metric, height: f64) {
        for decade in self.low..=self.high {
            let value = 10_f64.powi(decade);
            let x = self.at(value);
            let _ = writeln!(
                svg,
                r##"<line x1="{x:.1}" y1="{}" x2="{x:.1}" y2="{}" stroke="#e6e6e6"/><text x="{x:.1}" y="{}" text-anchor="middle" fill="#666666">{}</text>"##,
                TOP - 6.0,
                height - 24.0,
                height - 10.0,
                escape(&metric.show(value))
            );
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::super::results::tests::sample_results;
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values_on_the_axis() {
        let axis = Axis::new(20.0, 5000.0);
        assert_eq!((axis.low, axis.high), (1, 4));
        assert!((axis.at(10.0) - LABEL_WIDTH).abs() < 1e-9);
        assert!((axis.at(10_000.0) - (WIDTH - VALUE_WIDTH)).abs() < 1e-9);
    }

    #[test]
    fn both_sides_of_a_row_are_drawn() {
        let pictures = all(&sample_results());
        let (_, svg) = pictures
            .iter()
            .find(|(name, _)| *name == "throughput")
            .unwrap();
        assert!(svg.starts_with("<svg") && svg.trim_end().ends_with("</svg>"));
        assert!(
            svg.contains(">700</text>") && svg.contains(">350</text>"),
            "{svg}"
        );
    }

    #[test]
    fn text_in_pictures_is_escaped() {
        assert_eq!(escape("a < b & c"), "a &lt; b &amp; c");
    }
}
