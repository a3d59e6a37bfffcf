//! Plots, as SVG that stands in a page.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

const SIZE: (u32, u32) = (760, 400);
const FONT: &str = "sans-serif";
const PALETTE: [RGBColor; 9] = [
    RGBColor(0x1b, 0x6c, 0xa8),
    RGBColor(0xd1, 0x49, 0x5b),
    RGBColor(0x2e, 0x8b, 0x57),
    RGBColor(0xed, 0xae, 0x49),
    RGBColor(0x6a, 0x4c, 0x93),
    RGBColor(0x00, 0x79, 0x8c),
    RGBColor(0x8d, 0x6e, 0x63),
    RGBColor(0x60, 0x60, 0x60),
    RGBColor(0xc2, 0x6d, 0xbc),
];

/// A name and its points.
pub(super) type Line = (String, Vec<(f64, f64)>);

/// What could not be drawn, in words. Nothing that is drawn into memory fails for a reason of its own.
pub(super) type Drawn = Result<String, String>;

fn said(error: impl Display) -> String {
    error.to_string()
}

fn colour(number: usize) -> RGBColor {
    PALETTE[number % PALETTE.len()]
}

/// Draws into memory by `draw`.
fn svg(
    size: (u32, u32),
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String>,
) -> Drawn {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    area.fill(&WHITE).map_err(said)?;
    draw(&area)?;
    area.present().map_err(said)?;
    drop(area);
    Ok(text)
}

/// From least to most, with a little air; of nothing, from 1 to 10.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { 1.0..10.0 } else { low * 0.85..high * 1.2 }
}

/// Clocks over something, both on logarithmic scales.
pub(super) fn lines(title: &str, across: &str, lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let (x, y) = (range(points().map(|point| point.0)), range(points().map(|point| point.1)));
    svg(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 17))
            .margin(12)
            .x_label_area_size(38)
            .y_label_area_size(56)
            .build_cartesian_2d(x.log_scale(), y.log_scale())
            .map_err(said)?;
        chart
            .configure_mesh()
            .x_desc(across)
            .y_desc("clocks per packet")
            .light_line_style(WHITE.mix(0.0))
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_label_formatter(&|value| format!("{value:.0}"))
            .draw()
            .map_err(said)?;
        for (number, (name, points)) in lines.iter().enumerate() {
            let style = colour(number).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style).point_size(3))
                .map_err(said)?
                .label(name)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(said)
    })
}

/// A bar for each name, of parts that lie one behind the other.
pub(super) fn bars(title: &str, parts: &[String], bars: &[Bar]) -> Drawn {
    let longest = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(1.0, f64::max);
    let height = 110 + 30 * bars.len() as u32;
    svg((SIZE.0, height), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 17))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(190)
            .build_cartesian_2d(0.0..longest * 1.02, (0..bars.len()).into_segmented())
            .map_err(said)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_desc("clocks per packet")
            .y_labels(bars.len())
            .y_label_formatter(&|place| match place {
                SegmentValue::CenterOf(number) => {
                    bars.get(*number).map_or_else(String::new, |bar| bar.0.clone())
                }
                SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
            })
            .draw()
            .map_err(said)?;
        for (number, name) in parts.iter().enumerate() {
            let style = colour(number).filled();
            let pieces = bars.iter().enumerate().filter_map(|(bar, (_, lengths))| {
                let length = lengths.get(number).filter(|length| **length > 0.0)?;
                let from: f64 = lengths[..number].iter().sum();
                let corners =
                    [(from, SegmentValue::Exact(bar)), (from + length, SegmentValue::Exact(bar + 1))];
                let mut piece = Rectangle::new(corners, style);
                piece.set_margin(4, 4, 0, 0);
                Some(piece)
            });
            chart
                .draw_series(pieces)
                .map_err(said)?
                .label(name)
                .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], style));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(BLACK.mix(0.2))
            .draw()
            .map_err(said)
    })
}

/// A name and the lengths of its parts.
pub(super) type Bar = (String, Vec<f64>);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_what_it_shows() {
        let text =
            lines("A title", "bytes", &[("ours".into(), vec![(64.0, 36.0), (1420.0, 271.0)])]).unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        for word in ["A title", "bytes", "clocks per packet", "ours"] {
            assert!(text.contains(word), "{word}");
        }
        let text = bars("Stages", &["parse".into()], &[("encrypt 64".into(), vec![20.0])]).unwrap();
        assert!(text.contains("encrypt 64") && text.contains("parse"));
    }

    #[test]
    fn nothing_to_show_is_no_mistake() {
        assert!(lines("None", "bytes", &[]).is_ok());
        assert!(lines("None", "bytes", &[("ours".into(), vec![(f64::NAN, f64::NAN)])]).is_ok());
        assert!(bars("None", &[], &[]).is_ok());
    }
}
