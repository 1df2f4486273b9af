//! Tables and lists of names with values.

use std::fmt::{Display, Write as _};
use std::io::{self, Write};

/// Names with their values, a line each.
#[derive(Default)]
pub(super) struct Pairs(Vec<(String, String)>);

impl Pairs {
    pub fn add(&mut self, name: &str, value: impl Display) {
        self.0.push((name.into(), value.to_string()));
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            writeln!(out, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

/// Columns as wide as their widest cell; the first two to the left, the others to the right.
pub(super) struct Table(Vec<Vec<String>>);

impl Table {
    /// A table with these headings, separated by commas.
    pub fn new(header: &str) -> Self {
        Self(vec![header.split(", ").map(String::from).collect()])
    }

    pub fn row(&mut self, cells: &[&dyn Display]) {
        let cells = cells.iter().map(ToString::to_string);
        self.0.push(cells.collect());
    }

    /// Whether there is nothing but headings.
    pub fn is_empty(&self) -> bool {
        self.0.len() == 1
    }

    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let columns = self.0.first().map_or(0, Vec::len);
        let width = |column: usize| self.0.iter().map(|row| row[column].len()).max();
        let widths: Vec<usize> = (0..columns).filter_map(width).collect();
        for row in &self.0 {
            let mut text = String::new();
            for (i, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let _ = match i {
                    0 | 1 => write!(text, "{cell:width$}  "),
                    _ => write!(text, "{cell:>width$}  "),
                };
            }
            writeln!(out, "{}", text.trim_end())?;
        }
        Ok(())
    }
}
