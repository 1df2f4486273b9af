//! Accuracy, as `stria eval` shows it.

use std::io::{self, Write};

use crate::report::{EvalReport, Margins};

/// Shows how well a model classifies a data set.
pub fn eval(out: &mut impl Write, report: &EvalReport) -> io::Result<()> {
    writeln!(out, "images        {}", report.images)?;
    writeln!(out, "top 1         {:.2} %", report.top1)?;
    writeln!(out, "top 5         {:.2} %", report.top5)?;
    if let Some(agreement) = report.agreement {
        writeln!(out, "agreement     {agreement:.2} %")?;
    }
    if let Some(margins) = &report.margins {
        print_margins(out, margins)?;
    }
    writeln!(out, "out of range  {} sums", report.out_of_range)?;
    writeln!(out, "seconds       {:.1}", report.seconds)?;
    Ok(())
}

/// Margins of the plaintext reference, and the images that secure inference sees otherwise.
fn print_margins(out: &mut impl Write, margins: &Margins) -> io::Result<()> {
    let Margins {
        smallest,
        tenth,
        median,
        spread,
        ..
    } = margins;
    writeln!(
        out,
        "margins       smallest {smallest:.3}, a tenth below {tenth:.3}, median {median:.3}; \
         logits spread by {spread:.3}"
    )?;
    writeln!(
        out,
        "logit error   {:.3} root mean square, {:.3} at most",
        margins.error, margins.largest_error
    )?;
    for differs in &margins.disagreements {
        writeln!(
            out,
            "  image {}: {}, securely {}; margin {:.3} = {:.3} spreads, {:.1} % have a smaller one",
            differs.image,
            differs.reference,
            differs.secure,
            differs.margin,
            differs.spreads,
            differs.percent_below
        )?;
    }
    Ok(())
}
