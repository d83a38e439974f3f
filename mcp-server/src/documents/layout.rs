//! Where everything stands on a printed bill: pure, from the document to marks on pages.

use contracts::documents::BillDocument;
use contracts::tools::billing::{BillLineView, BillStatus};

use super::amounts::amounts;
use super::typeface::{Faces, Typeface};
use crate::words::documents::{self as said, Words};

/// A4, in points.
pub(super) const PAGE_WIDTH: f32 = 595.28;
/// A4, in points.
pub(super) const PAGE_HEIGHT: f32 = 841.89;

/// The margins.
pub(super) const LEFT: f32 = 50.0;
/// Where the right margin begins.
pub(super) const RIGHT: f32 = PAGE_WIDTH - 50.0;
const TOP: f32 = 62.0;
/// Nothing of the bill itself stands lower; the page's number does.
const BOTTOM: f32 = PAGE_HEIGHT - 72.0;
const FOOT: f32 = PAGE_HEIGHT - 42.0;

/// Where the columns end.
const GOODS_END: f32 = 252.0;
const QUANTITY_END: f32 = 332.0;
const PRICE_END: f32 = 438.0;
const GAP: f32 = 10.0;
/// Where the labels of the totals begin.
const TOTALS: f32 = 330.0;

const BODY: f32 = 9.5;
const SMALL: f32 = 8.0;
/// Figures are made smaller rather than cut, but never than this: the longest amount we store fits.
const SMALLEST: f32 = 4.0;
const LEADING: f32 = 13.0;
const ROW_GAP: f32 = 7.0;
const CODE: f32 = 92.0;

/// Most lines of a name, of an address, of a quantity.
const NAME_LINES_MAX: usize = 3;
const ADDRESS_LINES_MAX: usize = 6;

/// What a text is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    /// Nearly black.
    Plain,
    /// For what is read second.
    Soft,
    /// For a bill that is not to be paid.
    Warning,
}

/// One line of text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Text {
    /// Where it begins; where it ends if `to_left`.
    pub(super) x: f32,
    /// Its base line.
    pub(super) y: f32,
    pub(super) to_left: bool,
    pub(super) bold: bool,
    pub(super) size: f32,
    pub(super) ink: Ink,
    pub(super) text: String,
}

/// Something on a page.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mark {
    Text(Text),
    /// A line from margin to margin.
    Rule {
        y: f32,
    },
    /// The code of an address, upper left corner.
    Code {
        x: f32,
        y: f32,
        size: f32,
        content: String,
    },
    /// A word across the whole page.
    Stamp(String),
}

/// Every page's marks.
pub(super) fn pages(document: &BillDocument, faces: Faces) -> Vec<Vec<Mark>> {
    let mut sheet = Sheet {
        document,
        words: said::words(document.language),
        faces,
        pages: vec![Vec::new()],
        y: TOP,
    };
    sheet.stamp();
    sheet.head();
    sheet.table_head();
    for line in &document.bill.lines {
        sheet.row(line);
    }
    sheet.totals();
    sheet.feet();
    sheet.pages
}

struct Sheet<'a> {
    document: &'a BillDocument,
    words: &'static Words,
    faces: Faces,
    pages: Vec<Vec<Mark>>,
    /// The base line of what comes next.
    y: f32,
}

