//! What happened, one line for each fault and client.

use strait_load::summary::Summary;

/// A line.
pub struct Row {
    pub fault: String,
    pub client: &'static str,
    pub summary: Summary,
    /// From the fault to the first good answer from where answers then had to come from.
    pub first_ms: Option<u64>,
    /// From the fault to the end of the last failed request.
    pub last_failure_ms: Option<u64>,
    /// How many may fail; `None` where the figure is only told.
    pub bound: Option<usize>,
}

#[derive(Default)]
pub struct Table {
    rows: Vec<Row>,
}

const HEAD: [&str; 10] = [
    "fault",
    "client",
    "requests",
    "failed",
    "bound",
    "how",
    "served by",
    "p99 ms",
    "first right ms",
    "last failure ms",
];

impl Table {
    pub fn add(&mut self, row: Row) {
        self.rows.push(row);
    }

    pub fn print(&self) {
        if self.rows.is_empty() {
            return;
        }
        let rows: Vec<[String; 10]> = self.rows.iter().map(cells).collect();
        let mut widths = HEAD.map(str::len);
        for row in &rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        println!();
        line(&HEAD.map(str::to_owned), &widths);
        rows.iter().for_each(|row| line(row, &widths));
        println!();
    }
}

fn line(cells: &[String; 10], widths: &[usize; 10]) {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(c, w)| format!("{c:<w$}")).collect();
    println!("| {} |", padded.join(" | "));
}

fn cells(row: &Row) -> [String; 10] {
    let s = &row.summary;
    let ms = |v: Option<u64>| v.map_or_else(|| "-".to_owned(), |v| v.to_string());
    let kinds = s.failures.iter().map(|(k, n)| format!("{k} {n}"));
    let how: Vec<String> = kinds.chain(s.statuses.iter().map(|(code, n)| format!("{code}: {n}"))).collect();
    let served: Vec<String> = s.served_by.iter().map(|(c, n)| format!("{c} {n}")).collect();
    [
        row.fault.clone(),
        row.client.to_owned(),
        s.requests.to_string(),
        s.failed().to_string(),
        row.bound.map_or_else(|| "told".to_owned(), |b| b.to_string()),
        how.join(", "),
        served.join(", "),
        ms(s.latency_us(0.99).map(|us| us / 1000)),
        ms(row.first_ms),
        ms(row.last_failure_ms),
    ]
}
