//! Line plots as SVG: panels above each other with one axis of time.

use std::fmt::Write as _;

const WIDTH: f64 = 940.0;
const LEFT: f64 = 78.0;
const RIGHT: f64 = 215.0;
const TOP: f64 = 58.0;
const PANEL: f64 = 170.0;
const GAP: f64 = 44.0;
const COLOURS: [&str; 10] =
    ["#1f6fb4", "#d1550b", "#2c8a3d", "#8a4fb0", "#b8860b", "#0f8a8a", "#c2255c", "#555555", "#7a5230", "#3b3bb0"];

/// One line: a name and a value at each moment; a value that is not finite leaves a gap.
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) values: Vec<f64>,
}

/// One panel: what its axis means with its unit, the least upper end of the axis, and its lines.
pub(crate) struct Panel {
    pub(crate) axis: String,
    pub(crate) at_least: f64,
    pub(crate) lines: Vec<Line>,
}

/// A plot over time.
pub(crate) struct Plot {
    pub(crate) title: String,
    /// A second line under the title.
    pub(crate) note: String,
    /// Seconds.
    pub(crate) at_s: Vec<f64>,
    /// What happened when.
    pub(crate) marks: Vec<(f64, &'static str)>,
    pub(crate) panels: Vec<Panel>,
}

impl Plot {
    /// The picture.
    #[expect(clippy::cast_precision_loss, reason = "numbers of panels")]
    pub(crate) fn svg(&self) -> String {
        let height = TOP + self.panels.len() as f64 * (PANEL + GAP) + 12.0;
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" fill=\"white\"/>\n"
        );
        text(&mut out, LEFT, 20.0, "start", "font-size=\"15\" font-weight=\"bold\"", &self.title);
        text(&mut out, LEFT, 37.0, "start", "fill=\"#444\"", &self.note);
        for (at, panel) in self.panels.iter().enumerate() {
            self.panel(&mut out, TOP + at as f64 * (PANEL + GAP), panel, at == 0);
        }
        text(&mut out, (LEFT + WIDTH - RIGHT) / 2.0, height - 8.0, "middle", "", "seconds");
        out + "</svg>\n"
    }

    fn x(&self, at_s: f64) -> f64 {
        let last = self.at_s.last().copied().unwrap_or(1.0).max(1e-9);
        LEFT + at_s / last * (WIDTH - LEFT - RIGHT)
    }

