//! The typeface of printed bills: what it can show, and how wide that is.
//!
//! The library that writes the PDF measures nothing. Two tables of the font are enough: which glyph shows a character (`cmap`), and how
//! far it moves on (`hmtx`).

use std::ops::Range;
use std::sync::LazyLock;

use krilla::geom::Point;
use krilla::surface::Surface;
use krilla::text::{Font, GlyphId, KrillaGlyph, TextDirection};

/// What stands for a character that the typeface lacks.
const REPLACEMENT: char = '\u{fffd}';

static REGULAR: LazyLock<Option<Typeface>> =
    LazyLock::new(|| Typeface::read(dejavu::sans::regular()));
static BOLD: LazyLock<Option<Typeface>> = LazyLock::new(|| Typeface::read(dejavu::sans::bold()));

/// Both weights.
#[derive(Clone, Copy)]
pub(super) struct Faces {
    pub(super) regular: &'static Typeface,
    pub(super) bold: &'static Typeface,
}

/// The typeface, read once; `None` only if what is compiled in cannot be read.
pub(super) fn faces() -> Option<Faces> {
    Some(Faces {
        regular: REGULAR.as_ref()?,
        bold: BOLD.as_ref()?,
    })
}

/// One weight.
pub(super) struct Typeface {
    font: Font,
    data: &'static [u8],
    /// Groups of `cmap` format 12: first character, last character, glyph of the first.
    groups: Vec<(u32, u32, u32)>,
    advances: Range<usize>,
    units_per_em: f32,
}

impl Typeface {
    fn read(data: &'static [u8]) -> Option<Typeface> {
        let cmap = table(data, b"cmap")?;
        let count = usize::from(u16_at(data, cmap.start + 2)?);
        let full = (0..count)
            .filter_map(|i| u32_at(data, cmap.start + 8 + 8 * i))
            .map(|offset| cmap.start + offset as usize)
            .find(|&at| u16_at(data, at) == Some(12))?;
        let groups = (0..u32_at(data, full + 12)? as usize)
            .map(|i| {
                let at = full + 16 + 12 * i;
                Some((
                    u32_at(data, at)?,
                    u32_at(data, at + 4)?,
                    u32_at(data, at + 8)?,
                ))
            })
            .collect::<Option<Vec<_>>>()?;
        let hhea = table(data, b"hhea")?;
        let metrics = usize::from(u16_at(data, hhea.start + 34)?);
        let hmtx = table(data, b"hmtx")?;
        Some(Typeface {
            font: Font::new(data.into(), 0)?,
            data,
            groups,
            advances: hmtx.start..hmtx.start + 4 * metrics,
            units_per_em: f32::from(u16_at(data, table(data, b"head")?.start + 18)?),
        })
    }

    fn glyph(&self, character: char) -> Option<u32> {
        let code = u32::from(character);
        let after = self.groups.partition_point(|(first, ..)| *first <= code);
        let (first, last, glyph) = *self.groups.get(after.checked_sub(1)?)?;
        (code <= last).then(|| glyph + (code - first))
    }

    /// How far a glyph moves on, in ems. Glyphs past the table have its last width.
    fn advance(&self, glyph: u32) -> f32 {
        let at = self.advances.start + 4 * glyph as usize;
        let at = at.min(self.advances.end.saturating_sub(4));
        u16_at(self.data, at).map_or(0.0, |units| f32::from(units) / self.units_per_em)
    }

    /// The text with what the typeface lacks replaced, and on one line.
    pub(super) fn shown(&self, text: &str) -> String {
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        line.chars()
            .map(|c| match self.glyph(c) {
                Some(_) => c,
                None => REPLACEMENT,
            })
            .collect()
    }

    /// How wide a text is, in points. Exact for plain text; joined scripts may come out a little narrower.
    pub(super) fn width(&self, text: &str, size: f32) -> f32 {
        let ems: f32 = text
            .chars()
            .map(|c| self.glyph(c).map_or(0.0, |glyph| self.advance(glyph)))
            .sum();
        ems * size
    }

    /// Draws a line whose left end is at `at`.
    pub(super) fn draw(&self, surface: &mut Surface<'_>, at: Point, text: &str, size: f32) {
        let mut x = at.x;
        for (run, direction) in runs(text) {
            let from = Point::from_xy(x, at.y);
            if run.chars().all(|c| c < '\u{300}') {
                let glyphs = self.plain(run);
                surface.draw_glyphs(from, &glyphs, self.font.clone(), run, size, false);
            } else {
                // Marks and joined letters have to be shaped.
                surface.draw_text(from, self.font.clone(), size, run, false, direction);
            }
            x += self.width(run, size);
        }
    }

