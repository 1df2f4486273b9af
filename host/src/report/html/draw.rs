//! Draws the plots of the report, as SVG to stand in a page of HTML.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::axis::{Axis, tick_label};

/// Why a plot could not be drawn.
#[derive(Debug, thiserror::Error)]
#[error("cannot draw a plot")]
pub struct PlotError(#[from] DrawingAreaErrorKind<io::Error>);

/// A plot that shows something.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Plot {
    /// An `svg` element.
    pub svg: String,
    /// How many values were drawn, each a `rect` or a `circle`.
    pub points: usize,
    /// Whether they are dots and rings, not bars.
    pub dots: bool,
}

type Canvas<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The packings in the order in which they are shown; a colour each that colour-blind readers can
/// tell from the others (Okabe and Ito).
const PACKINGS: [(&str, RGBColor); 3] = [
    ("segment", RGBColor(0, 114, 178)),
    ("coefficient", RGBColor(230, 159, 0)),
    ("slot", RGBColor(0, 158, 115)),
];
const INK: RGBColor = RGBColor(34, 34, 34);
const FAINT: RGBColor = RGBColor(102, 102, 102);
const GRID: RGBColor = RGBColor(224, 224, 224);

/// Pixels; the page scales them.
const WIDTH: u32 = 560;
const NAMES_WIDTH: u32 = 84;
const AXIS_HEIGHT: u32 = 44;
const HEADING: i32 = 26;
const LINE: i32 = 19;

/// Values of a packing, one below the packings that they are compared with.
pub(super) struct Row {
    pub packing: &'static str,
    /// One value, or two that belong together.
    pub values: Vec<f64>,
    /// What stands beside the marks.
    pub note: String,
}

/// The rows of a network.
pub(super) struct Group {
    pub name: String,
    pub rows: Vec<Row>,
}

/// How values become marks.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Marks {
    /// Bars, the second value after the first; dots where the span is wide.
    Bars,
    /// Bars, however wide the span is.
    LinearBars,
    /// A full dot, and a ring for the second value.
    Dots,
}

/// The colour of a packing.
pub(super) fn colour(packing: &str) -> RGBColor {
    let known = PACKINGS.iter().find(|(name, _)| *name == packing);
    known.map_or(FAINT, |(_, colour)| *colour)
}

/// The colour of a second value.
pub(super) fn tint(packing: &str) -> RGBColor {
    let RGBColor(r, g, b) = colour(packing);
    let [r, g, b] = [r, g, b].map(|part| 255 - (255 - part) / 5 * 2);
    RGBColor(r, g, b)
}

/// The names of the packings in the order in which they are shown.
pub(super) fn packings() -> impl Iterator<Item = &'static str> {
    PACKINGS.iter().map(|(name, _)| *name)
}

/// Draws horizontal marks with their values beside them; nothing where there is no value above 0.
pub(super) fn draw_rows(
    groups: &[Group],
    marks: Marks,
    unit: &str,
) -> Result<Option<Plot>, PlotError> {
    let rows = || groups.iter().flat_map(|group| &group.rows);
    let values = || rows().flat_map(|row| row.values.iter().copied());
    let bars_end = rows().map(|row| row.values.iter().sum());
    let largest = match marks {
        Marks::Dots => values().fold(0.0, f64::max),
        _ => bars_end.fold(0.0, f64::max),
    };
    let Some(axis) = Axis::new(values(), largest, marks != Marks::LinearBars) else {
        return Ok(None);
    };
    let marks = match marks {
        Marks::Bars if axis.logarithmic => Marks::Dots,
        other => other,
    };
    let unit = match axis.logarithmic {
        true => format!("{unit}, logarithmic"),
        false => unit.into(),
    };
    let height: i32 = groups
        .iter()
        .map(|group| HEADING + LINE * group.rows.len() as i32)
        .sum();
    let notes = rows().map(|row| row.note.len()).max().unwrap_or(0) as u32;

    let mut svg = String::new();
    let mut points = 0;
    {
        let size = (WIDTH, height as u32 + AXIS_HEIGHT + 8);
        let root = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin_bottom(4)
            .margin_right((7 * notes + 10).min(WIDTH / 3))
            .set_label_area_size(LabelAreaPosition::Left, NAMES_WIDTH)
            .set_label_area_size(LabelAreaPosition::Bottom, AXIS_HEIGHT)
            .build_cartesian_2d(axis.clone(), f64::from(height)..0.0)?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .disable_y_axis()
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(font(11.0, &FAINT))
            .axis_desc_style(font(12.0, &INK))
            .x_label_formatter(&|&value| tick_label(value))
            .x_desc(unit)
            .draw()?;

        let mut top = 0;
        for group in groups {
            let (left, y) = chart.backend_coord(&(axis.low, f64::from(top + HEADING - 10)));
            let bold = ("sans-serif", 12.0 * 1.24, FontStyle::Bold).into_font();
            let style = TextStyle::from(bold).color(&INK);
            root.draw(&Text::new(
                group.name.as_str(),
                (4, y),
                centred(style, HPos::Left),
            ))?;
            for (i, row) in group.rows.iter().enumerate() {
                let y = y + 10 + LINE * i as i32 + LINE / 2;
                let style = centred(font(12.0, &INK), HPos::Right);
                root.draw(&Text::new(row.packing, (left - 8, y), style))?;
                let x = |value| chart.backend_coord(&(value, 0.0)).0;
                let end = match marks {
                    Marks::Dots => dots(&root, row, y, x, &mut points)?,
                    _ => bars(&root, row, y, x, &mut points)?,
                };
                let style = centred(font(11.0, &INK), HPos::Left);
                root.draw(&Text::new(
                    row.note.as_str(),
                    (end.unwrap_or(left) + 7, y),
                    style,
                ))?;
            }
            top += HEADING + LINE * group.rows.len() as i32;
        }
        root.present()?;
    }
    let dots = marks == Marks::Dots;
    Ok(Some(Plot { svg, points, dots }))
}