    fn panel(&self, out: &mut String, top: f64, panel: &Panel, names_marks: bool) {
        let values = panel.lines.iter().flat_map(|l| &l.values).copied().filter(|v| v.is_finite());
        let step = step(values.fold(panel.at_least, f64::max) / 4.0);
        let most = values_top(panel, step);
        let y = |value: f64| top + PANEL * (1.0 - value / most);
        let right = WIDTH - RIGHT;
        let mut value = 0.0;
        while value <= most * 1.001 {
            let at = y(value);
            let _ = writeln!(out, "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#ddd\"/>");
            text(out, LEFT - 6.0, at + 4.0, "end", "", &number(value));
            value += step;
        }
        let middle = top + PANEL / 2.0;
        let turned = format!("transform=\"rotate(-90 16 {middle})\"");
        text(out, 16.0, middle, "middle", &turned, &panel.axis);
        self.times(out, top);
        for (at, what) in &self.marks {
            let x = self.x(*at);
            let _ = writeln!(
                out,
                "<path d=\"M{x:.1} {top}V{:.1}\" stroke=\"#999\" stroke-dasharray=\"4 3\"/>",
                top + PANEL
            );
            if names_marks {
                text(out, x + 3.0, top - 4.0, "start", "font-size=\"11\" fill=\"#555\"", what);
            }
        }
        for (at, line) in panel.lines.iter().enumerate() {
            let colour = COLOURS[at % COLOURS.len()];
            let dash = if at >= COLOURS.len() { " stroke-dasharray=\"6 3\"" } else { "" };
            let path = self.path(line, y);
            let _ = writeln!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.6\"{dash}/>");
            let row = top + 10.0 + 16.0 * f64::from(u32::try_from(at).unwrap_or(0));
            let _ =
                writeln!(out, "<path d=\"M{} {row}h20\" stroke=\"{colour}\" stroke-width=\"3\"{dash}/>", right + 12.0);
            text(out, right + 38.0, row + 4.0, "start", "", &line.name);
        }
    }

    fn times(&self, out: &mut String, top: f64) {
        let last = self.at_s.last().copied().unwrap_or(1.0);
        let step = step(last / 9.0);
        let mut at = 0.0;
        while at <= last * 1.001 {
            let (x, bottom) = (self.x(at), top + PANEL);
            let _ = writeln!(out, "<path d=\"M{x:.1} {bottom}v4\" stroke=\"#666\"/>");
            text(out, x, bottom + 17.0, "middle", "", &number(at));
            at += step;
        }
    }

    fn path(&self, line: &Line, y: impl Fn(f64) -> f64) -> String {
        let mut path = String::new();
        let mut pen = 'M';
        for (at, value) in self.at_s.iter().zip(&line.values) {
            if value.is_finite() {
                let _ = write!(path, "{pen}{:.1} {:.1}", self.x(*at), y(*value));
                pen = 'L';
            } else {
                pen = 'M';
            }
        }
        path
    }

    /// The same numbers as a table.
    pub(crate) fn csv(&self) -> String {
        let mut out = String::from("seconds");
        let lines = || self.panels.iter().flat_map(|p| p.lines.iter().map(move |l| (p, l)));
        for (panel, line) in lines() {
            let _ = write!(out, ",{}: {}", panel.axis.replace(',', " "), line.name.replace(',', " "));
        }
        out.push('\n');
        for (row, at) in self.at_s.iter().enumerate() {
            let _ = write!(out, "{at:.1}");
            for (_, line) in lines() {
                match line.values.get(row).filter(|v| v.is_finite()) {
                    Some(value) => drop(write!(out, ",{}", number(*value))),
                    None => out.push(','),
                }
            }
            out.push('\n');
        }
        out
    }
}

fn values_top(panel: &Panel, step: f64) -> f64 {
    let most = panel.lines.iter().flat_map(|l| &l.values).copied().filter(|v| v.is_finite());
    (most.fold(panel.at_least, f64::max) / step).ceil().max(1.0) * step
}

/// The next of 1, 2, 2.5, 5 times a power of ten.
fn step(rough: f64) -> f64 {
    let power = 10_f64.powf(rough.max(1e-9).log10().floor());
    let times = [1.0, 2.0, 2.5, 5.0, 10.0];
    power * times.into_iter().find(|t| t * power >= rough * 0.999).unwrap_or(10.0)
}

fn number(value: f64) -> String {
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn text(out: &mut String, x: f64, y: f64, anchor: &str, more: &str, what: &str) {
    let what = what.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let _ = writeln!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" {more}>{what}</text>");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_end_on_round_numbers_and_gaps_stay_gaps() {
        for (rough, round) in [(0.25, 0.25), (0.26, 0.5), (7.0, 10.0), (12.0, 20.0), (100.0, 100.0)] {
            assert!((step(rough) - round).abs() < 1e-9, "{rough}: {}", step(rough));
        }
        let line = Line { name: "a<b".into(), values: vec![1.0, f64::NAN, 2.0] };
        let panel = Panel { axis: "x".into(), at_least: 1.0, lines: vec![line] };
        let plot = Plot {
            title: "t".into(),
            note: String::new(),
            at_s: vec![0.0, 1.0, 2.0],
            marks: vec![],
            panels: vec![panel],
        };
        let svg = plot.svg();
        assert!(svg.contains("a&lt;b") && svg.matches('M').count() > 2);
        assert_eq!(plot.csv(), "seconds,x: a<b\n0.0,1\n1.0,\n2.0,2\n");
    }
}
