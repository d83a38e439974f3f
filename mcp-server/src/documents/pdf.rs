//! The pages as a PDF file. Nothing in it depends on when or where it is made.

use chrono::{Datelike as _, Timelike as _};
use contracts::documents::BillDocument;
use krilla::color::rgb;
use krilla::geom::{PathBuilder, Point, Rect, Transform};
use krilla::metadata::{DateTime, Metadata};
use krilla::num::NormalizedF32;
use krilla::page::PageSettings;
use krilla::paint::{Fill, FillRule};
use krilla::surface::Surface;
use krilla::{Document, SerializeSettings};

use super::code::Code;
use super::layout::{self, Ink, LEFT, Mark, PAGE_HEIGHT, PAGE_WIDTH, RIGHT, Text};
use super::typeface::{self, Faces};
use crate::words::documents as said;

/// How the file holds its drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Streams {
    /// Small.
    Compressed,
    /// For a test that reads them.
    #[cfg(test)]
    Plain,
}

/// Slope of the word across a void bill, degrees.
const STAMP_SLOPE: f32 = -35.0;
const STAMP_SIZE: f32 = 120.0;

/// The file.
///
/// # Errors
/// What the library could not write, for the log.
pub(super) fn written(document: &BillDocument, streams: Streams) -> Result<Vec<u8>, String> {
    let faces = typeface::faces().ok_or("the typeface cannot be read")?;
    let settings = SerializeSettings {
        compress_content_streams: streams == Streams::Compressed,
        ..SerializeSettings::default()
    };
    let mut file = Document::new_with(settings);
    file.set_metadata(metadata(document));
    for marks in layout::pages(document, faces) {
        let size = PageSettings::from_wh(PAGE_WIDTH, PAGE_HEIGHT).ok_or("no page size")?;
        let mut page = file.start_page_with(size);
        let mut surface = page.surface();
        for mark in &marks {
            draw(&mut surface, mark, faces)?;
        }
        surface.finish();
        page.finish();
    }
    file.finish().map_err(|error| format!("{error:?}"))
}

fn metadata(document: &BillDocument) -> Metadata {
    let bill = &document.bill;
    let at = bill.issued_at;
    let part = |number: u32| u8::try_from(number).unwrap_or_default();
    let issued = DateTime::new(u16::try_from(at.year()).unwrap_or_default())
        .month(part(at.month()))
        .day(part(at.day()))
        .hour(part(at.hour()))
        .minute(part(at.minute()))
        .second(part(at.second()))
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    let word = said::words(document.language).bill;
    Metadata::new()
        .title(format!("{word} {}, {}", bill.number, document.shop.name))
        .authors(vec![document.shop.name.clone()])
        .language(document.language.tag().to_owned())
        .creator("Countersign".to_owned())
        .creation_date(issued)
        .document_id(bill.bill_id.to_string())
}

fn draw(surface: &mut Surface<'_>, mark: &Mark, faces: Faces) -> Result<(), String> {
    match mark {
        Mark::Text(text) => text_line(surface, text, faces),
        Mark::Rule { y } => {
            surface.set_fill(Some(fill(200, 204, 208)));
            let line = Rect::from_ltrb(LEFT, *y, RIGHT, *y + 0.7);
            let mut path = PathBuilder::new();
            path.push_rect(line.ok_or("a line without length")?);
            surface.draw_path(&path.finish().ok_or("an empty line")?);
        }
        Mark::Code {
            x,
            y,
            size,
            content,
        } => {
            surface.set_fill(Some(fill(0, 0, 0)));
            let shape = Code::of(content)?.shape(*x, *y, *size);
            surface.draw_path(&shape.ok_or("an empty code")?);
        }
        Mark::Stamp(word) => stamp(surface, word, faces),
    }
    Ok(())
}

fn text_line(surface: &mut Surface<'_>, line: &Text, faces: Faces) {
    let face = if line.bold { faces.bold } else { faces.regular };
    surface.set_fill(Some(match line.ink {
        Ink::Plain => fill(28, 32, 36),
        Ink::Soft => fill(91, 99, 107),
        Ink::Warning => fill(156, 33, 33),
    }));
    let x = match line.to_left {
        true => line.x - face.width(&line.text, line.size),
        false => line.x,
    };
    face.draw(surface, Point::from_xy(x, line.y), &line.text, line.size);
}

/// Across the middle of the page, under everything else.
fn stamp(surface: &mut Surface<'_>, word: &str, faces: Faces) {
    surface.set_fill(Some(fill(245, 214, 214)));
    let (x, y) = (PAGE_WIDTH / 2.0, PAGE_HEIGHT / 2.0);
    surface.push_transform(&Transform::from_rotate_at(STAMP_SLOPE, x, y));
    let left = x - faces.bold.width(word, STAMP_SIZE) / 2.0;
    let at = Point::from_xy(left, y + STAMP_SIZE / 3.0);
    faces.bold.draw(surface, at, word, STAMP_SIZE);
    surface.pop();
}

fn fill(red: u8, green: u8, blue: u8) -> Fill {
    Fill {
        paint: rgb::Color::new(red, green, blue).into(),
        opacity: NormalizedF32::ONE,
        rule: FillRule::NonZero,
    }
}
