//! Plots, as SVG that stands in a page.

use plotters::coord::Shift;
use plotters::prelude::*;
use std::fmt::Display;

const SIZE: (u32, u32) = (860, 400);
/// Of that, how much at the right side says which colour is what.
const LEGEND: i32 = 180;
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

/// What most plots show.
pub(super) const CLOCKS: &str = "clocks per packet";

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

/// Draws into memory by `draw`, and beside it, a name for each colour.
fn svg<'a>(
    size: (u32, u32),
    names: impl Iterator<Item = &'a String>,
    draw: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), String>,
) -> Drawn {
    let mut text = String::new();
    let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
    area.fill(&WHITE).map_err(said)?;
    let (plot, side) = area.split_horizontally(size.0 as i32 - LEGEND);
    draw(&plot)?;
    for (number, name) in names.enumerate() {
        let y = 44 + 20 * number as i32;
        side.draw(&Rectangle::new([(4, y), (16, y + 10)], colour(number).filled())).map_err(said)?;
        side.draw(&Text::new(name.replace('_', " "), (24, y), (FONT, 13))).map_err(said)?;
    }
    area.present().map_err(said)?;
    drop((area, plot, side));
    Ok(text)
}

/// From least to most, with a little air; of nothing, from 1 to 10.
fn range(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (low, high) = values
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::MAX, 0.0_f64), |(low, high), value| (low.min(value), high.max(value)));
    if low > high { 1.0..10.0 } else { low * 0.85..high * 1.2 }
}

/// A number on a logarithmic scale, if there is room for it: 7 and 9 are too near their neighbours.
fn mark(value: f64) -> String {
    let text = format!("{value:.0}");
    if text.starts_with(['7', '9']) { String::new() } else { text }
}

/// Something upwards over something across, both on logarithmic scales.
pub(super) fn lines(title: &str, (across, upwards): (&str, &str), lines: &[Line]) -> Drawn {
    let points = || lines.iter().flat_map(|(_, points)| points.iter());
    let (x, y) = (range(points().map(|point| point.0)), range(points().map(|point| point.1)));
    svg(SIZE, lines.iter().map(|line| &line.0), |area| {
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
            .y_desc(upwards)
            .light_line_style(WHITE.mix(0.0))
            .x_label_formatter(&|value| mark(*value))
            .y_label_formatter(&|value| mark(*value))
            .draw()
            .map_err(said)?;
        for (number, (_, points)) in lines.iter().enumerate() {
            let style = colour(number).stroke_width(2);
            let series = LineSeries::new(points.iter().copied(), style).point_size(3);
            chart.draw_series(series).map_err(said)?;
        }
        Ok(())
    })
}

/// A bar for each name, the first on top, of parts that lie one behind the other.
pub(super) fn bars(title: &str, parts: &[String], bars: &[Bar]) -> Drawn {
    let longest = bars.iter().map(|(_, parts)| parts.iter().sum::<f64>()).fold(1.0, f64::max);
    let height = (110 + 30 * bars.len()).max(80 + 20 * parts.len()) as u32;
    // An axis of one place has no name for it.
    let last = bars.len().saturating_sub(1).max(1);
    svg((SIZE.0, height), parts.iter(), |area| {
        let mut chart = ChartBuilder::on(area)
            .caption(title, (FONT, 17))
            .margin(12)
            .x_label_area_size(36)
            .y_label_area_size(190)
            .build_cartesian_2d(0.0..longest * 1.02, (0..last).into_segmented())
            .map_err(said)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(WHITE.mix(0.0))
            .x_desc(CLOCKS)
            .x_label_formatter(&|value| format!("{value:.0}"))
            .y_labels(last + 1)
            .y_label_formatter(&|place| match place {
                SegmentValue::CenterOf(number) => {
                    bars.get(last.saturating_sub(*number)).map_or_else(String::new, |bar| bar.0.clone())
                }
                SegmentValue::Exact(_) | SegmentValue::Last => String::new(),
            })
            .draw()
            .map_err(said)?;
        for part in 0..parts.len() {
            let pieces = bars.iter().enumerate().filter_map(|(number, (_, lengths))| {
                let length = lengths.get(part).filter(|length| **length > 0.0)?;
                let from: f64 = lengths[..part].iter().sum();
                let place = last - number;
                let corners =
                    [(from, SegmentValue::Exact(place)), (from + length, SegmentValue::Exact(place + 1))];
                let mut piece = Rectangle::new(corners, colour(part).filled());
                piece.set_margin(4, 4, 0, 0);
                Some(piece)
            });
            chart.draw_series(pieces).map_err(said)?;
        }
        Ok(())
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
            lines("A title", ("bytes", CLOCKS), &[("ours".into(), vec![(64.0, 36.0), (1420.0, 271.0)])])
                .unwrap();
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>"));
        for word in ["A title", "bytes", "clocks per packet", "ours"] {
            assert!(text.contains(word), "{word}");
        }
        let text = bars("Stages", &["parse".into()], &[("encrypt 64".into(), vec![20.0])]).unwrap();
        assert!(text.contains("encrypt 64") && text.contains("parse"));
    }

    #[test]
    fn nothing_to_show_is_no_mistake() {
        assert!(lines("None", ("bytes", CLOCKS), &[]).is_ok());
        assert!(lines("None", ("bytes", CLOCKS), &[("ours".into(), vec![(f64::NAN, f64::NAN)])]).is_ok());
        assert!(bars("None", &[], &[]).is_ok());
    }
}