    /// A glyph per character, exactly as wide as [`Typeface::width`] says: columns of figures line up.
    fn plain(&self, text: &str) -> Vec<KrillaGlyph> {
        text.char_indices()
            .filter_map(|(at, c)| {
                let glyph = self.glyph(c)?;
                let advance = self.advance(glyph);
                Some(KrillaGlyph::new(
                    GlyphId::new(glyph),
                    advance,
                    0.0,
                    0.0,
                    0.0,
                    at..at + c.len_utf8(),
                    None,
                ))
            })
            .collect()
    }
}

/// The text in pieces of one direction, in the order they stand on paper from left to right.
fn runs(text: &str) -> Vec<(&str, TextDirection)> {
    let mut pieces: Vec<(&str, bool)> = Vec::new();
    let (mut start, mut leftwards) = (0, None);
    for (at, c) in text.char_indices() {
        let Some(now) = is_leftwards(c) else { continue };
        if leftwards.is_some_and(|before| before != now) {
            // What has no direction of its own stays with what stands before it.
            pieces.push((&text[start..at], !now));
            start = at;
        }
        leftwards = Some(now);
    }
    if start < text.len() {
        pieces.push((&text[start..], leftwards.unwrap_or(false)));
    }
    if pieces.first().is_some_and(|(_, leftwards)| *leftwards) {
        pieces.reverse();
    }
    pieces
        .into_iter()
        .map(|(piece, leftwards)| match leftwards {
            true => (piece, TextDirection::RightToLeft),
            false => (piece, TextDirection::LeftToRight),
        })
        .collect()
}

/// Whether a character is written from right to left; `None` for spaces and signs, which take part in either.
fn is_leftwards(c: char) -> Option<bool> {
    match c {
        '\u{590}'..='\u{65f}'
        | '\u{66a}'..='\u{6ef}'
        | '\u{6fa}'..='\u{8ff}'
        | '\u{fb1d}'..='\u{fdff}'
        | '\u{fe70}'..='\u{fefc}' => Some(true),
        c if c.is_alphanumeric() || c == REPLACEMENT => Some(false),
        _ => None,
    }
}

fn table(data: &[u8], tag: &[u8; 4]) -> Option<Range<usize>> {
    let count = usize::from(u16_at(data, 4)?);
    let record = (0..count)
        .map(|i| 12 + 16 * i)
        .find(|&at| data.get(at..at + 4) == Some(tag.as_slice()))?;
    let start = u32_at(data, record + 8)? as usize;
    let end = start + u32_at(data, record + 12)? as usize;
    (end <= data.len()).then_some(start..end)
}

fn u16_at(data: &[u8], at: usize) -> Option<u16> {
    let bytes = data.get(at..at.checked_add(2)?)?;
    Some(u16::from_be_bytes(bytes.try_into().ok()?))
}

fn u32_at(data: &[u8], at: usize) -> Option<u32> {
    let bytes = data.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_typeface_lacks_is_replaced_and_the_rest_kept() {
        let face = faces().unwrap().regular;
        for kept in ["Azúcar 2 kg", "Ηλιέλαιο", "Сахар", "سكر", "N.º 5 – “a”"]
        {
            assert_eq!(face.shown(kept), kept);
        }
        assert_eq!(face.shown("白糖 sugar"), "\u{fffd}\u{fffd} sugar");
        assert_eq!(face.shown(" a\n\tb "), "a b");
        assert!(face.shown("चीनी").chars().all(|c| c == REPLACEMENT));
    }

    #[test]
    fn figures_are_all_of_one_width() {
        for face in [faces().unwrap().regular, faces().unwrap().bold] {
            let widths = ('0'..='9').map(|c| face.width(&c.to_string(), 1000.0).to_bits());
            assert_eq!(
                widths.collect::<std::collections::BTreeSet<_>>().len(),
                1,
                "columns line up"
            );
            assert!(face.width("MM", 10.0) > face.width("ii", 10.0));
        }
    }

    #[test]
    fn names_of_two_directions_stand_in_the_order_they_are_read() {
        let order = |text| {
            runs(text)
                .into_iter()
                .map(|(piece, _)| piece)
                .collect::<Vec<_>>()
        };
        assert_eq!(order("Sugar 2 kg"), ["Sugar 2 kg"]);
        assert_eq!(order("سكر"), ["سكر"]);
        assert_eq!(order("Tea شاي 5"), ["Tea ", "شاي ", "5"]);
        assert_eq!(order("شاي Tea"), ["Tea", "شاي "]);
        assert_eq!(order(""), [""; 0]);
    }
}
