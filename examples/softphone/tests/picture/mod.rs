//! Pictures of terminals: drawn as SVG, kept in `docs/softphone/`, and compared.
//! `DENWA_WRITE_DOCS=1` writes them anew.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::path::Path;

/// One character of a terminal.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Cell {
    pub(crate) text: String,
    pub(crate) foreground: Option<u8>,
    pub(crate) background: Option<u8>,
    pub(crate) bold: bool,
    pub(crate) dim: bool,
    pub(crate) reversed: bool,
    pub(crate) wide: bool,
}

/// Rows of cells.
pub(crate) type Picture = Vec<Vec<Cell>>;

/// The picture a model draws.
pub(crate) fn of_buffer(buffer: &ratatui::buffer::Buffer) -> Picture {
    use ratatui::style::{Color, Modifier};
    let number = |color: Color| match color {
        Color::Black => Some(0),
        Color::Red => Some(1),
        Color::Green => Some(2),
        Color::Yellow => Some(3),
        Color::Cyan => Some(6),
        Color::White => Some(7),
        _ => None,
    };
    let area = buffer.area;
    (0..area.height)
        .map(|y| {
            let mut row = Vec::new();
            let mut x = 0;
            while x < area.width {
                let cell = &buffer[(x, y)];
                let width = unicode_width::UnicodeWidthStr::width(cell.symbol()).max(1);
                row.push(Cell {
                    text: cell.symbol().to_owned(),
                    foreground: number(cell.fg),
                    background: number(cell.bg),
                    bold: cell.modifier.contains(Modifier::BOLD),
                    dim: cell.modifier.contains(Modifier::DIM),
                    reversed: cell.modifier.contains(Modifier::REVERSED),
                    wide: width > 1,
                });
                x += width as u16;
            }
            row
        })
        .collect()
}

/// The picture a real terminal shows.
pub(crate) fn of_screen(screen: &vt100::Screen) -> Picture {
    let number = |color: vt100::Color| match color {
        vt100::Color::Idx(index) => Some(index % 8),
        _ => None,
    };
    let (rows, columns) = screen.size();
    (0..rows)
        .map(|y| {
            let cells =
                (0..columns).filter_map(|x| screen.cell(y, x)).filter(|cell| !cell.is_wide_continuation());
            cells
                .map(|cell| Cell {
                    text: if cell.contents().is_empty() {
                        " ".to_owned()
                    } else {
                        cell.contents().to_owned()
                    },
                    foreground: number(cell.fgcolor()),
                    background: number(cell.bgcolor()),
                    bold: cell.bold(),
                    dim: cell.dim(),
                    reversed: cell.inverse(),
                    wide: cell.is_wide(),
                })
                .collect()
        })
        .collect()
}

const COLORS: [&str; 8] =
    ["#1d1f21", "#cc6666", "#8abf5a", "#e5b55f", "#81a2be", "#b294bb", "#70c0b1", "#f0f0f0"];
const PAPER: &str = "#1d1f21";
const INK: &str = "#d8dad6";
const FAINT: &str = "#85878a";

/// The picture as SVG.
pub(crate) fn svg(picture: &Picture) -> String {
    const WIDE: usize = 9;
    const HIGH: usize = 19;
    let columns =
        picture.iter().map(|row| row.iter().map(|cell| 1 + usize::from(cell.wide)).sum()).max().unwrap_or(80);
    let (width, height) = (columns * WIDE + 16, picture.len() * HIGH + 16);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         font-family=\"'DejaVu Sans Mono','Noto Sans Mono CJK JP',monospace\" font-size=\"15\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"{PAPER}\"/>\n"
    );
    for (y, row) in picture.iter().enumerate() {
        let mut x = 0;
        let mut at = 0;
        while at < row.len() {
            let first = &row[at];
            let like = |cell: &Cell| {
                (cell.foreground, cell.background, cell.bold, cell.dim, cell.reversed)
                    == (first.foreground, first.background, first.bold, first.dim, first.reversed)
            };
            let run: Vec<&Cell> = row[at..].iter().take_while(|cell| like(cell)).collect();
            let cells: usize = run.iter().map(|cell| 1 + usize::from(cell.wide)).sum();
            let text: String = run.iter().map(|cell| cell.text.as_str()).collect();
            let mut ink = first
                .foreground
                .map_or(if first.dim { FAINT } else { INK }, |number| COLORS[usize::from(number)]);
            let mut paper = first.background.map(|number| COLORS[usize::from(number)]);
            if first.reversed {
                (ink, paper) = (paper.unwrap_or(PAPER), Some(ink));
            }
            let (left, top) = (x * WIDE + 8, y * HIGH + 8);
            if let Some(paper) = paper {
                let _ = writeln!(
                    out,
                    "<rect x=\"{left}\" y=\"{top}\" width=\"{}\" height=\"{HIGH}\" fill=\"{paper}\"/>",
                    cells * WIDE
                );
            }
            if !text.trim().is_empty() {
                let weight = if first.bold { " font-weight=\"bold\"" } else { "" };
                let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
                let _ = writeln!(
                    out,
                    "<text x=\"{left}\" y=\"{}\" textLength=\"{}\" lengthAdjust=\"spacingAndGlyphs\" \
                     xml:space=\"preserve\" fill=\"{ink}\"{weight}>{escaped}</text>",
                    top + 14,
                    cells * WIDE
                );
            }
            x += cells;
            at += run.len();
        }
    }
    out.push_str("</svg>\n");
    out
}

/// Compares a picture with the one that is kept.
pub(crate) fn compare(name: &str, picture: &Picture) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/softphone");
    let file = folder.join(format!("{name}.svg"));
    let drawn = svg(picture);
    if std::env::var_os("DENWA_WRITE_DOCS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(&file, drawn).unwrap();
        return;
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        kept == drawn,
        "{name} is drawn otherwise than docs/softphone/{name}.svg; DENWA_WRITE_DOCS=1 writes it anew"
    );
}