impl Sheet<'_> {
    fn put(&mut self, mark: Mark) {
        if let Some(page) = self.pages.last_mut() {
            page.push(mark);
        }
    }

    fn face(&self, bold: bool) -> &'static Typeface {
        if bold {
            self.faces.bold
        } else {
            self.faces.regular
        }
    }

    fn left(&mut self, x: f32, text: &str, size: f32, bold: bool, ink: Ink) {
        let text = self.face(bold).shown(text);
        let y = self.y;
        self.put(Mark::Text(Text {
            x,
            y,
            to_left: false,
            bold,
            size,
            ink,
            text,
        }));
    }

    fn right(&mut self, x: f32, text: &str, size: f32, bold: bool, ink: Ink) {
        let text = self.face(bold).shown(text);
        let y = self.y;
        self.put(Mark::Text(Text {
            x,
            y,
            to_left: true,
            bold,
            size,
            ink,
            text,
        }));
    }

    /// A word across the page of a bill that is not to be paid.
    fn stamp(&mut self) {
        if self.document.bill.status == BillStatus::Void {
            let word = said::standing(self.document.language, BillStatus::Void);
            self.put(Mark::Stamp(word.to_owned()));
        }
    }

    /// The shop on the left, the bill's number and days on the right, then who it is for.
    fn head(&mut self) {
        let document = self.document;
        let (shop, bill, words) = (&document.shop, &document.bill, self.words);
        let room = 290.0;
        for line in wrapped(self.faces.bold, &shop.name, 17.0, room, 2) {
            self.left(LEFT, &line, 17.0, true, Ink::Plain);
            self.y += 21.0;
        }
        let address = shop.address.iter().flat_map(|address| address.lines());
        let mut under: Vec<String> = address.map(str::to_owned).collect();
        under.extend(shop.phone.iter().map(|p| format!("{} {p}", words.phone)));
        under.extend(
            shop.tax_number
                .iter()
                .map(|n| format!("{} {n}", words.tax_number)),
        );
        let lines = under
            .iter()
            .flat_map(|text| wrapped(self.faces.regular, text, BODY, room, NAME_LINES_MAX));
        for line in lines.take(ADDRESS_LINES_MAX + 2).collect::<Vec<_>>() {
            self.left(LEFT, &line, BODY, false, Ink::Soft);
            self.y += LEADING;
        }
        let left_end = self.y;
        self.y = TOP;
        let title = format!("{} {}", words.bill, bill.number);
        let size = fitted(
            self.faces.bold,
            &title,
            17.0,
            RIGHT - LEFT - room - GAP,
            SMALLEST,
        );
        self.right(RIGHT, &title, size, true, Ink::Plain);
        self.y += 21.0;
        let issued = format!("{} {}", words.issued, document.issued_on);
        self.right(RIGHT, &issued, BODY, false, Ink::Soft);
        self.y += LEADING;
        if let Some(due) = bill.due_on {
            self.right(
                RIGHT,
                &format!("{} {due}", words.due),
                BODY,
                false,
                Ink::Soft,
            );
            self.y += LEADING;
        }
        let ink = match bill.status {
            BillStatus::Void => Ink::Warning,
            BillStatus::Open | BillStatus::Paid | BillStatus::Uncollectible => Ink::Plain,
        };
        let standing = said::standing(document.language, bill.status);
        self.right(RIGHT, standing, BODY, true, ink);
        self.y += LEADING;
        self.y = self.y.max(left_end) + 14.0;
        self.customer();
    }

    fn customer(&mut self) {
        let bill = &self.document.bill;
        self.left(LEFT, self.words.billed_to, SMALL, false, Ink::Soft);
        self.y += LEADING;
        let customer = bill.customer.as_deref().unwrap_or(self.words.counter_sale);
        for line in wrapped(self.faces.bold, customer, 11.0, RIGHT - LEFT, 2) {
            self.left(LEFT, &line, 11.0, true, Ink::Plain);
            self.y += LEADING;
        }
        if let Some(reason) = &bill.void_reason {
            let standing = said::standing(self.document.language, bill.status);
            let text = format!("{standing}: {reason}");
            for line in wrapped(self.faces.regular, &text, BODY, RIGHT - LEFT, 3) {
                self.left(LEFT, &line, BODY, false, Ink::Warning);
                self.y += LEADING;
            }
        }
        self.y += 12.0;
    }

    fn table_head(&mut self) {
        let words = self.words;
        let amount = format!("{} {}", words.amount, self.document.bill.total.currency);
        self.left(LEFT, words.goods, SMALL, true, Ink::Soft);
        for (end, text) in [
            (QUANTITY_END, words.quantity),
            (PRICE_END, words.unit_price),
            (RIGHT, amount.as_str()),
        ] {
            self.right(end, text, SMALL, true, Ink::Soft);
        }
        self.put(Mark::Rule { y: self.y + 5.0 });
        self.y += 5.0 + LEADING;
    }

    /// One line of the bill, whole on one page.
    fn row(&mut self, line: &BillLineView) {
        let face = self.faces.regular;
        let goods = wrapped(
            face,
            &line.description,
            BODY,
            GOODS_END - LEFT,
            NAME_LINES_MAX,
        );
        let price = line
            .unit_price
            .strip_prefix(line.gross.currency.code())
            .unwrap_or(&line.unit_price);
        let quantity = cell(face, &line.quantity.text, QUANTITY_END - GOODS_END - GAP);
        let price = cell(face, price, PRICE_END - QUANTITY_END - GAP);
        let high = goods.len().max(quantity.0.len()).max(price.0.len());
        if self.y + height(high) > BOTTOM {
            self.turn_over();
            self.table_head();
        }
        let top = self.y;
        for text in &goods {
            self.left(LEFT, text, BODY, false, Ink::Plain);
            self.y += LEADING;
        }
        for ((lines, size), end) in [(quantity, QUANTITY_END), (price, PRICE_END)] {
            self.y = top;
            for text in &lines {
                self.right(end, text, size, false, Ink::Plain);
                self.y += LEADING;
            }
        }
        self.y = top;
        let amount = line.gross.number();
        let size = fitted(face, &amount, BODY, RIGHT - PRICE_END - GAP, SMALLEST);
        self.right(RIGHT, &amount, size, false, Ink::Plain);
        self.y = top + height(high);
    }

    fn turn_over(&mut self) {
        self.pages.push(Vec::new());
        self.y = TOP;
        self.stamp();
        let title = format!(
            "{} · {} {}",
            self.document.shop.name, self.words.bill, self.document.bill.number
        );
        let title = cut(
            self.faces.regular,
            &self.faces.regular.shown(&title),
            BODY,
            RIGHT - LEFT,
        );
        self.left(LEFT, &title, BODY, false, Ink::Soft);
        self.y += 2.0 * LEADING;
    }

    /// What it comes to, and the code beside it. Kept together.
    fn totals(&mut self) {
        let rows = amounts(self.document);
        let rows_high: f32 = rows
            .iter()
            .map(|row| if row.strong { LEADING + 6.0 } else { LEADING })
            .sum();
        if self.y + rows_high.max(CODE + 3.0 * LEADING) > BOTTOM {
            self.turn_over();
        } else {
            self.put(Mark::Rule {
                y: self.y - LEADING + 3.0,
            });
        }
        let top = self.y + 4.0;
        self.y = top;
        for row in rows {
            let size = if row.strong { 11.5 } else { BODY };
            if row.strong {
                self.y += 4.0;
            }
            let room = RIGHT - TOTALS - self.face(row.strong).width(row.label, size) - GAP;
            let value_size = fitted(self.face(row.strong), &row.value, size, room, SMALLEST);
            self.left(TOTALS, row.label, size, row.strong, Ink::Plain);
            self.right(RIGHT, &row.value, value_size, row.strong, Ink::Plain);
            self.y += LEADING + if row.strong { 2.0 } else { 0.0 };
        }
        self.put(Mark::Code {
            x: LEFT,
            y: top - LEADING + 6.0,
            size: CODE,
            content: self.document.url.clone(),
        });
        self.y = top + CODE + 6.0;
        let scan = cut(
            self.faces.regular,
            self.words.scan,
            SMALL,
            TOTALS - LEFT - GAP,
        );
        self.left(LEFT, &scan, SMALL, false, Ink::Soft);
        self.y += 11.0;
        let url = cut(
            self.faces.regular,
            &self.faces.regular.shown(&self.document.url),
            SMALL,
            TOTALS - LEFT - GAP,
        );
        self.left(LEFT, &url, SMALL, false, Ink::Soft);
    }

    /// Which page of how many: nobody can lose one unnoticed.
    fn feet(&mut self) {
        let number = &self.document.bill.number;
        let pages = self.pages.len();
        for (i, marks) in self.pages.iter_mut().enumerate() {
            let text = said::page(self.document.language, i + 1, pages);
            marks.push(Mark::Text(Text {
                x: RIGHT,
                y: FOOT,
                to_left: true,
                bold: false,
                size: SMALL,
                ink: Ink::Soft,
                text: format!("{number} · {text}"),
            }));
        }
    }
}

