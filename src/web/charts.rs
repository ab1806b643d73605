//! Bar charts as SVG that stands in a page. Colours are the page's own tokens, so that a chart is right in light and
//! dark; there is no script and no style in it. What is charted, and its words, are the page's.

use std::fmt;

use plotters::prelude::{
    BindKeyPoints as _, ChartBuilder, IntoDrawingArea as _, LabelAreaPosition, Polygon, SVGBackend,
};
use plotters::style::{Color as _, RGBColor, TextStyle};

/// The size that it is drawn for; a page scales it to its column.
const SIZE: (u32, u32) = (360, 150);
/// The backend divides it by 1.24: 13 in the drawing.
const TEXT_SIZE: f64 = 16.12;
/// Colours that stand for tokens of the style sheet until the drawing is done.
const BAR: RGBColor = RGBColor(1, 1, 1);
const LINE: RGBColor = RGBColor(2, 2, 2);
const TEXT: RGBColor = RGBColor(3, 3, 3);
const TOKENS: [(&str, &str); 3] =
    [("#010101", "var(--accent)"), ("#020202", "var(--line)"), ("#030303", "var(--quiet)")];
/// What the backend writes and no drawing needs.
const NOISE: [(&str, &str); 4] =
    [(" opacity=\"1\"", ""), (" stroke=\"none\"", ""), (" font-family=\"sans-serif\"", ""), ("\n", "")];

/// A chart of one bar a step.
#[derive(Debug)]
pub struct Bars<'a> {
    /// Tells it apart from others on its page.
    pub id: &'a str,
    /// What is charted.
    pub title: &'a str,
    /// The numbers, as a sentence.
    pub description: &'a str,
    /// What the steps are called under the axis.
    pub labels: &'a [String],
    /// The bars; `None` where there is nothing to show.
    pub values: &'a [Option<f64>],
    /// The axis.
    pub axis: Axis,
}

/// Coordinates are whole numbers: a bar is so wide with the room on both of its sides.
const BAR_ROOM: i64 = 100;
/// A unit of a value is so high.
const UNIT: i64 = 1_000;

/// The axis of the values: from nothing up, in equal steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    step: i64,
    steps: i64,
}

impl Axis {
    /// Round steps, four at most, that reach up to the highest value, in whole numbers.
    #[must_use]
    pub fn up_to(highest: f64) -> Self {
        let highest = units(highest);
        let powers = (0..12).map(|power| 10_i64.pow(power));
        let mut round =
            powers.flat_map(|power| [10, 20, 25, 50].map(|tenths| power * tenths)).filter(|tenths| tenths % 10 == 0);
        let step = round.find(|tenths| tenths / 10 * 4 * UNIT >= highest).map_or(1, |tenths| tenths / 10);
        let steps = (1..4).find(|count| step * count * UNIT >= highest).unwrap_or(4);
        Self { step, steps }
    }

    const fn top(self) -> i64 {
        self.step * self.steps
    }

    fn marks(self) -> Vec<i64> {
        (0..=self.steps).map(|mark| self.step * mark).collect()
    }
}

impl Bars<'_> {
    /// The chart.
    ///
    /// # Errors
    /// When it cannot be drawn.
    pub fn to_svg(&self) -> Result<String, fmt::Error> {
        let mut drawn = String::new();
        self.draw(&mut drawn).map_err(|_| fmt::Error)?;
        // The root is the page's own: its size is its column's.
        let inner = drawn.split_once('>').map_or("", |(_, rest)| rest);
        let mut inner = inner.trim_end().trim_end_matches("</svg>").to_owned();
        for (written, meant) in TOKENS.iter().chain(&NOISE) {
            inner = inner.replace(written, meant);
        }
        let (id, (width, height)) = (self.id, SIZE);
        let (title, description) = (escaped(self.title), escaped(self.description));
        Ok(format!(
            "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-labelledby=\"{id}-title {id}-text\">\
             <title id=\"{id}-title\">{title}</title><desc id=\"{id}-text\">{description}</desc>{inner}</svg>"
        ))
    }

    fn draw(&self, into: &mut String) -> Result<(), Box<dyn std::error::Error + '_>> {
        let count = i64::try_from(self.values.len())?;
        let area = SVGBackend::with_string(into, SIZE).into_drawing_area();
        // The middle of every so manyth bar has its label below it, the last one among them.
        let every = (count + 3) / 4;
        let places = (0..count).filter(|place| (count - 1 - place) % every == 0);
        let places = places.map(|place| place * BAR_ROOM + BAR_ROOM / 2);
        let marks = self.axis.marks().into_iter().map(|mark| mark * UNIT);
        let mut chart = ChartBuilder::on(&area)
            .margin_top(8)
            .margin_right(16)
            .x_label_area_size(22)
            .y_label_area_size(34)
            .build_cartesian_2d(
                (0..count.max(1) * BAR_ROOM).with_key_points(places.collect()),
                (0..self.axis.top() * UNIT).with_key_points(marks.collect()),
            )?;
        let style = TextStyle::from(("sans-serif", TEXT_SIZE)).color(&TEXT);
        let label = |place: &i64| {
            let place = usize::try_from(place / BAR_ROOM).ok();
            place.and_then(|place| self.labels.get(place)).cloned().unwrap_or_default()
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(LINE.mix(0.0))
            .bold_line_style(LINE)
            .axis_style(LINE)
            .set_all_tick_mark_size(4)
            .set_tick_mark_size(LabelAreaPosition::Left, 5)
            .label_style(style)
            .x_label_formatter(&label)
            .y_label_formatter(&|mark| (mark / UNIT).to_string())
            .draw()?;
        let bars = (0..count).zip(self.values).filter_map(|(place, value)| Some((place * BAR_ROOM, units((*value)?))));
        let gap = BAR_ROOM / 7;
        let corners: Vec<_> = bars
            .filter(|(_, high)| *high > 0)
            .flat_map(|(left, high)| {
                let right = left + BAR_ROOM - gap;
                [(left + gap, 0), (left + gap, high), (right, high), (right, 0)]
            })
            .collect();
        // One shape for all: it runs along the axis from each bar to the next.
        if !corners.is_empty() {
            chart.draw_series(std::iter::once(Polygon::new(corners, BAR.filled())))?;
        }
        area.present()?;
        drop(chart);
        drop(area);
        Ok(())
    }
}