/// The values of a row as bars one after the other; gives where the last ends.
fn bars(
    root: &Canvas<'_>,
    row: &Row,
    y: i32,
    x: impl Fn(f64) -> i32,
    points: &mut usize,
) -> Result<Option<i32>, PlotError> {
    let mut sum = 0.0;
    let mut end = None;
    let colours = [colour(row.packing), tint(row.packing)];
    for (value, colour) in shown(row, colours) {
        if value == 0.0 && end.is_some() {
            continue;
        }
        let from = x(sum);
        sum += value;
        // What is too short to be seen is a line.
        let to = x(sum).max(from + 2);
        root.draw(&Rectangle::new(
            [(from, y - 7), (to, y + 7)],
            colour.filled(),
        ))?;
        *points += 1;
        end = Some(to);
    }
    Ok(end)
}

/// The first value of a row as a dot, the second as a ring; gives where the right one is.
fn dots(
    root: &Canvas<'_>,
    row: &Row,
    y: i32,
    x: impl Fn(f64) -> i32,
    points: &mut usize,
) -> Result<Option<i32>, PlotError> {
    let colour = colour(row.packing);
    let styles = [colour.filled(), colour.stroke_width(2)];
    let marks: Vec<_> = shown(row, styles)
        .filter(|(value, _)| *value > 0.0)
        .map(|(value, style)| ((x(value), y), style))
        .collect();
    if let [(a, _), (b, _)] = marks[..] {
        root.draw(&PathElement::new([a, b], tint(row.packing).stroke_width(2)))?;
    }
    for (place, style) in &marks {
        root.draw(&Circle::new(*place, 5, *style))?;
        *points += 1;
    }
    Ok(marks.iter().map(|((x, _), _)| *x).max())
}

/// The values of a row that can be shown, each with its style.
fn shown<T>(row: &Row, styles: [T; 2]) -> impl Iterator<Item = (f64, T)> {
    let values = row.values.iter().copied().zip(styles);
    values.filter(|(value, _)| value.is_finite() && *value >= 0.0)
}

/// Draws a bar a layer; nothing where there is no value above 0.
pub(super) fn draw_layers(values: &[f64], packing: &str) -> Result<Option<Plot>, PlotError> {
    let largest = values.iter().copied().fold(0.0, f64::max);
    let Some(axis) = Axis::new(values.iter().copied(), largest, false) else {
        return Ok(None);
    };
    let mut svg = String::new();
    let mut points = 0;
    {
        let root = SVGBackend::with_string(&mut svg, (376, 190)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(6)
            .set_label_area_size(LabelAreaPosition::Left, 56)
            .set_label_area_size(LabelAreaPosition::Bottom, 40)
            .build_cartesian_2d(Axis::numbers(values.len()), axis)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .bold_line_style(GRID)
            .axis_style(FAINT)
            .label_style(font(11.0, &FAINT))
            .axis_desc_style(font(12.0, &INK))
            .x_label_formatter(&|&value| tick_label(value))
            .y_label_formatter(&|&value| tick_label(value))
            .x_desc("layer")
            .y_desc("seconds")
            .draw()?;
        for (i, value) in values.iter().enumerate() {
            if !value.is_finite() || *value < 0.0 {
                continue;
            }
            let middle = i as f64 + 1.0;
            let (left, bottom) = chart.backend_coord(&(middle - 0.4, 0.0));
            let (right, top) = chart.backend_coord(&(middle + 0.4, *value));
            let corners = [(left, top.min(bottom - 1)), (right.max(left + 1), bottom)];
            root.draw(&Rectangle::new(corners, colour(packing).filled()))?;
            points += 1;
        }
        root.present()?;
    }
    let dots = false;
    Ok(Some(Plot { svg, points, dots }))
}

/// Text of so many pixels; the backend divides the size by 1.24.
fn font(pixels: f64, colour: &'static RGBColor) -> TextStyle<'static> {
    TextStyle::from(("sans-serif", pixels * 1.24).into_font()).color(colour)
}

fn centred(style: TextStyle<'_>, side: HPos) -> TextStyle<'_> {
    style.pos(Pos::new(side, VPos::Center))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_without_values_are_not_drawn() {
        let group = |values: Vec<f64>| Group {
            name: "a".into(),
            rows: vec![Row {
                packing: "slot",
                values,
                note: "failed".into(),
            }],
        };
        for marks in [Marks::Bars, Marks::LinearBars, Marks::Dots] {
            let plot = |values| draw_rows(&[group(values)], marks, "s").unwrap();
            assert_eq!(plot(Vec::new()), None);
            assert_eq!(plot(vec![0.0]), None);
            assert_eq!(plot(vec![f64::NAN]), None);
            assert_eq!(plot(vec![1.0, 2.0]).unwrap().points, 2);
        }
    }
}
