//! Tickets, as `stria prepare` and `stria tickets` show them.

use std::io::{self, Write};

use super::demo::phase_text;
use super::table::{Pairs, Table};
use crate::report::numbers::bytes;
use crate::report::{PrepareReport, TicketsReport};

/// Shows what was prepared.
pub fn prepare(out: &mut impl Write, report: &PrepareReport) -> io::Result<()> {
    for ticket in &report.tickets {
        writeln!(out, "{ticket}")?;
    }
    writeln!(out)?;
    let mut rows = Pairs::default();
    let count = report.tickets.len();
    rows.add("tickets", format!("{count} of {}", report.network));
    if report.together > 1 {
        rows.add("together", format!("up to {}", report.together));
    }
    rows.add("one ticket", phase_text(&report.prepare));
    let (seconds, traffic) = (report.seconds_setup, bytes(report.bytes_setup));
    rows.add("set-up", format!("{seconds:.2} s, {traffic}"));
    rows.write(out)
}

/// Shows the tickets of a folder.
pub fn tickets(out: &mut impl Write, report: &TicketsReport) -> io::Result<()> {
    if report.tickets.is_empty() {
        return writeln!(out, "no tickets");
    }
    let mut table = Table::new("ticket, network, server, client, age, size");
    for ticket in &report.tickets {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        if let Some(error) = &ticket.error {
            table.row(&[&ticket.file, &error, &"", &"", &"", &""]);
            continue;
        }
        let client = match ticket.small {
            Some(true) => "small",
            _ => "large",
        };
        let hours = ticket.age_seconds.unwrap_or_default() / 3600;
        table.row(&[
            &ticket.file,
            &text(&ticket.network),
            &text(&ticket.address),
            &client,
            &format!("{hours} h"),
            &bytes(ticket.bytes.unwrap_or_default()),
        ]);
    }
    table.write(out)
}