fn height(lines: usize) -> f32 {
    // Never more than a handful of lines.
    LEADING * f32::from(u8::try_from(lines).unwrap_or(u8::MAX)) + ROW_GAP
}

/// A text in lines of a width, at most so many; what does not fit ends in an ellipsis.
fn wrapped(face: &Typeface, text: &str, size: f32, width: f32, lines_max: usize) -> Vec<String> {
    let text = face.shown(text);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut words = text.split(' ').peekable();
    while let Some(word) = words.peek() {
        let longer = if line.is_empty() {
            (*word).to_owned()
        } else {
            format!("{line} {word}")
        };
        if face.width(&longer, size) <= width {
            line = longer;
            words.next();
            continue;
        }
        if lines.len() + 1 == lines_max {
            // The last line takes what is left, and is cut.
            let rest = words.collect::<Vec<_>>().join(" ");
            let whole = if line.is_empty() {
                rest
            } else {
                format!("{line} {rest}")
            };
            lines.push(cut(face, &whole, size, width));
            return lines;
        }
        if line.is_empty() {
            // One word wider than the column.
            let (fits, rest) = split_at_width(face, word, size, width);
            lines.push(fits.to_owned());
            let rest = rest.to_owned();
            words.next();
            let more = words.collect::<Vec<_>>().join(" ");
            let rest = if more.is_empty() {
                rest
            } else {
                format!("{rest} {more}")
            };
            lines.extend(wrapped(face, &rest, size, width, lines_max - lines.len()));
            return lines;
        }
        lines.push(std::mem::take(&mut line));
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

/// As much of a text as fits, at least one character of it, and the rest.
fn split_at_width<'t>(face: &Typeface, text: &'t str, size: f32, width: f32) -> (&'t str, &'t str) {
    let mut wide = 0.0;
    let mut buffer = [0; 4];
    for (at, c) in text.char_indices() {
        wide += face.width(c.encode_utf8(&mut buffer), size);
        if wide > width && at > 0 {
            return text.split_at(at);
        }
    }
    (text, "")
}

/// A text on one line, with an ellipsis where it is cut.
fn cut(face: &Typeface, text: &str, size: f32, width: f32) -> String {
    if face.width(text, size) <= width {
        return text.to_owned();
    }
    let (fits, _) = split_at_width(face, text, size, width - face.width("…", size));
    format!("{}…", fits.trim_end())
}

/// The size at which a text fits.
fn fitted(face: &Typeface, text: &str, size: f32, width: f32, smallest: f32) -> f32 {
    let wide = face.width(text, size);
    if wide <= width {
        size
    } else {
        (size * width / wide).max(smallest)
    }
}

/// A quantity or a price: its figures are never broken, its unit may be.
fn cell(face: &Typeface, text: &str, width: f32) -> (Vec<String>, f32) {
    let figures = text
        .split_whitespace()
        .filter(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let size = figures
        .map(|word| fitted(face, word, BODY, width, SMALLEST))
        .fold(BODY, f32::min);
    (wrapped(face, text, size, width, NAME_LINES_MAX), size)
}
