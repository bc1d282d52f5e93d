//! Line charts and bars as SVG text: axes with round numbers, one or more series, a tip on each
//! point. Colours come from the page's style, so that light and dark need no second drawing.

use std::fmt::Write;

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 320.0;
const LEFT: f64 = 72.0;
/// Room for half of the last mark's name.
const RIGHT: f64 = 40.0;
/// Room for the name of what goes up.
const TOP: f64 = 28.0;
const BOTTOM: f64 = 44.0;
/// About so many marks on an axis that counts evenly.
const MARKS: f64 = 5.0;
/// With more points than this, none has a tip of its own.
const TIPS_MAX: usize = 400;

/// How values lie on an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    Even,
    Log,
    /// A part of all: as many steps as it has nines.
    Nines,
}

/// Points of one colour.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) name: &'static str,
    pub(super) class: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

/// A drawing to be.
#[derive(Clone, Debug)]
pub(super) struct Chart {
    pub(super) x: (&'static str, Scale),
    pub(super) y: (&'static str, Scale),
    pub(super) series: Vec<Series>,
    /// Columns from the ground instead of lines.
    pub(super) bars: bool,
}

/// Where values lie on paper.
#[derive(Clone, Copy, Debug)]
struct Axis {
    scale: Scale,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Series {
    pub(super) const fn new(
        name: &'static str,
        class: &'static str,
        points: Vec<(f64, f64)>,
    ) -> Self {
        Self {
            name,
            class,
            points,
        }
    }
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Even => value,
            Self::Log => value.max(1e-3).log10(),
            Self::Nines => -(1.0 - value).max(1e-9).log10(),
        }
    }

    fn name(self, value: f64) -> String {
        match self {
            Self::Nines => format!("{}%", trim(value * 100.0, 6)),
            _ => grouped(value),
        }
    }
}

impl Axis {
    fn new(scale: Scale, values: impl Iterator<Item = f64>, (from, to): (f64, f64)) -> Self {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.map(|value| scale.place(value)) {
            low = low.min(value);
            high = high.max(value);
        }
        (low, high) = match scale {
            Scale::Even => (low.min(0.0), high),
            Scale::Log => (low.floor(), high.ceil()),
            Scale::Nines => (0.0, high.ceil()),
        };
        if high <= low || !low.is_finite() {
            (low, high) = (0.0, 1.0);
        }
        Self {
            scale,
            low,
            high,
            from,
            to,
        }
    }

    fn at(&self, value: f64) -> f64 {
        let part = (self.scale.place(value) - self.low) / (self.high - self.low);
        self.from + part * (self.to - self.from)
    }

    /// Values worth a mark.
    fn marks(&self) -> Vec<f64> {
        match self.scale {
            Scale::Even => {
                let rough = (self.high - self.low) / MARKS;
                let ten = 10f64.powf(rough.log10().floor());
                let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten);
                let step = step
                    .into_iter()
                    .find(|step| *step >= rough)
                    .unwrap_or(rough);
                let count = ((self.high - self.low) / step).floor() as i32;
                (0..=count)
                    .map(|index| self.low + f64::from(index) * step)
                    .collect()
            }
            Scale::Log => (self.low as i32..=self.high as i32)
                .map(|power| 10f64.powi(power))
                .collect(),
            Scale::Nines => (0..=self.high as i32)
                .map(|nines| 1.0 - 10f64.powi(-nines))
                .collect(),
        }
    }
}

impl Chart {
    /// Lines over two axes.
    pub(super) fn lines<const N: usize>(
        (x, y): ((&'static str, Scale), (&'static str, Scale)),
        series: [Series; N],
    ) -> Self {
        Self {
            x,
            y,
            series: series.into(),
            bars: false,
        }
    }