/// A value as a coordinate; what is no number, or beyond all bounds, is where the bounds are.
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "it saturates, and zero is no bar")]
fn units(value: f64) -> i64 {
    (value * UNIT as f64).clamp(0.0, 1e12) as i64
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(values: &[Option<f64>]) -> String {
        let labels: Vec<_> = (0..values.len()).map(|place| format!("week {place}")).collect();
        let highest = values.iter().flatten().copied().fold(0.0, f64::max);
        let (id, title, description) = ("requests", "Requests", "7 requests, <b> & none.");
        Bars { id, title, description, labels: &labels, values, axis: Axis::up_to(highest) }.to_svg().unwrap()
    }

    #[test]
    fn an_axis_has_at_most_four_round_whole_steps_and_holds_the_highest() {
        let marks = |highest| Axis::up_to(highest).marks();
        assert_eq!(marks(0.0), [0, 1]);
        assert_eq!(marks(1.0), [0, 1]);
        assert_eq!(marks(3.2), [0, 1, 2, 3, 4]);
        assert_eq!(marks(5.0), [0, 2, 4, 6]);
        assert_eq!(marks(41.0), [0, 20, 40, 60]);
        assert_eq!(marks(100.0), [0, 25, 50, 75, 100]);
        for highest in [1, 7, 99, 12_345, 1_000_000_000] {
            let axis = Axis::up_to(f64::from(highest));
            let top = axis.top();
            assert!(top >= highest.into() && 10 * top < 26 * i64::from(highest), "{highest}: {axis:?}");
        }
        for odd in [f64::NAN, f64::INFINITY, -1.0] {
            assert!(Axis::up_to(odd).top() > 0);
        }
    }

    #[test]
    fn a_chart_has_one_bar_a_value_that_is_there_as_high_as_it_is() {
        let svg = chart(&[Some(1.0), None, Some(0.0), Some(4.0)]);
        let points = svg.split("<polygon ").nth(1).unwrap().split("points=\"").nth(1).unwrap();
        let points: Vec<(f64, f64)> = points
            .split('"')
            .next()
            .unwrap()
            .split_whitespace()
            .map(|point| {
                let (x, y) = point.split_once(',').unwrap();
                (x.parse().unwrap(), y.parse().unwrap())
            })
            .collect();
        assert_eq!(points.len(), 8, "{svg}");
        let bars: Vec<_> = points.chunks(4).map(|bar| (bar[0].1 - bar[1].1, bar[2].0 - bar[1].0)).collect();
        assert!((bars[1].0 / bars[0].0 - 4.0).abs() < 0.2 && bars.iter().all(|bar| bar.1 > 50.0), "{bars:?}");
        assert!(points[4].0 - points[3].0 > 150.0, "the room of two is free between them: {points:?}");
    }

    #[test]
    fn a_chart_is_told_in_words_and_takes_its_colours_from_the_page() {
        let svg = chart(&[Some(1.0), Some(7.0)]);
        assert!(svg.starts_with("<svg class=\"chart\" viewBox=\"0 0 360 150\" role=\"img\""), "{svg}");
        assert!(svg.contains("aria-labelledby=\"requests-title requests-text\""));
        assert!(svg.contains("<desc id=\"requests-text\">7 requests, &lt;b&gt; &amp; none.</desc>"));
        assert!(svg.contains("var(--accent)") && svg.contains("var(--quiet)") && svg.contains("week 1"));
        assert!(!svg.contains('#') && !svg.contains("style") && !svg.contains("<script"), "{svg}");
        assert!(svg.ends_with("</svg>") && svg.matches("<svg").count() == 1);
    }

    #[test]
    fn a_chart_of_a_year_is_small_and_one_of_nothing_is_empty() {
        let svg = chart(&[Some(3.0); 52]);
        assert!(svg.len() < 4_000, "{} bytes", svg.len());
        for nothing in [&[][..], &[None, Some(0.0)]] {
            assert!(!chart(nothing).contains("<polygon"), "{}", chart(nothing));
        }
    }
}