    pub(super) fn svg(&self) -> String {
        let points = || self.series.iter().flat_map(|series| &series.points);
        let x = Axis::new(
            self.x.1,
            points().map(|point| point.0),
            (LEFT, WIDTH - RIGHT),
        );
        let ground = HEIGHT - BOTTOM;
        let y = Axis::new(self.y.1, points().map(|point| point.1), (ground, TOP));
        let mut svg = format!(
            "<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{} by {}\">\n",
            self.y.0, self.x.0
        );
        self.axes(&mut svg, &x, &y);
        for series in &self.series {
            match self.bars {
                true => columns(&mut svg, series, (&x, &y), self),
                false => line(&mut svg, series, (&x, &y), self),
            }
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn axes(&self, svg: &mut String, x: &Axis, y: &Axis) {
        let ground = HEIGHT - BOTTOM;
        // Writing to a string cannot fail.
        for mark in y.marks() {
            let at = y.at(mark);
            let name = y.scale.name(mark);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/>\
                 <text class=\"mark\" x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{name}</text>",
                WIDTH - RIGHT,
                LEFT - 6.0,
                at + 4.0,
            );
        }
        for mark in x.marks() {
            let at = x.at(mark);
            let name = x.scale.name(mark);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" d=\"M{at:.1} {TOP}V{ground}\"/>\
                 <text class=\"mark\" x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{name}</text>",
                ground + 16.0,
            );
        }
        let _ = writeln!(
            svg,
            "<text class=\"name\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>\
             <text class=\"name\" x=\"{}\" y=\"14\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            HEIGHT - 6.0,
            self.x.0,
            LEFT - 6.0,
            self.y.0,
        );
    }

    fn tip(&self, series: &Series, (x, y): (f64, f64)) -> String {
        format!(
            "{} {}: {} {}",
            self.x.1.name(x),
            self.x.0,
            self.y.1.name(y),
            series.name
        )
    }
}

fn line(svg: &mut String, series: &Series, (x, y): (&Axis, &Axis), chart: &Chart) {
    let mut path = String::new();
    for (index, point) in series.points.iter().enumerate() {
        let letter = if index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{letter}{:.1} {:.1}", x.at(point.0), y.at(point.1));
    }
    let _ = writeln!(svg, "<path class=\"line {}\" d=\"{path}\"/>", series.class);
    if series.points.len() > TIPS_MAX {
        return;
    }
    for point in &series.points {
        let _ = writeln!(
            svg,
            "<circle class=\"dot {}\" cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\"><title>{}</title></circle>",
            series.class,
            x.at(point.0),
            y.at(point.1),
            chart.tip(series, *point),
        );
    }
}

fn columns(svg: &mut String, series: &Series, (x, y): (&Axis, &Axis), chart: &Chart) {
    let ground = HEIGHT - BOTTOM;
    let places: Vec<f64> = series.points.iter().map(|point| x.at(point.0)).collect();
    let gaps = places
        .windows(2)
        .filter_map(|pair| Some(pair.last()? - pair.first()?));
    let width = gaps.fold(24.0, f64::min).max(1.0) * 0.9;
    for (point, at) in series.points.iter().zip(&places) {
        let top = y.at(point.1);
        let _ = writeln!(
            svg,
            "<rect class=\"bar {}\" x=\"{:.1}\" y=\"{top:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
             <title>{}</title></rect>",
            series.class,
            at - width,
            (ground - top).max(0.5),
            chart.tip(series, *point),
        );
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(value: f64) -> String {
    if value.abs() < 1000.0 {
        return trim(value, if value.abs() < 1.0 { 3 } else { 1 });
    }
    super::in_thousands(value)
}

fn trim(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        for (value, text) in [
            (0.0, "0"),
            (0.25, "0.25"),
            (12.5, "12.5"),
            (1234.4, "1,234"),
            (1_000_000.0, "1,000,000"),
            (-4321.0, "-4,321"),
        ] {
            assert_eq!(grouped(value), text);
        }
        assert_eq!(Scale::Nines.name(1.0 - 1e-4), "99.99%");
    }

    #[test]
    fn a_chart_is_drawn_within_its_frame() {
        let chart = Chart {
            x: ("percentile", Scale::Nines),
            y: ("us", Scale::Log),
            series: vec![Series {
                name: "us",
                class: "one",
                points: vec![(0.0, 80.0), (0.5, 100.0), (0.999, 20_000.0)],
            }],
            bars: false,
        };
        let svg = chart.svg();
        assert!(svg.contains("99.9% percentile: 20,000 us"), "{svg}");
        for place in svg.split("cx=\"").skip(1) {
            let x: f64 = place.split('"').next().unwrap().parse().unwrap();
            assert!((LEFT..=WIDTH - RIGHT).contains(&x), "{x}");
        }
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn nothing_to_draw_is_drawn_as_nothing() {
        let chart = Chart {
            x: ("s", Scale::Even),
            y: ("us", Scale::Log),
            series: Vec::new(),
            bars: true,
        };
        assert!(!chart.svg().contains("NaN"));
    }
}
